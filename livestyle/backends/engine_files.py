"""Compiled engines in the user's cache: what an engine is named after, and whether one may be used.

A file's name holds a digest of everything that changes its bytes (`EngineKey`), so an engine of another model, size,
precision, library or graphics card is not found rather than misread. Beside each lies a ``.json``, written last: what
was built, from what, and the sha256 of the engine, so that half an engine is noticed too; and ``.layers.txt``, what the
builder made of the graph.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import platformdirs

from livestyle.artifacts import GraphEntry, Model, write_whole
from livestyle.controls import find_name
from livestyle.errors import BackendError, ConfigError, EngineMismatch

PRECISIONS = ("f32", "f16", "int8")
RULES = 1  # raised whenever `livestyle.deploy` builds other bytes from the same key


class Toolchain(msgspec.Struct, frozen=True):
    """Who builds, and for what: ``backend`` ``tensorrt`` or ``rtx``, the library's version, ``target`` the graphics
    card (``sm89 NVIDIA GeForce RTX 4090``) or ``portable`` for every one of the Ampere generation and later.
    """

    backend: str
    version: str
    target: str


class EngineKey(msgspec.Struct, frozen=True):
    """Everything that changes an engine's bytes. ``sha256`` is that of the ONNX file, the size that of the graph."""

    toolchain: Toolchain
    profile: str
    graph: str
    sha256: str
    precision: str
    width: int
    height: int
    rules: int = RULES

    @property
    def kind(self) -> str:
        """What of the name stays when livestyle, the library or the card changes."""
        return f"{self.toolchain.backend}-{self.profile}-{self.graph}-{self.width}x{self.height}-{self.precision}"

    @property
    def name(self) -> str:
        """The engine's file name."""
        return f"{self.kind}-{hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]}.engine"


class TensorFacts(msgspec.Struct, frozen=True):
    """One input or output of an engine: ``kind`` as the builder says it (``Float``, ``Half``, ``UInt8``)."""

    name: str
    output: bool
    kind: str
    shape: tuple[int, ...]


class EngineRecord(msgspec.Struct, frozen=True):
    """What is known of a built engine. ``layers`` are the kernels that ``nodes`` ONNX nodes were fused into."""

    key: EngineKey
    sha256: str
    bytes: int
    seconds: float
    nodes: int
    tensors: tuple[TensorFacts, ...]
    layers: tuple[str, ...]


def choose_precision(precision: str) -> str:
    """``auto`` is f16. Raises `ConfigError` for an unknown word."""
    return find_name("f16" if precision == "auto" else precision, PRECISIONS, "precision")


def find_graph(model: Model, graph: str, precision: str) -> tuple[Path, GraphEntry, str]:
    """(ONNX file, its entry in the manifest, precision built) of a graph; int8 without such a form is built in f16."""
    variant = "int8" if precision == "int8" else ""
    if precision == "int8" and graph not in model.manifest.variants.get(variant, {}):
        precision = "f16"
    return model.graph_path(graph, variant), model.graph_entry(graph, variant), precision


def make_key(model: Model, graph: str, precision: str, size: tuple[int, int], toolchain: Toolchain) -> EngineKey:
    """The key of a graph for a padded picture ``size`` (see `Manifest.pad_size`)."""
    _, entry, precision = find_graph(model, graph, choose_precision(precision))
    return EngineKey(toolchain, model.manifest.profile, graph, entry.sha256, precision, *size)


def engine_folder() -> Path:
    """Where engines lie; it need not exist."""
    return Path(platformdirs.user_cache_dir("livestyle")) / "engines"


def make_engine_folder() -> Path:
    """The same, made and fit to write to. Raises `ConfigError`."""
    folder = engine_folder()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"engines are kept in {folder}, which cannot be written to: mend that or set XDG_CACHE_HOME")
    return folder


def read_record(key: EngineKey) -> EngineRecord:
    """What was noted when the engine was built. Raises `EngineMismatch`."""
    path = engine_folder() / key.name
    try:
        record = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=EngineRecord)
    except FileNotFoundError:
        raise EngineMismatch(_explain_absence(key)) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise EngineMismatch(f"{path.with_suffix('.json')} is damaged: {error}") from error
    if record.key != key:
        raise EngineMismatch(f"{path} was built for something else")
    return record


def read_engine(key: EngineKey) -> bytes:
    """The engine itself. Raises `EngineMismatch` when there is none for this key, or not a whole one."""
    record = read_record(key)
    path = engine_folder() / key.name
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise EngineMismatch(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(plan).hexdigest() != record.sha256:
        raise EngineMismatch(f"{path} is damaged (its sha256 is not the one noted when it was built)")
    return plan


def write_engine(record: EngineRecord, plan: bytes, layers: str) -> None:
    """Keep an engine and the builder's description of its ``layers``, and remove what other versions built of it.

    Raises `BackendError`.
    """
    path = make_engine_folder() / record.key.name
    try:
        write_whole(path, plan)
        write_whole(path.with_suffix(".layers.txt"), layers.encode())
        write_whole(path.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(record)))
    except OSError as error:
        raise BackendError(f"the engine {path} cannot be written: {error.strerror}") from error
    for other in find_engines(record.key.kind):
        if other != path:
            for file in (other.with_suffix(".json"), other.with_suffix(".layers.txt"), other):
                with contextlib.suppress(OSError):
                    file.unlink()


def find_engines(kind: str = "") -> Iterator[Path]:
    """Engine files in the cache, of one kind or all."""
    yield from sorted(engine_folder().glob(f"{kind}-*.engine" if kind else "*.engine"))


def _explain_absence(key: EngineKey) -> str:
    others = list(find_engines(key.kind))
    what = f"graph {key.graph} at {key.width}x{key.height} in {key.precision}"
    if others:
        return f"the engine of {what} was built by another version, for another model or another card"
    return f"there is no engine of {what} yet"
