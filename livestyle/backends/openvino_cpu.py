"""OpenVINO on the CPU: the default, real-time on two laptop cores."""

import contextlib
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import openvino.properties as properties
import openvino.properties.hint as hints
import platformdirs
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from livestyle.artifacts import Model
from livestyle.backends import Graph
from livestyle.backends.openvino_layout import (
    TO_FIRST,
    TO_LAST,
    join_models,
    merge_unshuffles,
    move_shuffles,
    put_channels_last,
)
from livestyle.controls import find_name
from livestyle.errors import BackendError, BackendUnavailable, ConfigError, ModelError

PRECISIONS = ("auto", "f32", "bf16", "int8")
CACHED = 72  # files in the cache: six graphs at twelve sizes, about 24 MB
AVX2, VNNI = 11, 23  # cv::CpuFeatures

# These give their handle back before they are through: the caller has motion to search for meanwhile, on another core.
AHEAD = ("encode",)
# On one thread these are as fast (mask at 640×360: 1.2 ms either way), and spread over two they cost 8 kB of oneTBB's
# own pools a frame, 35 MB in all before that levels off.
ALONE = ("flow", "mask")
# Places in a picture are no bfloat16: it tells 164 from 165, and nothing between
EXACT = ("flow",)


@functools.cache
def open_core() -> ov.Core:
    """The process's one `ov.Core`, which stays until it ends.

    A core gives the thread that opens it a stack for signals, and unmaps that when it goes, in whichever thread that is
    (``SigAltStackSetup`` in OpenVINO's src/plugins/intel_cpu/src/plugin.cpp): the first thread's next signal, a Ctrl-C,
    then ended the process with SIGSEGV. It happened when the stylizer was closed by the thread that painted.
    """
    return ov.Core()


