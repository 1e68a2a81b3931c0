"""Engines: every graph of every model is really built with TensorRT for RTX, which needs no graphics card for that."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import torch
from cards import missing
from rich.console import Console

from livestyle.artifacts import GraphEntry, Model, find_profiles, hash_file, load_model
from livestyle.backends.engine_files import (
    EngineKey,
    EngineRecord,
    Toolchain,
    engine_folder,
    find_engines,
    make_key,
    read_engine,
    read_record,
)
from livestyle.backends.tensorrt_library import load_library, open_log
from livestyle.cli import main
from livestyle.deploy.compile import compile_model, find_toolchain
from livestyle.deploy.engine import build_engine, find_feature_maps, read_graph
from livestyle.deploy.export import export_graph
from livestyle.deploy.half import write_half
from livestyle.errors import EngineMismatch, ModelError
from livestyle.model.graphs import GRAPHS, build_graphs, make_examples
from livestyle.model.motion import MaskNetwork
from livestyle.model.profiles import find_profile

SIZE = (80, 48)  # of pictures; small, because building takes as long as compiling the kernels, whatever the size
PRECISIONS = ("f32", "f16", "int8")
BUILDS = [
    (profile, precision, graph)
    for profile in find_profiles()
    for precision in PRECISIONS
    for graph in load_model(profile).manifest.graphs
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def built(cache: Path) -> dict[tuple[str, str, str], EngineRecord]:
    """Every graph of every model in every precision."""
    records = {}
    for profile in find_profiles():
        model = load_model(profile)
        for precision in PRECISIONS:
            said: list[tuple[EngineRecord, bool]] = []
            compile_model(model, "rtx", [precision], [SIZE], quiet(), lambda *row, said=said: said.append(row))
            records |= {(profile, precision, record.key.graph): record for record, _ in said}
    return records


def quiet() -> Console:
    return Console(file=io.StringIO())


def run(*arguments: str) -> int:
    """The exit code of the command line, in this process."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


def one_graph(folder: Path, graph: str) -> Model:
    """A copy of the shipped model that has only one graph, so that building it takes a second."""
    shutil.copytree(load_model().folder, folder, dirs_exist_ok=True)
    edit_manifest(folder, graphs={graph: msgspec.to_builtins(load_model().manifest.graphs[graph])})
    return Model(folder)


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_bytes(msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), **changes}))


def replace_graph(folder: Path, graph: str, data: bytes, **entry: object) -> Model:
    """A copy of the shipped model in which one graph is another file, with the hash to match."""
    model = one_graph(folder, graph)
    path = model.graph_path(graph)
    path.write_bytes(data)
    facts = msgspec.to_builtins(model.manifest.graphs[graph])
    edit_manifest(folder, graphs={graph: {**facts, "sha256": hash_file(path), **entry}})
    return Model(folder)


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
    others = {"picture": (1, height, width, 3), "mask": (1, 1, *maps[2:])}
    assert output.shape == others.get(output.name, maps)
    kinds = {tensor.name: tensor.kind for tensor in record.tensors}
    crossing = "float" if precision == "f32" else "half"
    for tensor in record.tensors:
        pixels = tensor.name in ("pixels", "picture")
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
        assert convolutions
        assert all(any(name in layer for layer in layers) for name in convolutions)


def test_the_past_is_warped_inside_the_mask_graph() -> None:
    for profile in find_profiles():
        nodes = onnx.load(load_model(profile).graph_path("mask")).graph.node
        assert [node.op_type for node in nodes].count("GridSample") == 1


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
    assert difference <= (2.0 if graph == "decode" else 4e-3)


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


def test_a_second_run_builds_nothing(cache: Path, tmp_path: Path) -> None:
    model = one_graph(tmp_path / "live", "compose")
    rows: list[tuple[EngineRecord, bool]] = []
    for _ in range(2):
        compile_model(model, "rtx", ["f32"], [(64, 40)], quiet(), lambda *row: rows.append(row))
    assert [fresh for _, fresh in rows] == [True, False]
    assert rows[0][0] == rows[1][0]


