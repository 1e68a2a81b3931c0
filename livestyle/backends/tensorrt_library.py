"""TensorRT and TensorRT for RTX, which have one Python interface, and the graphics card that they compute on.

Nothing here is imported before it is asked for: the libraries are large, and pycuda fails to import without a driver.
"""

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from livestyle.errors import BackendUnavailable

LIBRARIES = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}  # backend -> Python module
OLDEST = {"tensorrt": (10, 12), "rtx": (1, 4)}  # all networks strongly typed; kernels kept between starts
PORTABLE = "portable"  # TensorRT for RTX builds for every card from Ampere on, whatever is in this machine


@functools.cache
def load_library(backend: str) -> Any:
    """The Python module of a backend. Raises `BackendUnavailable` when it is not installed or too old."""
    try:
        library = importlib.import_module(LIBRARIES[backend])
    except ImportError as error:
        raise BackendUnavailable(
            f"backend {backend!r} needs {LIBRARIES[backend]}: pip install 'livestyle[{backend}]'"
        ) from error
    version = tuple(int(part) for part in library.__version__.split(".")[:2])
    if version < OLDEST[backend]:
        oldest = ".".join(str(part) for part in OLDEST[backend])
        raise BackendUnavailable(f"{LIBRARIES[backend]} {library.__version__} is too old: install {oldest} or newer")
    return library


@functools.cache
def open_log(backend: str) -> "Log":
    """The one logger of a library: it takes the first that it is given and ignores every later one."""
    return Log(load_library(backend))


class Log:
    """Keeps what a library says, because its functions return None on failure and put the reason here."""

    def __init__(self, library: Any) -> None:
        self.lines: list[tuple[int, str]] = []
        severity = library.ILogger.Severity
        self._errors = {int(severity.INTERNAL_ERROR), int(severity.ERROR)}
        lines = self.lines

        class Logger(library.ILogger):  # type: ignore[misc]  # a class of a library that is loaded when asked for
            def __init__(self) -> None:
                library.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                lines.append((int(severity), message))

        self.logger = Logger()

    def clear(self) -> None:
        """Forget everything said so far."""
        self.lines.clear()

    def text(self) -> str:
        """Everything said since `clear`."""
        return "\n".join(message for _, message in self.lines)

    def errors(self) -> str:
        """The errors among it, as one line."""
        said = [" ".join(message.split()) for severity, message in self.lines if severity in self._errors]
        return "; ".join(dict.fromkeys(said)) or "no reason was given"


class Card:
    """The first graphics card and its primary context, which pycuda and TensorRT share.

    The context is kept as long as the process lives: opening it takes longer than painting many frames, and every
    size that the painter steps through opens a backend. It is current only inside `current`, on whatever thread.
    """

    def __init__(self, cuda: Any) -> None:
        """``cuda`` is the module pycuda.driver."""
        self.cuda = cuda
        device = cuda.Device(0)
        major, minor = device.compute_capability()
        self.name: str = device.name()
        self.capability = f"sm{major}{minor}"
        self._context = device.retain_primary_context()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make the context the calling thread's own, about a microsecond; may be nested."""
        self._context.push()
        try:
            yield
        finally:
            self.cuda.Context.pop()


@functools.cache
def open_card() -> Card:
    """The graphics card. Raises `BackendUnavailable` when there is none, no driver, or no pycuda."""
    if importlib.util.find_spec("pycuda") is None:
        raise BackendUnavailable("pycuda is not installed: pip install pycuda (it needs the CUDA toolkit to build)")
    try:
        import pycuda.driver as cuda
    except ImportError as error:  # its extension links to libcuda, which the driver brings
        raise BackendUnavailable(f"there is no NVIDIA driver here ({error})") from error
    try:
        cuda.init()
        return Card(cuda)
    except cuda.Error as error:
        raise BackendUnavailable(f"no NVIDIA graphics card can be used: {error}") from error


def find_target(backend: str) -> str:
    """What an engine built here would run on. Raises `BackendUnavailable`."""
    if backend == "rtx":
        return PORTABLE
    card = open_card()
    return f"{card.capability} {card.name}"


def describe_library(backend: str) -> str:
    """One line for ``livestyle doctor``. Raises `BackendUnavailable`."""
    library = load_library(backend)
    try:
        card = open_card()
    except BackendUnavailable as error:
        able = "it builds engines, but cannot run them" if backend == "rtx" else "it cannot build engines either"
        raise BackendUnavailable(f"{LIBRARIES[backend]} {library.__version__} is here, {able}: {error}") from error
    return f"{LIBRARIES[backend]} {library.__version__}, {card.name} ({card.capability})"