class OpenVinoBackend:
    """Compiles each graph for one picture size, latency first."""

    name = "openvino"

    def __init__(self, model: Model, width: int, height: int, precision: str = "auto") -> None:
        """``precision`` is one of `PRECISIONS`, see `choose_precision`. Raises `ConfigError` or `BackendUnavailable`
        for one that cannot be had.
        """
        self._model = model
        self._size = (width, height)
        self._core = open_core()
        self.precision = choose_precision(self._core, model, precision)
        self._variant = choose_variant() if self.precision == "int8" else ""
        self._settings: dict[Any, Any] = {hints.performance_mode: hints.PerformanceMode.LATENCY}
        if self.precision == "f32":
            self._settings[hints.inference_precision] = ov.Type.f32
        # Feature maps cross between graphs as they are computed: 1.0 of 20.4 ms of one core less at 640×360
        self._half = self.precision != "f32" and has_half(self._core)
        cache = cache_folder()
        if cache is not None:
            self._core.set_property({properties.cache_dir: str(cache)})

    def load(self, graph: str) -> "OpenVinoGraph":
        return self._compile(graph)

    def join(self, first: Graph, second: Graph) -> "OpenVinoGraph":
        assert isinstance(first, OpenVinoGraph)
        assert isinstance(second, OpenVinoGraph)
        return self._compile(*first.graphs, *second.graphs)

    def _compile(self, *graphs: str) -> "OpenVinoGraph":
        """One graph, or several joined."""
        first, last = (self._model.graph_entry(graph, self._variant) for graph in (graphs[0], graphs[-1]))
        threads = 1 if graphs[0] in ALONE else count_threads(graphs[0] in AHEAD)
        try:
            network = functools.reduce(join_models, map(self._read, graphs))
            if self._half:
                network = self._halve_maps(network)
            settings = {
                **self._settings,
                properties.inference_num_threads: threads,
                hints.enable_cpu_pinning: takes_all(threads),
            }
            if graphs[0] in EXACT:
                settings[hints.inference_precision] = ov.Type.f32
            compiled = self._core.compile_model(network, "CPU", settings)
        except RuntimeError as error:
            path = self._model.graph_path(graphs[-1], self._variant)
            raise ModelError(f"{path} cannot be compiled by OpenVINO: {_first_line(error)}") from error
        return OpenVinoGraph(graphs, compiled, first.inputs, last.output, ahead=graphs[0] in AHEAD)

    def _read(self, graph: str) -> ov.Model:
        network = self._core.read_model(self._model.graph_path(graph, self._variant))
        network.reshape({k: list(v) for k, v in self._model.manifest.input_shapes(graph, *self._size).items()})
        merge_unshuffles(network)
        move_shuffles(network)
        return network

    def _halve_maps(self, network: ov.Model) -> ov.Model:
        """With maps as `_is_map` finds them in bfloat16, channels last: as convolutions write and read them."""
        maps, painted = ([self._is_port(port) for port in ports] for ports in (network.inputs, network.outputs))
        edges = PrePostProcessor(put_channels_last(network, self._is_port))
        for number in np.flatnonzero(maps):
            edges.input(int(number)).tensor().set_element_type(ov.Type.bf16)
        for number in np.flatnonzero(painted):
            edges.output(int(number)).tensor().set_element_type(ov.Type.bf16)
        return edges.build()

    def _is_port(self, port: Any) -> bool:
        return self._is_map(port.get_shape(), bool(port.get_element_type() == ov.Type.f32))

    def _is_map(self, shape: Sequence[int], floats: bool) -> bool:
        return floats and len(shape) == 4 and tuple(shape)[:2] == (1, self._model.manifest.channels)

    def upload(self, array: NDArray[Any]) -> "Handle":
        if self._half and self._is_map(array.shape, array.dtype == np.float32):
            bits = np.ascontiguousarray(array.transpose(TO_LAST)).view(np.uint32)
            tensor = ov.Tensor(ov.Type.bf16, ov.Shape(bits.shape))
            tensor.data.view(np.uint16)[:] = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16  # the nearest, ties to even
            return Handle(tensor)
        return Handle(ov.Tensor(np.ascontiguousarray(array), shared_memory=True))

    def download(self, handle: "Handle") -> NDArray[Any]:
        tensor = handle.ready()
        if tensor.element_type == ov.Type.bf16:  # NumPy has no such type: the upper half of a float32
            floats = (tensor.data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
            return np.asarray(floats.transpose(TO_FIRST))
        return np.array(tensor.data)

    def close(self) -> None:
        self._settings = {}


@dataclass(frozen=True, slots=True)
class Handle:
    """A tensor, and the request that is still writing it."""

    tensor: ov.Tensor
    request: ov.InferRequest | None = None

    def ready(self) -> ov.Tensor:
        """The tensor, once it is written. Raises `BackendError`."""
        if self.request is not None:
            try:
                self.request.wait()
            except RuntimeError as error:
                raise BackendError(f"OpenVINO failed: {_first_line(error)}") from error
        return self.tensor


@dataclass(slots=True)
class Turn:
    """A request, its output, and its inputs: memory of NumPy's, which nobody else keeps while the request reads it."""

    request: ov.InferRequest
    output: ov.Tensor
    taken: list[ov.Tensor] = field(default_factory=list)


class OpenVinoGraph:
    """A compiled graph with two requests that take turns, so that an output outlives the next call."""

    def __init__(
        self,
        graphs: Sequence[str],
        compiled: ov.CompiledModel,
        inputs: Sequence[str],
        output: str,
        *,
        ahead: bool = False,
    ) -> None:
        """``graphs`` names what was compiled; ``ahead``: a call starts the work and does not wait for its end."""
        self.graphs = graphs
        self._output = output
        self._inputs = inputs
        requests = [compiled.create_infer_request() for _ in range(2)]
        self._turns = [Turn(request, request.get_tensor(self._output)) for request in requests]
        self._ahead = ahead

    def __call__(self, **handles: Handle) -> dict[str, Handle]:
        turn = self._turns[0]
        self._turns.reverse()
        taken = [handles[name].ready() for name in self._inputs]
        try:
            turn.request.wait()
            turn.taken = taken
            for name, tensor in zip(self._inputs, taken, strict=True):
                turn.request.set_tensor(name, tensor)
            if self._ahead:
                turn.request.start_async()
                return {self._output: Handle(turn.output, turn.request)}
            turn.request.infer()
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {_first_line(error)}") from error
        return {self._output: Handle(turn.output)}


class OpenVinoNetwork:
    """A network outside the model, of one input and one output, as float32 and on one thread. Used by one thread."""

    def __init__(self, path: Path) -> None:
        """Compiled, and run once, since the first run allocates. Raises `ModelError`."""
        core = open_core()
        settings = {
            hints.performance_mode: hints.PerformanceMode.LATENCY,
            hints.inference_precision: ov.Type.f32,  # in bfloat16 the mask of a person is up to 0.67 off
            properties.inference_num_threads: 1,
        }
        try:
            compiled = core.compile_model(core.read_model(path), "CPU", settings)
            self._request = compiled.create_infer_request()
            self._request.infer()
        except RuntimeError as error:
            raise ModelError(f"{path} cannot be compiled by OpenVINO: {_first_line(error)}") from error

    def __call__(self, array: NDArray[Any]) -> NDArray[Any]:
        """Run. Raises `BackendError`."""
        try:
            self._request.set_input_tensor(ov.Tensor(np.ascontiguousarray(array), shared_memory=True))
            self._request.infer()
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {_first_line(error)}") from error
        return np.array(self._request.get_output_tensor().data)


def choose_precision(core: ov.Core, model: Model, precision: str) -> str:
    """What is computed in, for a word of `PRECISIONS`: ``f32``, ``bf16`` or ``int8``.

    ``auto`` is the fastest that this model and processor have. In ``int8`` only the calibrated layers of the model are
    in whole numbers; the rest is in bfloat16 where the processor has it (1.8 times faster than f32 on AVX512-BF16 at
    640×360), as it is in ``bf16``. Raises `ConfigError` for an unknown word or a model without calibrated layers,
    `BackendUnavailable` for bf16 on a processor without.
    """
    find_name(precision, PRECISIONS, "precision")
    half = has_half(core)
    whole = choose_variant() in model.manifest.variants
    if precision == "int8" and not whole:
        raise ConfigError(f"the {model.manifest.profile} model has no int8 form: make it with 'livestyle calibrate'")
    if precision == "bf16" and not half:
        raise BackendUnavailable("this processor does not compute in bf16: give auto or f32")
    if precision != "auto":
        return precision
    return "int8" if whole else "bf16" if half else "f32"


def has_half(core: ov.Core) -> bool:
    """Whether the processor computes in bfloat16."""
    return bool(core.get_property("CPU", hints.inference_precision) == ov.Type.bf16)


def choose_variant() -> str:
    """Which of `livestyle.artifacts.VARIANTS` this processor computes without overflow."""
    return "int8_avx2" if cv2.checkHardwareSupport(AVX2) and not cv2.checkHardwareSupport(VNNI) else "int8_vnni"


def takes_all(threads: int) -> bool:
    """Whether a graph's threads take every core, and so are nailed to one each while it runs.

    Linux left the second one waiting behind the first for up to 12 ms, the other core idle: the slowest frame of 100
    switches took 1.67 × the median, nailed down 1.46 (medians of seven runs in turns). Where cores are left over, a
    thread would be nailed to that on which the caller searches for motion: 0.7 ms a frame.
    """
    return 1 < threads == count_cores()


def count_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_threads(beside: bool) -> int:
    """Threads of a graph: all cores of two, one fewer of more, for capture and encoding; ``beside`` other work, fewer.

    Two threads for encode while motion is searched for take the same core from each other.
    """
    cores = count_cores()
    threads = cores if cores <= 2 else cores - 1
    return max(1, threads - 1) if beside else threads


def cache_folder() -> Path | None:
    """Where compiled graphs are kept between starts, or None when nothing can be written there.

    OpenVINO never removes a file of another size or model, so the oldest beyond `CACHED` go here.
    """
    folder = Path(platformdirs.user_cache_dir("livestyle")) / "openvino"
    with contextlib.suppress(OSError):  # no such place, or another livestyle tidied up at the same time
        folder.mkdir(parents=True, exist_ok=True)
        for blob in sorted(folder.glob("*.blob"), key=lambda blob: blob.stat().st_mtime)[:-CACHED]:
            blob.unlink()
    return folder if os.access(folder, os.W_OK) else None


def describe() -> str:
    """One line for ``livestyle doctor``."""
    core = open_core()
    abilities = core.get_property("CPU", properties.device.capabilities)
    kinds = [kind for kind in ("FP32", "BF16", "INT8") if kind in abilities]
    processor = core.get_property("CPU", properties.device.full_name)
    return f"openvino {ov.__version__.split('-')[0]}, {processor}, {', '.join(kinds)}"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown error"
