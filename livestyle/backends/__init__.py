"""What runs the graphs of a model: a table of backends and the seam they all fill.

Handles are opaque: only pixels (u8) and kernels cross to the host. A handle that a graph returned stays valid until
that graph has been called twice more, so that the features of the last frame can be an input of this one uncopied.
"""

import functools
import importlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from livestyle.artifacts import Model, find_person
from livestyle.controls import find_name
from livestyle.errors import BackendUnavailable, EngineMismatch
from livestyle.media import Pixels

log = logging.getLogger(__name__)

Handle = Any


class Graph(Protocol):
    """One graph at a fixed picture size; named handles in, named handles out."""

    def __call__(self, **handles: Handle) -> dict[str, Handle]:
        """Run. Raises `BackendError`."""


class Backend(Protocol):
    """Runs the graphs of one model at one picture size. Used by one thread."""

    @property
    def name(self) -> str:
        """As in `BACKENDS`."""

    @property
    def precision(self) -> str:
        """What it computes in."""

    def load(self, graph: str) -> Graph:
        """Compile a graph. Raises `BackendError`."""

    def join(self, first: Graph, second: Graph) -> Graph:
        """Two graphs of `load` as one: what ``first`` gives is the first input of ``second``. Raises `BackendError`."""

    def upload(self, array: NDArray[Any]) -> Handle:
        """A handle for a host array; the array must stay unchanged while the handle is used."""

    def download(self, handle: Handle) -> NDArray[Any]:
        """A host copy of what a handle holds."""

    def close(self) -> None:
        """Release everything. May be called twice."""


class Chain:
    """Two graphs run one after the other, for backends to which that is all that `Backend.join` can be."""

    def __init__(self, first: Graph, second: Graph) -> None:
        """Every input is one of ``first``."""
        self._first = first
        self._second = second

    def __call__(self, **handles: Handle) -> dict[str, Handle]:
        return self._second(**self._first(**handles))


BACKENDS: dict[str, str] = {
    "openvino": "livestyle.backends.openvino_cpu:OpenVinoBackend",
    "reference": "livestyle.backends.reference:ReferenceBackend",
    "tensorrt": "livestyle.backends.tensorrt_gpu:TensorrtBackend",
    "rtx": "livestyle.backends.rtx_gpu:RtxBackend",
}


def open_backend(name: str, model: Model, width: int, height: int, precision: str = "auto") -> Backend:
    """Open a backend for pictures of ``width`` x ``height`` (multiples of the model's ``multiple``).

    ``precision`` is ``f32``, or ``auto`` for what the processor does fastest at no visible loss. Raises `ConfigError`
    for an unknown name, `BackendUnavailable` when its runtime is not installed. Where engines must be built first,
    OpenVINO paints until they are.
    """
    if name == "auto":
        name = "openvino"
    module_name, class_name = BACKENDS[find_name(name, BACKENDS, "backend")].split(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise BackendUnavailable(f"backend {name!r} needs {error.name}: {_INSTALL[name]}") from error
    make = functools.partial(getattr(module, class_name), model, width, height, precision)
    try:
        backend: Backend = make()
    except EngineMismatch as why:
        return _stand_in(name, model, width, height, precision, make, why)
    return backend


def _stand_in(
    name: str, model: Model, width: int, height: int, precision: str, make: Callable[[], Backend], why: Exception
) -> Backend:
    from livestyle.backends.stand_in import StandIn, build_command

    log.warning("%s: building the engines of %s now, openvino paints until they are there", why, name)
    facts = model.manifest
    inner = width - 2 * facts.margin, height - 2 * facts.margin
    command = build_command(name, facts.profile, *inner, precision)
    now = open_backend("openvino", model, width, height, "f32" if precision == "f32" else "auto")
    return StandIn(now, tuple(facts.graphs), command, make)


def open_person() -> Callable[[Pixels], NDArray[np.float32]]:
    """The network that finds people, ready to run: RGB (144, 256, 3) to (144, 256) in [0, 1], 1 where a person is sure.

    Raises `ModelError` when it is missing or damaged.
    """
    from livestyle.backends.openvino_cpu import OpenVinoNetwork

    run = OpenVinoNetwork(find_person())
    return lambda pixels: np.asarray(run(pixels[None])[0, 0])


def describe_backends() -> list[tuple[str, bool, str]]:
    """(name, available, why) of every backend, for ``livestyle doctor``."""
    rows = []
    for name, target in BACKENDS.items():
        try:
            why = importlib.import_module(target.split(":")[0]).describe()
            rows.append((name, True, why))
        except ImportError as error:
            rows.append((name, False, f"{error.name} is not installed: {_INSTALL[name]}"))
        except BackendUnavailable as error:
            rows.append((name, False, str(error)))
    return rows


_INSTALL: Mapping[str, str] = {
    "openvino": "pip install openvino",
    "reference": "pip install 'livestyle[train]'",
    "tensorrt": "pip install 'livestyle[tensorrt]'",
    "rtx": "pip install 'livestyle[rtx]'",
}
