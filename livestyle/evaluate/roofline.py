"""How much of what the processor can do in convolutions our graphs get out of it (OpenVINO).

The peak is measured, not looked up: 3×3 convolutions of a size that suits the processor, in the same kind of number,
in turns with our graphs. Time inside convolutions is what OpenVINO notes per layer; what it fuses into a convolution
counts as part of it. Every figure is of the fastest of `ROUNDS` runs, because whatever else a machine does only slows.
"""

from typing import Any

import msgspec
import numpy as np
import openvino as ov
import openvino.opset13 as ops
import openvino.properties as properties
import openvino.properties.hint as hints

from livestyle.artifacts import Model
from livestyle.backends.openvino_cpu import choose_precision, choose_variant, open_core
from livestyle.backends.openvino_layout import merge_unshuffles, move_shuffles
from livestyle.evaluate.peers import count_macs

ROUNDS = 12
LAYERS = 2  # convolutions of the graph that measures the peak
SHAPES = ((64, 96), (128, 64), (256, 32))  # channels, height and width: 0.3 to 0.6 GMAC a layer
CONVOLUTIONS = ("Convolution", "GroupConvolution", "Deconvolution")


class GraphSpeed(msgspec.Struct, frozen=True):
    """One graph: its arithmetic, and milliseconds of the whole and of its convolutions alone.

    ``gmacs`` is what the convolutions reach, GMAC/s, and ``share`` that of the peak.
    """

    gmac: float
    ms: float
    convolutions_ms: float
    gmacs: float
    share: float


class Roofline(msgspec.Struct, frozen=True):
    """``share`` is of the convolutions of all graphs together, ``whole_share`` of everything that the graphs do."""

    peak_gmacs: float
    peak_shape: str
    share: float
    whole_share: float
    graphs: dict[str, GraphSpeed]


def measure_roofline(model: Model, width: int, height: int, precision: str = "auto") -> Roofline:
    """Time the graphs for pictures of ``width`` x ``height`` layer by layer, and the processor's peak beside them."""
    core = open_core()
    precision = choose_precision(core, model, precision)
    variant = choose_variant() if precision == "int8" else ""
    timed = {}
    for name in model.manifest.graphs:
        network = core.read_model(model.graph_path(name, variant))
        shapes = model.manifest.input_shapes(name, *model.manifest.pad_size(width, height))
        network.reshape({key: list(shape) for key, shape in shapes.items()})
        merge_unshuffles(network)
        move_shuffles(network)
        timed[name] = TimedGraph(core, network, precision)
    peaks = {
        f"{c} channels at {side}x{side}": TimedGraph(core, draw_peak(c, side, precision), precision)
        for c, side in SHAPES
    }
    for graph in (*timed.values(), *peaks.values()):
        for _ in range(2):
            graph.run()
        graph.clear()
    for _ in range(ROUNDS):
        for graph in (*timed.values(), *peaks.values()):
            graph.run()
    best = max(peaks, key=lambda name: peaks[name].gmacs())
    return summarize(timed, best, peaks[best].gmacs())


def summarize(timed: "dict[str, TimedGraph]", shape: str, peak: float) -> Roofline:
    """Against ``peak`` GMAC/s."""
    graphs = {
        name: GraphSpeed(
            round(graph.gmac, 4),
            round(min(graph.whole), 3),
            round(min(graph.convolutions), 3),
            round(graph.gmacs(), 1),
            round(graph.gmacs() / peak, 3),
        )
        for name, graph in timed.items()
    }
    working = [graph for graph in timed.values() if graph.gmac]
    gmac = sum(graph.gmac for graph in working)
    convolutions = sum(min(graph.convolutions) for graph in working)
    everything = sum(min(graph.whole) for graph in timed.values())
    return Roofline(
        round(peak, 1),
        shape,
        round(gmac / convolutions * 1e3 / peak, 3),
        round(gmac / everything * 1e3 / peak, 3),
        graphs,
    )


class TimedGraph:
    """A compiled graph with random inputs; milliseconds of each run."""

    def __init__(self, core: ov.Core, network: ov.Model, precision: str) -> None:
        """Shapes are fixed."""
        self.gmac = count_macs(network)
        settings: dict[Any, Any] = {
            hints.performance_mode: hints.PerformanceMode.LATENCY,
            properties.enable_profiling: True,
        }
        if precision == "f32":
            settings[hints.inference_precision] = ov.Type.f32
        compiled = core.compile_model(network, "CPU", settings)
        self._request = compiled.create_infer_request()
        random = np.random.default_rng(0)
        for port in compiled.inputs:
            drawn = random.random(tuple(port.shape), np.float32)
            pixels = port.element_type == ov.Type.u8
            self._request.set_tensor(port, ov.Tensor((drawn * 255).astype(np.uint8) if pixels else drawn))
        self.clear()

    def clear(self) -> None:
        """Forget the samples."""
        self.whole: list[float] = []
        self.convolutions: list[float] = []

    def run(self) -> None:
        """One more sample."""
        self._request.infer()
        layers = [(info.node_type, info.real_time.total_seconds() * 1e3) for info in self._request.profiling_info]
        self.whole.append(sum(took for _, took in layers))
        self.convolutions.append(sum(took for kind, took in layers if kind in CONVOLUTIONS))

    def gmacs(self) -> float:
        """GMAC/s of its convolutions."""
        fastest = min(self.convolutions)
        return self.gmac / fastest * 1e3 if fastest else 0.0


def draw_peak(channels: int, side: int, precision: str) -> ov.Model:
    """`LAYERS` bare 3×3 convolutions with as many channels out as in, in whole numbers for ``int8``."""
    random = np.random.default_rng(0)
    pictures = ops.parameter([1, channels, side, side], np.float32)
    x: Any = pictures
    for _ in range(LAYERS):
        weight: Any = ops.constant((random.random((channels, channels, 3, 3), np.float32) - 0.5) / channels)
        if precision == "int8":
            x = ops.fake_quantize(x, *(np.float32(edge) for edge in (-1.28, 1.27) * 2), 256)
            weight = ops.fake_quantize(weight, *(np.float32(edge / channels) for edge in (-0.5, 0.5) * 2), 255)
        x = ops.convolution(x, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    return ov.Model([x], [pictures], "peak")
