"""TensorRT and TensorRT for RTX on a graphics card: engines that `livestyle compile` built, run without copies.

One stream carries everything in order. Each graph has its buffers for life: those that the host fills, with pinned
memory before them, and two sets of outputs that take turns, so that an output outlives the next call. Whatever reads
another graph's output reads it where it lies. One CUDA graph is recorded for each set of addresses that occurs (a
dozen in all), so that a frame costs a handful of launches however many kernels an engine has.
"""

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livestyle.artifacts import Model, write_whole
from livestyle.backends import Chain, Graph
from livestyle.backends.cuda_graph import CudaGraph
from livestyle.backends.engine_files import (
    EngineKey,
    Toolchain,
    choose_precision,
    engine_folder,
    make_key,
    read_engine,
    read_record,
)
from livestyle.backends.tensorrt_library import (
    Card,
    Log,
    describe_library,
    find_target,
    load_library,
    open_card,
    open_log,
)
from livestyle.errors import BackendError, EngineMismatch


@dataclass(frozen=True, eq=False, slots=True)
class HostArray:
    """A handle of host memory; a graph copies it to its own buffer unless that holds this very handle already."""

    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape


@dataclass(frozen=True, eq=False, slots=True)
class DeviceArray:
    """A handle of memory on the card, with as much pinned memory on the host to copy through."""

    memory: Any
    pinned: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.pinned.shape

    @property
    def address(self) -> int:
        """Where it lies on the card."""
        return int(self.memory)

    def free(self) -> None:
        """Release both; the card's context is current."""
        self.memory.free()
        self.pinned.base.free()  # type: ignore[union-attr]  # pycuda's PagelockedHostAllocation


@dataclass(frozen=True, slots=True)
class Seat:
    """What the graphs of one backend share: the card, the one stream, the library and its log."""

    card: Card
    stream: Any
    library: Any
    log: Log

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make the card's context current, and its errors ours."""
        try:
            with self.card.current():
                yield
        except self.card.cuda.Error as error:
            raise BackendError(f"the graphics card failed: {error}") from error


class TensorrtBackend:
    """Runs the engines of one model at one size. Any thread may call it, one at a time.

    ``precision`` ``auto`` is f16; see `livestyle.backends.engine_files.PRECISIONS`.
    """

    def __init__(
        self, model: Model, width: int, height: int, precision: str = "auto", *, library: str = "tensorrt"
    ) -> None:
        """Raises `BackendUnavailable` without library or card, and `EngineMismatch` when an engine is not built."""
        self.name = library
        self.precision = choose_precision(precision)
        module, card, log = load_library(library), open_card(), open_log(library)
        toolchain = Toolchain(library, module.__version__, find_target(library))
        self._keys = {
            graph: make_key(model, graph, precision, (width, height), toolchain) for graph in model.manifest.graphs
        }
        self._shapes = {graph: model.manifest.input_shapes(graph, width, height) for graph in self._keys}
        for key in self._keys.values():
            read_record(key)
        self._graphs: list[TensorrtGraph] = []
        with card.current():
            self._seat = Seat(card, card.cuda.Stream(), module, log)
            self._runtime = module.Runtime(log.logger)
        self._kernels = KernelCache(toolchain, card.name)

    def load(self, graph: str) -> "TensorrtGraph":
        """Load an engine. Raises `EngineMismatch` when there is none for this machine, or not a whole one."""
        key, log = self._keys[graph], self._seat.log
        plan = read_engine(key)
        log.clear()
        with self._seat.current():
            self._check_header(key, plan)
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise EngineMismatch(f"the engine of {graph} cannot be loaded: {log.errors()}")
            context = self._kernels.open_context(engine)
            if context is None:
                raise BackendError(f"the engine of {graph} cannot be run: {log.errors()}")
            loaded = TensorrtGraph(graph, self._seat, engine, context, self._shapes[graph])
        self._graphs.append(loaded)
        return loaded

    def _check_header(self, key: EngineKey, plan: bytes) -> None:
        """TensorRT for RTX can tell by the first bytes; TensorRT finds out while loading."""
        if self.name == "rtx":
            validity, _ = self._runtime.get_engine_validity(plan)
            if validity == self._seat.library.EngineValidity.INVALID:
                raise EngineMismatch(f"the engine of {key.graph} does not fit here: {self._seat.log.errors()}")

    def join(self, first: Graph, second: Graph) -> Chain:
        return Chain(first, second)

    def upload(self, array: NDArray[Any]) -> HostArray:
        return HostArray(np.ascontiguousarray(array))

    def download(self, handle: HostArray | DeviceArray) -> NDArray[Any]:
        """A host copy; halves come as float32, which is what the host computes in."""
        if isinstance(handle, HostArray):
            return handle.array.copy()
        seat = self._seat
        with seat.current():
            seat.card.cuda.memcpy_dtoh_async(handle.pinned, handle.memory, seat.stream)
            seat.stream.synchronize()
        return handle.pinned.astype(np.float32 if handle.pinned.dtype == np.float16 else handle.pinned.dtype)

    def close(self) -> None:
        """Free the card's memory; its context stays (see `Card`)."""
        if self._runtime is None:
            return
        with contextlib.suppress(BackendError), self._seat.current():  # after a failure of the card all this fails too
            self._seat.stream.synchronize()
            self._kernels.save()
            for graph in self._graphs:
                graph.close()
        self._graphs.clear()
        self._runtime = None


