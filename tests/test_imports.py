"""Imports point one way, and a plain install runs live without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import livestyle

PACKAGE = Path(livestyle.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LEAF = {"arguments", "blend", "errors", "media", "config", "controls", "looks", "pictures", "own_banks", "v4l2"}
ROOMS = {"sources", "sinks", "artifacts", "backends"}
TORCH_ROOMS = {"model", "train", "deploy", "evaluate", "analogy"}
HAS_TORCH = {"torch", "torchvision", "nncf", "model"}
WRAPPERS: dict[str, set[str]] = {  # third-party runtime -> where it may be imported
    "openvino": {"backends/openvino_cpu.py", "backends/openvino_layout.py"},
    "tensorrt": set(),  # and tensorrt_rtx: loaded by name, in backends/tensorrt_library.py
    "tensorrt_rtx": set(),
    "pycuda": {"backends/tensorrt_library.py"},
    "pyvirtualcam": {"sinks/virtualcam.py"},
    "pynput": {"control/hotkeys.py"},
    "pythonosc": {"control/osc.py"},
    "mido": {"control/midi.py"},
    "rtmidi": set(),  # mido loads it
}


def room_of(path: Path) -> str:
    """The first part of a module's name below the package: a folder, or a file at its top."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import in a file, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.lineno, node.module
            if node.module == "livestyle":
                yield from ((node.lineno, f"livestyle.{alias.name}") for alias in node.names)


def own_imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, name below the package) of imports from the package itself."""
    for line, name in imports_of(path):
        if name.startswith("livestyle.") and not name.startswith("livestyle.__"):
            yield line, name.removeprefix("livestyle.")


def may_import(room: str, name: str) -> bool:
    """Whether a file of ``room`` may import ``name`` (both below the package)."""
    target = name.partition(".")[0]
    if target == room or target in LEAF:
        return room not in LEAF or target in LEAF
    if room in LEAF:
        return False
    if room in ROOMS:
        return (room == "backends" and target == "artifacts") or (room == "backends" and target == "model")
    if room == "live":
        return target in ROOMS
    if room == "control":
        return name == "live.stats"
    if room == "model":
        return target == "artifacts"
    if room in TORCH_ROOMS:
        return target not in {"cli", "verbs", "launch", "control"}
    if target == "verbs":
        return room == "cli"
    return target != "cli" or room == "__main__"  # the verbs at the top of the package put the rooms together


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path):
    wrong = [f"line {line}: {name}" for line, name in own_imports(path) if not may_import(room_of(path), name)]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_stays_in_its_rooms(path: Path):
    if room_of(path) in TORCH_ROOMS or path.relative_to(PACKAGE).as_posix() == "backends/reference.py":
        return
    names = {name.removeprefix("livestyle.").partition(".")[0] for _, name in imports_of(path)}
    assert not names & HAS_TORCH


@pytest.mark.parametrize("runtime", WRAPPERS)
def test_a_runtime_is_imported_where_it_is_wrapped(runtime: str):
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if room_of(path) not in TORCH_ROOMS and any(name.partition(".")[0] == runtime for _, name in imports_of(path))
    }
    assert users <= WRAPPERS[runtime]


@pytest.mark.parametrize("path", [PACKAGE / "cli.py", *(PACKAGE / "verbs").glob("*.py")], ids=lambda path: path.name)
def test_the_command_line_imports_what_a_verb_needs_only_when_it_is_asked_for(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}
    own = {name for name in names if name.startswith("livestyle.") and not name.startswith("livestyle.verbs.")}
    assert own <= {"livestyle.errors", "livestyle.terminal"}


@pytest.mark.parametrize("module", ["livestyle.cli", "livestyle.launch", "livestyle.diagnosis"])
def test_live_runs_without_torch(module: str):
    code = (
        f"import sys, {module}\n"
        "wrong = sorted({'torch', 'onnx', 'nncf', 'matplotlib', 'livestyle.model'} & set(sys.modules))\n"
        "sys.exit(', '.join(wrong) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr


def test_no_file_is_named_for_nothing():
    vague = {"utils", "util", "helpers", "helper", "common", "base", "manager", "core", "misc"}
    assert not [path for path in MODULES if path.stem in vague or path.parent.name in vague]


def test_files_stay_readable():
    long = {path.relative_to(PACKAGE).as_posix(): count for path in MODULES if (count := line_count(path)) > 400}
    assert not long


def line_count(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())
