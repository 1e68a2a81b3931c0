"""Graphs in float16: they paint as in float32, and what must not be coarse is not."""

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import torch

from livestyle.artifacts import load_model
from livestyle.deploy.engine import find_feature_maps
from livestyle.deploy.half import write_half
from livestyle.model.graphs import make_examples


@pytest.mark.parametrize("graph", load_model().manifest.graphs)
def test_half_paints_as_float_does(graph: str) -> None:
    model = load_model()
    source = onnx.load(model.graph_path(graph))
    crossing = find_feature_maps(model, graph, source)
    half = write_half(onnx.load(model.graph_path(graph)), crossing)
    examples = {
        key: tensor.numpy() for key, tensor in make_examples(136, 104, torch.Generator().manual_seed(0))[graph].items()
    }
    halved = {key: array.astype(np.float16) if key in crossing else array for key, array in examples.items()}
    (expected,) = session(source).run(None, examples)
    (got,) = session(half).run(None, halved)
    assert got.dtype == (np.float16 if model.manifest.graphs[graph].output in crossing else expected.dtype)
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64)).max()
    # Whole pixels, else 6e-4 of the largest value: neighbours in float16 are up to 1e-3 of a number apart
    assert difference <= (2.0 if graph == "decode" else 6e-4 * max(1.0, float(np.abs(expected).max())))


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_sensitive_sums_stay_float32() -> None:
    """Squares of features may exceed 65504, the largest half: statistics of large features must survive."""
    model = load_model()
    crossing = find_feature_maps(model, "bank", onnx.load(model.graph_path("bank")))
    half = session(write_half(onnx.load(model.graph_path("bank")), crossing))
    examples = {
        k: tensor.numpy() for k, tensor in make_examples(64, 64, torch.Generator().manual_seed(0))["bank"].items()
    }
    large = {**examples, "features": examples["features"] * 2000.0, "strength": np.ones(1, np.float32)}
    (expected,) = session(onnx.load(model.graph_path("bank"))).run(None, large)
    (got,) = half.run(None, {**large, "features": large["features"].astype(np.float16)})
    assert np.isfinite(got).all()
    assert np.abs(got.astype(np.float32) - expected).max() < 0.02


def test_outputs_are_of_the_type_that_was_asked_for() -> None:
    """A convolution that the host reads, and an output that is read inside as well."""
    text = """<ir_version: 8, opset_import: ["" : 18]>
    small (float[1,2,4,4] x, float[2,2,3,3] w) => (float[1,2,4,4] read, float[1,2,4,4] crosses) {
        y = Conv<pads = [1, 1, 1, 1]>(x, w)
        crosses = Sigmoid(y)
        read = Conv<pads = [1, 1, 1, 1]>(crosses, w)
    }"""
    inputs = {"x": np.ones((1, 2, 4, 4), np.float32), "w": np.full((2, 2, 3, 3), 0.1, np.float32)}
    expected = session(onnx.parser.parse_model(text)).run(["read", "crosses"], inputs)
    got = session(write_half(onnx.parser.parse_model(text), {"crosses"})).run(["read", "crosses"], inputs)
    assert [array.dtype for array in got] == [np.float32, np.float16]
    assert all(np.allclose(one, two, atol=5e-3) for one, two in zip(expected, got, strict=True))
