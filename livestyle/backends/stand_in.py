"""Another backend paints while a child process builds the engines of the one that was asked for.

The change over happens between two frames: the engines are loaded on a thread of their own, and the next `encode` goes
to them. What is carried from frame to frame travels with it, through the host.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from livestyle.backends import Backend, Chain, Graph, Handle
from livestyle.errors import LivestyleError

log = logging.getLogger(__name__)

FIRST = "encode"  # the graph that begins a frame
BACKGROUND = 10  # niceness of the child
LEAVE = 10.0  # s for the child to end once it was told to


class StandIn:
    """A backend that is ``now`` until ``command`` has run and ``open_next`` gives a better one."""

    def __init__(
        self, now: Backend, graphs: Sequence[str], command: Sequence[str], open_next: Callable[[], Backend]
    ) -> None:
        """``command`` builds what ``open_next`` opens; ``graphs`` are loaded before the change over."""
        self._now = now
        self._before: Backend | None = None  # still open after the change: handles of the last frame are on it
        self._next: tuple[Backend, dict[str, Graph]] | None = None
        self._graphs = tuple(graphs)
        self._loaded: dict[str, Graph] = {}
        self._open_next = open_next
        self._closing = threading.Event()
        pipe = subprocess.PIPE
        # In a session of its own: Ctrl-C is for us, and `close` ends the child.
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=pipe, start_new_session=True
        )
        if hasattr(os, "setpriority"):  # painting goes first
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._child.pid, BACKGROUND)
        self._thread = threading.Thread(target=self._wait, name="engines", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Of the backend that paints now."""
        return self._now.name

    @property
    def precision(self) -> str:
        """Of the backend that paints now."""
        return self._now.precision

    def load(self, graph: str) -> Graph:
        self._loaded[graph] = self._now.load(graph)
        return StandInGraph(self, graph)

    def join(self, first: Graph, second: Graph) -> Chain:
        return Chain(first, second)

    def upload(self, array: NDArray[Any]) -> Handle:
        return Held(self._now, self._now.upload(array))

    def download(self, handle: Handle) -> NDArray[Any]:
        return handle.backend.download(handle.handle)  # type: ignore[no-any-return]

    def run(self, graph: str, handles: dict[str, Handle]) -> dict[str, Handle]:
        """One graph on whoever paints now."""
        if graph == FIRST and self._next is not None:
            self._change_over()
        now = self._now
        moved = {name: held.on(now) for name, held in handles.items()}
        return {name: Held(now, handle) for name, handle in self._loaded[graph](**moved).items()}

    def _change_over(self) -> None:
        assert self._next is not None
        self._before = self._now
        (self._now, self._loaded), self._next = self._next, None
        log.warning("the engines are built: %s paints from here on", self._now.name)

    def close(self) -> None:
        """Stop building, and release everything. May be called twice."""
        self._closing.set()
        if self._child.poll() is None:
            self._child.terminate()
        self._thread.join(LEAVE)
        for backend in (self._next and self._next[0], self._before, self._now):
            if backend is not None:
                backend.close()
        self._next = self._before = None

    # On the thread "engines".

    def _wait(self) -> None:
        assert self._child.stderr is not None
        with self._child.stderr as stderr:
            said = stderr.read().decode(errors="replace").strip()
        if self._child.wait() != 0:
            if not self._closing.is_set():
                reason = said.splitlines()[-1].removeprefix("livestyle: ") if said else f"code {self._child.returncode}"
                log.warning("the engines cannot be built, %s goes on painting: %s", self._now.name, reason)
            return
        if self._closing.is_set():
            return
        try:
            backend = self._open_next()
            loaded = {graph: backend.load(graph) for graph in self._graphs}
        except LivestyleError as error:
            log.warning("the new engines cannot be used, %s goes on painting: %s", self._now.name, error)
            return
        self._next = backend, loaded


class Held:
    """A handle together with the backend that it belongs to; moved to another one on first use there."""

    def __init__(self, backend: Backend, handle: Handle) -> None:
        self.backend = backend
        self.handle = handle

    def on(self, backend: Backend) -> Handle:
        """The same contents on ``backend``."""
        if self.backend is not backend:
            self.handle = backend.upload(self.backend.download(self.handle))
            self.backend = backend
        return self.handle


class StandInGraph:
    """One graph of a `StandIn`."""

    def __init__(self, backend: StandIn, name: str) -> None:
        self._backend = backend
        self._name = name

    def __call__(self, **handles: Handle) -> dict[str, Handle]:
        return self._backend.run(self._name, handles)


def build_command(backend: str, profile: str, width: int, height: int, precision: str) -> list[str]:
    """What builds the engines for pictures of ``width`` x ``height``."""
    options = ["--backend", backend, "--profile", profile, "--size", f"{width}x{height}", "--precision", precision]
    return [sys.executable, "-m", "livestyle", "compile", *options]