def test_an_engine_is_named_after_everything_that_changes_it() -> None:
    model = load_model()
    key = make_key(model, "decode", "f16", (96, 64), Toolchain("rtx", "1.7.1", "portable"))
    others = [
        msgspec.structs.replace(key, sha256="0" * 64),
        msgspec.structs.replace(key, precision="f32"),
        msgspec.structs.replace(key, width=104),
        msgspec.structs.replace(key, rules=key.rules + 1),
        msgspec.structs.replace(key, toolchain=Toolchain("rtx", "1.7.2", "portable")),
        msgspec.structs.replace(key, toolchain=Toolchain("tensorrt", "1.7.1", "sm89 NVIDIA GeForce RTX 4090")),
    ]
    assert len({key.name, *(other.name for other in others)}) == 7


def build_compose(folder: Path) -> EngineKey:
    model = one_graph(folder, "compose")
    compile_model(model, "rtx", ["f32"], [(64, 40)], quiet())
    return make_key(model, "compose", "f32", model.manifest.pad_size(64, 40), find_toolchain("rtx"))


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_an_engine_of_another_version_is_not_taken_and_then_removed(own_cache: Path) -> None:
    key = build_compose(own_cache / "live")
    older = msgspec.structs.replace(key, toolchain=msgspec.structs.replace(key.toolchain, version="1.6.0"))
    for suffix in (".engine", ".json", ".layers.txt"):
        path = engine_folder() / key.name
        path.with_suffix(suffix).rename((engine_folder() / older.name).with_suffix(suffix))
    with pytest.raises(EngineMismatch, match="another version"):
        read_engine(key)
    build_compose(own_cache / "live")
    assert [path.name for path in find_engines(key.kind)] == [key.name]


def test_half_an_engine_is_noticed_and_built_again(own_cache: Path) -> None:
    key = build_compose(own_cache / "live")
    path = engine_folder() / key.name
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EngineMismatch, match="damaged"):
        read_engine(key)
    build_compose(own_cache / "live")
    assert read_record(key).bytes == len(read_engine(key))