class TensorrtGraph:
    """One engine with its buffers."""

    def __init__(self, name: str, seat: Seat, engine: Any, context: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """``shapes`` of the inputs. The card's context is current. Raises `BackendError`."""
        self._name = name
        self._seat = seat
        self._engine = engine
        self._context = context
        self._replays: dict[tuple[int, ...], CudaGraph | None] = {}
        for key, shape in shapes.items():
            if not context.set_input_shape(key, shape):
                raise BackendError(f"the engine of {name} refuses {key} of shape {shape}")
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self._inputs = {key: self._allocate(key) for key in shapes}
        self._held: dict[str, HostArray] = {}  # what the inputs' own buffers hold
        self._outputs = [{key: self._allocate(key) for key in names if key not in shapes} for _ in range(2)]
        self._copied = seat.card.cuda.Event()

    def _allocate(self, key: str) -> DeviceArray:
        cuda, library = self._seat.card.cuda, self._seat.library
        dtype = np.dtype(library.nptype(self._engine.get_tensor_dtype(key)))
        pinned = cuda.pagelocked_empty(tuple(self._context.get_tensor_shape(key)), dtype)
        return DeviceArray(cuda.mem_alloc(pinned.nbytes), pinned)

    def __call__(self, **handles: HostArray | DeviceArray) -> dict[str, DeviceArray]:
        with self._seat.current():
            self._copied.synchronize()  # the last call's copies have left the pinned memory
            sources = {key: self._place(key, handles[key]) for key in self._inputs}
            self._copied.record(self._seat.stream)
            outputs = self._outputs[0]
            self._outputs.reverse()
            self._run({**sources, **outputs})
        return dict(outputs)

    def _place(self, key: str, handle: HostArray | DeviceArray) -> DeviceArray:
        """Where the engine reads an input: where it lies already, or in the graph's own buffer."""
        buffer = self._inputs[key]
        if handle.shape != buffer.shape:
            raise BackendError(f"{self._name} takes {key} of shape {buffer.shape}, not {handle.shape}")
        if isinstance(handle, DeviceArray):
            return handle
        if self._held.get(key) is not handle:
            np.copyto(buffer.pinned, handle.array, casting="same_kind")  # float32 becomes half where the engine has it
            self._seat.card.cuda.memcpy_htod_async(buffer.memory, buffer.pinned, self._seat.stream)
            self._held[key] = handle
        return buffer

    def _run(self, tensors: Mapping[str, DeviceArray]) -> None:
        addresses = tuple(tensor.address for tensor in tensors.values())
        replay = self._replays.get(addresses)
        if replay is not None:
            replay.launch()
            return
        for key, tensor in tensors.items():
            self._context.set_tensor_address(key, tensor.address)
        self._enqueue()
        if addresses not in self._replays:  # not before the first run: that one compiles and allocates
            self._replays[addresses] = self._record()

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._seat.stream.handle):
            raise BackendError(f"{self._name} failed on the graphics card: {self._seat.log.errors()}")

    def _record(self) -> CudaGraph | None:
        """None for an engine that cannot be recorded: it is then enqueued anew for every frame."""
        self._seat.stream.synchronize()
        try:
            return CudaGraph(self._seat.stream.handle, self._enqueue)
        except (BackendError, OSError):
            return None

    def close(self) -> None:
        """Free what is on the card, whose context is current."""
        for replay in self._replays.values():
            if replay is not None:
                replay.close()
        self._context = self._engine = None
        for buffers in (self._inputs, *self._outputs):
            for buffer in buffers.values():
                buffer.free()
        self._replays, self._inputs, self._outputs, self._held = {}, {}, [], {}


class KernelCache:
    """Kernels that TensorRT for RTX compiled for this card, kept in the user's cache: they take seconds to compile.

    TensorRT has them in its engines.
    """

    def __init__(self, toolchain: Toolchain, card: str) -> None:
        """Nothing is read before the first engine."""
        digest = hashlib.sha256(f"{toolchain.version} {card}".encode()).hexdigest()[:16]
        self._path = engine_folder() / f"kernels-{digest}.cache"
        self._wanted = toolchain.backend == "rtx"
        self._cache: Any = None
        self._stored = b""

    def open_context(self, engine: Any) -> Any:
        """An execution context that reads and fills the cache; None when there is not enough memory."""
        if not self._wanted:
            return engine.create_execution_context()
        settings = engine.create_runtime_config()
        if self._cache is None:
            self._cache = settings.create_runtime_cache()
            with contextlib.suppress(OSError):
                self._stored = self._path.read_bytes()
            if self._stored:
                self._cache.deserialize(self._stored)
        settings.set_runtime_cache(self._cache)
        return engine.create_execution_context(runtime_config=settings)

    def save(self) -> None:
        """Write it when it has grown. Failing to only costs time at the next start."""
        if self._cache is None:
            return
        data = bytes(self._cache.serialize())
        if data != self._stored:
            with contextlib.suppress(OSError):
                write_whole(self._path, data)


describe = functools.partial(describe_library, "tensorrt")
