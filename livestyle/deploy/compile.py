"""``livestyle compile``: the graphs of a model as engines of TensorRT or TensorRT for RTX, kept in the user's cache.

TensorRT for RTX builds without a graphics card and for all of them; TensorRT times its kernels on the one in here.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from livestyle.artifacts import Model
from livestyle.backends.engine_files import (
    EngineKey,
    EngineRecord,
    Toolchain,
    make_engine_folder,
    make_key,
    read_engine,
    read_record,
    write_engine,
)
from livestyle.backends.tensorrt_library import find_target, load_library
from livestyle.deploy.engine import build_engine
from livestyle.errors import BackendError, EngineMismatch

LOCK = "build.lock"  # in the engines' folder; one for all, because a build takes every core and much memory
GLANCE = 0.2  # s, how soon Ctrl-C is seen while another process builds

OnBuilt = Callable[[EngineRecord, bool], None]


def find_toolchain(backend: str) -> Toolchain:
    """What would build engines here. Raises `BackendUnavailable` when the library, or the card it needs, is missing."""
    return Toolchain(backend, load_library(backend).__version__, find_target(backend))


def compile_model(
    model: Model,
    backend: str,
    precisions: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    console: Console,
    on_built: OnBuilt = lambda record, fresh: None,
) -> None:
    """Build the engines of every graph for pictures of ``sizes``; one that is there already is only checked.

    ``on_built`` gets each record, and whether it was built now. Progress goes to ``console``. Ctrl-C ends the build at
    its next step (`KeyboardInterrupt`). Raises `BackendError`, `ConfigError` or `ModelError`.
    """
    toolchain = find_toolchain(backend)
    folder = make_engine_folder()
    padded = [model.manifest.pad_size(*size) for size in sizes]
    keys = [
        make_key(model, graph, precision, size, toolchain)
        for precision in precisions
        for size in padded
        for graph in model.manifest.graphs
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        _cancel_on_interrupt() as cancelled,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        for key in dict.fromkeys(keys):
            with _only_here(folder / LOCK, cancelled):
                record, fresh = _find_or_build(model, key, progress, cancelled)
            on_built(record, fresh)


def _find_or_build(
    model: Model, key: EngineKey, progress: Progress, cancelled: threading.Event
) -> tuple[EngineRecord, bool]:
    try:
        read_engine(key)
        return read_record(key), False
    except EngineMismatch:
        monitor = make_monitor(load_library(key.toolchain.backend), progress, key, cancelled)
    try:
        record, plan, layers = build_engine(model, key, monitor)
    except BackendError:
        if cancelled.is_set():
            raise KeyboardInterrupt from None
        raise
    write_engine(record, plan, layers)
    return record, True


def draw_table(rows: Sequence[tuple[EngineRecord, bool]]) -> Table:
    """A row per engine; ``layers`` counts the kernels that the nodes of the ONNX graph were fused into."""
    table = Table("model", "graph", "precision", "size", box=None, pad_edge=False)
    for heading in ("built", "seconds", "bytes", "nodes", "layers"):
        table.add_column(heading, justify="right")
    for record, fresh in rows:
        key = record.key
        cells = (key.profile, key.graph, key.precision, f"{key.width}x{key.height}", "now" if fresh else "before")
        figures = (f"{record.seconds:.2f}", f"{record.bytes:,}", f"{record.nodes}", f"{len(record.layers)}")
        table.add_row(*cells, *figures)
    return table


def make_monitor(library: Any, progress: Progress, key: EngineKey, cancelled: threading.Event) -> Any:
    """An ``IProgressMonitor`` that shows the builder's phases as bars, and stops the build when ``cancelled`` is set.

    The builder calls it from threads of its own too.
    """
    name = f"{key.graph} {key.precision} {key.width}x{key.height}"

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]  # a class of a library that is loaded when asked for
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)
            self._tasks: dict[str, TaskID] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._tasks[phase] = progress.add_task(f"  {phase}" if parent else name, total=steps)

        def step_complete(self, phase: str, step: int) -> bool:
            if phase in self._tasks:
                progress.update(self._tasks[phase], completed=step + 1)
            return not cancelled.is_set()

        def phase_finish(self, phase: str) -> None:
            task = self._tasks.pop(phase, None)
            if task is not None:
                progress.remove_task(task)

    return Monitor()


@contextlib.contextmanager
def _cancel_on_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C sets an event instead of raising: an exception must not cross the builder's own code."""
    cancelled = threading.Event()
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():  # other threads may not handle signals
        yield cancelled
        return

    def stop(number: int, frame: FrameType | None) -> None:
        cancelled.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield cancelled
    finally:
        signal.signal(signal.SIGINT, before)
    if cancelled.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def _only_here(path: Path, cancelled: threading.Event) -> Iterator[None]:
    """One process builds at a time; the others wait and then find what it built. The lock dies with its process."""
    lock = filelock.FileLock(path)
    while True:
        if cancelled.is_set():
            raise KeyboardInterrupt
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=GLANCE)
            break
    try:
        yield
    finally:
        lock.release()