def test_a_truncated_graph(own_cache: Path) -> None:
    data = load_model().graph_path("decode").read_bytes()
    model = replace_graph(own_cache / "live", "decode", data[: len(data) // 2])
    with pytest.raises(ModelError, match="not a whole ONNX file"):
        compile_model(model, "rtx", ["f16"], [(64, 40)], quiet())


@pytest.mark.parametrize(
    ("graph", "entry", "says"),
    [
        ("compose", {"inputs": ["below", "mask", "above"]}, "the manifest says below, mask, above"),
        ("decode", {"output": "painting"}, "gives picture; the manifest says painted and painting"),
    ],
)
def test_a_manifest_that_disagrees(own_cache: Path, graph: str, entry: dict[str, object], says: str) -> None:
    data = load_model().graph_path(graph).read_bytes()
    model = replace_graph(own_cache / "live", graph, data, **entry)
    with pytest.raises(ModelError, match=says):
        compile_model(model, "rtx", ["f16"], [(64, 40)], quiet())


def test_a_graph_of_other_channels_than_the_manifest_says(own_cache: Path) -> None:
    model = one_graph(own_cache / "live", "decode")
    edit_manifest(own_cache / "live", channels=64)
    with pytest.raises(ModelError, match="another shape than the manifest's"):
        compile_model(Model(own_cache / "live"), "rtx", ["f32"], [(64, 40)], quiet())
    assert model.manifest.channels == 48


def test_a_graph_that_the_library_refuses(own_cache: Path) -> None:
    graph = onnx.load(load_model().graph_path("compose"))
    graph.graph.node[0].op_type = "Nonsense"
    model = replace_graph(own_cache / "live", "compose", graph.SerializeToString())
    with pytest.raises(ModelError, match="refuses graph compose"):
        compile_model(model, "rtx", ["f32"], [(64, 40)], quiet())


def test_a_cache_that_cannot_be_written_to(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_cache / "cache").write_text("a file where the folder should be")
    assert run("compile", "--backend", "rtx", "--size", "64x40") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "cannot be written to" in line


def test_two_processes_build_one_after_the_other(own_cache: Path) -> None:
    one_graph(own_cache / "live", "encode")
    code = (
        "import io, sys; from pathlib import Path; from rich.console import Console\n"
        "from livestyle.artifacts import Model; from livestyle.deploy.compile import compile_model\n"
        f"model, console = Model(Path({str(own_cache / 'live')!r})), Console(file=io.StringIO())\n"
        "compile_model(model, 'rtx', ['f16'], [(64, 40)], console, lambda record, fresh: print(int(fresh)))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["0", "1"]
    (engine,) = find_engines()
    assert engine.stat().st_size > 0


def test_ctrl_c_ends_a_build_and_leaves_nothing_half_done(own_cache: Path) -> None:
    code = (
        "import signal, sys; from livestyle.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets jobs in the background ignore it\n"
        "main(sys.argv[1:])"
    )
    sizes = [word for side in range(64, 640, 8) for word in ("--size", f"{side}x40")]  # minutes of work
    command = [sys.executable, "-c", code, "compile", "--backend", "rtx", *sizes]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lock = own_cache / "cache/livestyle/engines/build.lock"
    deadline = time.monotonic() + 60
    while not lock.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said.decode()
    assert b"Traceback" not in said
    for engine in find_engines():
        assert engine.with_suffix(".json").exists()
    assert not [path for path in engine_folder().iterdir() if path.name.endswith(".part")]


def test_the_table_has_a_row_for_each_engine(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(own_cache / "cache")
    assert run("compile", "--backend", "rtx", "--size", "32x32", "--precision", "f32", "--profile", "live") == 0
    printed = capsys.readouterr().out
    for graph in load_model().manifest.graphs:
        (row,) = [line.split() for line in printed.splitlines() if f" {graph} " in line]
        assert row[2:5] == ["f32", "48x48", "now"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--backend", "rtz"), 2, "did you mean 'rtx'"),
        (("--backend", "rtx", "--precision", "f61"), 2, "did you mean 'f16'"),
        (("--backend", "rtx", "--size", "640"), 2, "not of the form"),
        (("--backend", "rtx", "--profile", "lif"), 2, "did you mean 'live'"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", *arguments) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line


@pytest.mark.skipif(missing("tensorrt") is None, reason="TensorRT and a card are here")
def test_what_is_missing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", "--backend", "tensorrt") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install" in line or "card" in line or "driver" in line


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A ``studio`` model, untrained: what is built does not depend on weights."""
    folder = tmp_path_factory.mktemp("engines") / "studio"
    shutil.copytree(load_model().folder, folder)
    profile = find_profile("studio")
    modules = build_graphs(
        profile.make_encoder().eval(), profile.make_decoder().eval(), MaskNetwork(profile.channels).eval()
    )
    graphs = {}
    for name, module in modules.items():
        module.requires_grad_(False)
        path = folder / f"{name}.onnx"
        path.write_bytes(export_graph(name, module, profile))
        names = GRAPHS[name]
        graphs[name] = GraphEntry(path.name, hash_file(path), names.inputs, names.output)
    facts = {key: getattr(profile, key) for key in ("channels", "stride", "multiple", "margin")}
    edit_manifest(folder, graphs=graphs, variants={}, profile="studio", **facts)
    return Model(folder)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f32", "f16"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_the_published_shape_is_built_too(studio: Model, graph: str, precision: str) -> None:
    size = studio.manifest.pad_size(48, 32)
    record, plan, _ = build_engine(studio, make_key(studio, graph, precision, size, find_toolchain("rtx")))
    inputs = {tensor.name: tensor.shape for tensor in record.tensors if not tensor.output}
    assert inputs == studio.manifest.input_shapes(graph, *size)
    assert len(plan) == record.bytes
    assert record.layers


@pytest.mark.slow
def test_the_published_shape_is_built_with_integer_convolutions(studio: Model, own_cache: Path) -> None:
    path = studio.graph_path("decode")
    folder = own_cache / "studio"
    shutil.copytree(studio.folder, folder)
    (folder / "decode.onnx").write_bytes(quantise(path, (1, studio.manifest.channels, 12, 16), own_cache))
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
