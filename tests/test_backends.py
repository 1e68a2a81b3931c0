"""Every backend runs the shipped graphs as the reference does."""

import numpy as np
import pytest
import torch
from cards import missing

from livestyle.artifacts import Model, load_model
from livestyle.backends import BACKENDS, Backend, describe_backends, open_backend
from livestyle.backends.tensorrt_library import LIBRARIES
from livestyle.errors import ConfigError
from livestyle.model.graphs import GRAPHS, make_examples

SIZE = (168, 104)
HERE = [name for name in BACKENDS if name not in LIBRARIES]  # those of a graphics card: test_tensorrt_gpu.py


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def run_graph(backend: Backend, name: str, seed: int = 0) -> np.ndarray:
    examples = make_examples(*SIZE, torch.Generator().manual_seed(seed))[name]
    arrays = {key: value.numpy() for key, value in examples.items()}
    output = backend.load(name)(**{key: backend.upload(array) for key, array in arrays.items()})
    return backend.download(output[GRAPHS[name].output])


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", HERE)
def test_graph_equals_the_reference(model: Model, name: str, graph: str) -> None:
    expected = run_graph(open_backend("reference", model, *SIZE), graph).astype(np.float64)
    got = run_graph(open_backend(name, model, *SIZE, precision="f32"), graph).astype(np.float64)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= (1.0 if graph == "decode" else 1e-3)


@pytest.mark.parametrize("name", HERE)
def test_joined_graphs_equal_one_after_the_other(model: Model, name: str) -> None:
    backend = open_backend(name, model, *SIZE, precision="f32")
    examples = make_examples(*SIZE, torch.Generator().manual_seed(2))["bank"]
    handles = {key: backend.upload(value.numpy()) for key, value in examples.items()}
    bank, decode = backend.load("bank"), backend.load("decode")
    apart = backend.download(decode(**bank(**handles))["picture"]).astype(np.float64)
    joined = backend.download(backend.join(bank, decode)(**handles)["picture"])
    assert apart.std() > 1.0
    assert np.abs(joined - apart).max() <= 1.0


def test_manifest_names_what_the_graphs_take(model: Model) -> None:
    assert {name: (entry.inputs, entry.output) for name, entry in model.manifest.graphs.items()} == {
        name: (names.inputs, names.output) for name, names in GRAPHS.items()
    }


def test_auto_precision_is_close_to_float32(model: Model) -> None:
    exact = run_graph(open_backend("openvino", model, *SIZE, precision="f32"), "decode").astype(np.float64)
    fast = run_graph(open_backend("openvino", model, *SIZE), "decode").astype(np.float64)
    assert 10 * np.log10(255.0**2 / max(1e-9, ((fast - exact) ** 2).mean())) > 35.0


@pytest.mark.parametrize("name", HERE)
def test_an_output_outlives_the_next_call(model: Model, name: str) -> None:
    backend = open_backend(name, model, *SIZE)
    encode = backend.load("encode")
    dark = np.zeros((1, SIZE[1], SIZE[0], 3), np.uint8)
    first = encode(pixels=backend.upload(dark))["features"]
    kept = backend.download(first)
    encode(pixels=backend.upload(dark + 255))
    assert np.array_equal(backend.download(first), kept)


@pytest.mark.parametrize("name", HERE)
def test_close_twice(model: Model, name: str) -> None:
    backend = open_backend(name, model, *SIZE)
    backend.close()
    backend.close()


def test_an_unknown_backend_names_the_nearest(model: Model) -> None:
    with pytest.raises(ConfigError, match="did you mean 'openvino'"):
        open_backend("openvin", model, *SIZE)


def test_an_unknown_precision_is_refused(model: Model) -> None:
    with pytest.raises(ConfigError, match=r"unknown precision.*f32"):
        open_backend("openvino", model, *SIZE, precision="f13")


def test_every_backend_is_described() -> None:
    rows = describe_backends()
    assert [name for name, _, _ in rows] == list(BACKENDS)
    assert all(why for _, _, why in rows)
    assert {name for name, available, _ in rows if not available} == {name for name in BACKENDS if missing(name)}
