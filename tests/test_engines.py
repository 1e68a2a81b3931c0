"""Engines: every graph of every model is really built with TensorRT for RTX, which needs no graphics card for that."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from model_copies import edit_manifest
from rich.console import Console

from livestyle.artifacts import Model, find_profiles, hash_file, load_model
from livestyle.backends.engine_files import (
    EngineKey,
    EngineRecord,
    engine_folder,
    make_key,
    read_engine,
)
from livestyle.backends.tensorrt_library import load_library, open_log
from livestyle.deploy.compile import compile_model, find_toolchain
from livestyle.deploy.engine import build_engine, read_graph

SIZE = (80, 48)  # of pictures; small, because building takes as long as compiling the kernels, whatever the size
PRECISIONS = ("f32", "f16", "int8")
BUILDS = [
    (profile, precision, graph)
    for profile in find_profiles()
    for precision in PRECISIONS
    for graph in load_model(profile).manifest.graphs
]


@pytest.fixture(scope="module")
def built(cache: Path) -> dict[tuple[str, str, str], EngineRecord]:
    """Every graph of every model in every precision."""
    records = {}
    for profile in find_profiles():
        model = load_model(profile)
        for precision in PRECISIONS:
            said: list[tuple[EngineRecord, bool]] = []
            compile_model(
                model, "rtx", [precision], [SIZE], Console(quiet=True), lambda *row, said=said: said.append(row)
            )
            records |= {(profile, precision, record.key.graph): record for record, _ in said}
    return records


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "precision", "graph"), BUILDS)
def test_every_graph_is_built(
    built: dict[tuple[str, str, str], EngineRecord], profile: str, precision: str, graph: str
) -> None:
    record, model = built[profile, precision, graph], load_model(profile)
    facts = model.manifest
    width, height = facts.pad_size(*SIZE)
    inputs = {tensor.name: tensor.shape for tensor in record.tensors if not tensor.output}
    assert inputs == facts.input_shapes(graph, width, height)
    (output,) = [tensor for tensor in record.tensors if tensor.output]
    maps = (1, facts.channels, height // facts.stride, width // facts.stride)
    assert output.name == facts.graphs[graph].output
    others = {"picture": (1, height, width, 3), "mask": (1, 1, *maps[2:]), "motion": (1, 3, *maps[2:])}
    assert output.shape == others.get(output.name, maps)
    kinds = {tensor.name: tensor.kind for tensor in record.tensors}
    crossing = "float" if precision == "f32" else "half"
    for tensor in record.tensors:
        pixels = tensor.name in ("pixels", "picture", "luma", "past_luma")
        assert kinds[tensor.name] == ("uint8" if pixels else crossing if tensor.shape == maps else "float")
    assert 0 < len(record.layers) < record.nodes
    assert (engine_folder() / record.key.name).with_suffix(".layers.txt").stat().st_size > 0


@pytest.mark.slow
def test_the_library_knows_its_own_engines(built: dict[tuple[str, str, str], EngineRecord]) -> None:
    """By their headers; that there is no card to run them on is a separate complaint, and not made of the engine."""
    library = load_library("rtx")
    wrong = library.EngineInvalidityDiagnostics
    runtime = library.Runtime(open_log("rtx").logger)
    bad = int(wrong.MALFORMED_ENGINE) | int(wrong.VERSION_MISMATCH)
    for record in built.values():
        plan = read_engine(record.key)
        assert len(plan) == record.bytes
        assert not int(runtime.get_engine_validity(plan)[1]) & bad
    assert int(runtime.get_engine_validity(b"\0" * 4096)[1]) & bad


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["encode", "bank", "decode"])
def test_convolutions_are_layers_by_their_names(built: dict[tuple[str, str, str], EngineRecord], graph: str) -> None:
    for profile in find_profiles():
        source = onnx.load(load_model(profile).graph_path(graph))
        convolutions = [node.name for node in source.graph.node if node.op_type == "Conv"]
        layers = built[profile, "f32", graph].layers
        named = sum(any(name in layer for layer in layers) for name in convolutions)
        correlations = sum("Corr" in layer for layer in layers)  # TensorRT for RTX's own name, for a 9×9 to 3 channels
        assert convolutions
        assert named + correlations == len(convolutions)


def test_the_past_is_warped_inside_the_mask_graph() -> None:
    for profile in find_profiles():
        nodes = onnx.load(load_model(profile).graph_path("mask")).graph.node
        assert [node.op_type for node in nodes].count("GridSample") == 1


@pytest.mark.slow
def test_the_published_shape_is_built_with_integer_convolutions(tmp_path: Path) -> None:
    studio = load_model("studio")
    path = studio.graph_path("decode")
    folder = tmp_path / "studio"
    shutil.copytree(studio.folder, folder)
    (folder / "decode.onnx").write_bytes(quantise(path, (1, studio.manifest.channels, 12, 16), tmp_path))
    entry = msgspec.structs.replace(studio.manifest.graphs["decode"], sha256=hash_file(folder / "decode.onnx"))
    edit_manifest(folder, variants={"int8": {"decode": entry}}, graphs=studio.manifest.graphs | {"decode": entry})
    model = Model(folder)
    key = make_key(model, "decode", "int8", model.manifest.pad_size(48, 32), find_toolchain("rtx"))
    assert key.precision == "int8"
    check_integers(model, key)


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["encode", "decode"])
def test_the_shipped_form_in_whole_numbers_has_integer_convolutions(graph: str) -> None:
    model = load_model()
    key = make_key(model, graph, "int8", model.manifest.pad_size(*SIZE), find_toolchain("rtx"))
    assert key.precision == "int8"
    check_integers(model, key)


def check_integers(model: Model, key: EngineKey) -> None:
    shapes = model.manifest.input_shapes(key.graph, key.width, key.height)
    source = read_graph(model, key, shapes).graph
    made_by = {name: node for node in source.node for name in node.output}
    whole = [n for n in source.node if n.op_type == "Conv" and made_by[n.input[0]].op_type == "DequantizeLinear"]
    _, _, details = build_engine(model, key)
    layers = [line for line in details.splitlines() if "LayerType: correlation" in line]
    assert whole
    assert len([line for line in layers if "Datatype: Int8" in line]) == len(whole)


def quantise(graph: Path, shape: tuple[int, ...], folder: Path) -> bytes:
    """The graph with quantisers round its convolutions, as TensorRT wants them: symmetric, biases left alone."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._samples = iter([{"painted": np.random.default_rng(0).random(shape, np.float32)}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._samples, None)

    target = folder / "quantised.onnx"
    quantize_static(
        graph,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    return target.read_bytes()
