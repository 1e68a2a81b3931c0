"""OpenVINO on the CPU: the default, real-time on two laptop cores."""

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.properties as properties
import openvino.properties.hint as hints
import platformdirs
from numpy.typing import NDArray

from livestyle.artifacts import GraphEntry, Model
from livestyle.errors import BackendError, ConfigError, ModelError

CACHED = 48  # files in the cache: four graphs at twelve sizes, about 12 MB


class OpenVinoBackend:
    """Compiles each graph for one picture size, latency first."""

    name = "openvino"

    def __init__(self, model: Model, width: int, height: int, precision: str = "auto") -> None:
        """``precision`` ``auto`` lets OpenVINO compute in bfloat16 where the processor has it (1.8 times faster on
        AVX512-BF16 at 640×360); ``f32`` never does. Raises `ConfigError` for another word.
        """
        if precision not in ("auto", "f32"):
            raise ConfigError(f"precision {precision!r} is unknown: give auto or f32")
        self._model = model
        self._size = (width, height)
        self._core = ov.Core()
        self._settings: dict[Any, Any] = {hints.performance_mode: hints.PerformanceMode.LATENCY}
        if precision == "f32":
            self._settings[hints.inference_precision] = ov.Type.f32
        self.precision = precision
        cache = cache_folder()
        if cache is not None:
            self._core.set_property({properties.cache_dir: str(cache)})

    def load(self, graph: str) -> "OpenVinoGraph":
        entry = self._model.manifest.graphs[graph]
        path = self._model.graph_path(graph)
        try:
            network = self._core.read_model(path)
            network.reshape({key: self._shape(key) for key in entry.inputs})
            compiled = self._core.compile_model(network, "CPU", self._settings)
        except RuntimeError as error:
            raise ModelError(f"{path} cannot be compiled by OpenVINO: {_first_line(error)}") from error
        return OpenVinoGraph(compiled, entry)

    def _shape(self, key: str) -> list[int]:
        width, height = self._size
        facts = self._model.manifest
        maps = [height // facts.stride, width // facts.stride]
        shapes = {
            "pixels": [1, height, width, 3],
            "flow": [1, 2, *maps],
            "confidence": [1, 1, *maps],
            "mask": [1, 1, *maps],
            "weight": [facts.channels, facts.channels, 3, 3],
            "bias": [facts.channels],
            "strength": [1],
        }
        return shapes.get(key, [1, facts.channels, *maps])

    def upload(self, array: NDArray[Any]) -> ov.Tensor:
        return ov.Tensor(np.ascontiguousarray(array), shared_memory=True)

    def download(self, handle: ov.Tensor) -> NDArray[Any]:
        return np.array(handle.data)

    def close(self) -> None:
        self._settings = {}


class OpenVinoGraph:
    """A compiled graph with two requests that take turns, so that an output outlives the next call."""

    def __init__(self, compiled: ov.CompiledModel, entry: GraphEntry) -> None:
        self._requests = [compiled.create_infer_request() for _ in range(2)]
        self._inputs = entry.inputs
        self._output = entry.output

    def __call__(self, **handles: ov.Tensor) -> dict[str, ov.Tensor]:
        request = self._requests[0]
        self._requests.reverse()
        try:
            for name in self._inputs:
                request.set_tensor(name, handles[name])
            request.infer()
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {_first_line(error)}") from error
        return {self._output: request.get_tensor(self._output)}


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
    core = ov.Core()
    abilities = core.get_property("CPU", properties.device.capabilities)
    kinds = [kind for kind in ("FP32", "BF16", "INT8") if kind in abilities]
    processor = core.get_property("CPU", properties.device.full_name)
    return f"openvino {ov.__version__.split('-')[0]}, {processor}, {', '.join(kinds)}"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown error"
