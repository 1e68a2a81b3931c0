"""``livestyle compile``: engines are kept, found again and built anew; bad models and options are told in a line."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import onnx
import pytest
from cards import missing
from model_copies import edit_manifest, one_graph, replace_graph
from rich.console import Console

from livestyle.artifacts import Model, load_model
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
from livestyle.cli import main
from livestyle.deploy.compile import compile_model, find_toolchain
from livestyle.errors import EngineMismatch, ModelError

QUIET = Console(quiet=True)


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments: str) -> int:
    """The exit code of the command line, in this process."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


def build_compose(folder: Path) -> EngineKey:
    model = one_graph(folder, "compose")
    compile_model(model, "rtx", ["f32"], [(64, 40)], QUIET)
    return make_key(model, "compose", "f32", model.manifest.pad_size(64, 40), find_toolchain("rtx"))


def test_a_second_run_builds_nothing(own_cache: Path) -> None:
    model = one_graph(own_cache / "live", "compose")
    rows: list[tuple[EngineRecord, bool]] = []
    for _ in range(2):
        compile_model(model, "rtx", ["f32"], [(64, 40)], QUIET, lambda *row: rows.append(row))
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
        compile_model(model, "rtx", ["f16"], [(64, 40)], QUIET)


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
        compile_model(model, "rtx", ["f16"], [(64, 40)], QUIET)


def test_a_graph_of_other_channels_than_the_manifest_says(own_cache: Path) -> None:
    model = one_graph(own_cache / "live", "decode")
    edit_manifest(own_cache / "live", channels=64)
    with pytest.raises(ModelError, match="another shape than the manifest's"):
        compile_model(Model(own_cache / "live"), "rtx", ["f32"], [(64, 40)], QUIET)
    assert model.manifest.channels == 48


def test_a_graph_that_the_library_refuses(own_cache: Path) -> None:
    graph = onnx.load(load_model().graph_path("compose"))
    graph.graph.node[0].op_type = "Nonsense"
    model = replace_graph(own_cache / "live", "compose", graph.SerializeToString())
    with pytest.raises(ModelError, match="refuses graph compose"):
        compile_model(model, "rtx", ["f32"], [(64, 40)], QUIET)


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
