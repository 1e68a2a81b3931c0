"""Whole numbers in place of floats: a graph with QuantizeLinear and DequantizeLinear round its convolutions.

Zero points are 0, weights have a scale per output channel, biases stay float: TensorRT refuses the rest (an int32
DequantizeLinear, for one). It wants a sign on every value too, as the ``int8`` variant has; the others give values that
are never negative all 8 bits, as VNNI does. ``int8_avx2`` spends 7 bits on a weight: AVX2 without VNNI adds two
products in 16 bits, which full range overflows (46–54 % error measured on such a processor).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

Arrays = Mapping[str, NDArray[Any]]
Range = tuple[float, float]  # lowest, 0 or -highest, and highest value that is kept

SAMPLED = 16_384  # values of a tensor taken from each run, evenly spread
OPTIONS = {
    "QuantizeBias": False,
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "OpTypesToExcludeOutputQuantization": ["Conv"],  # rounded once, where the next layer takes it
}


class Session:
    """A graph in ONNX Runtime."""

    def __init__(self, model: onnx.ModelProto, also: Sequence[str] = ()) -> None:
        """``also`` names tensors inside the graph that `run` is to return after the graph's outputs."""
        wanted = onnx.ModelProto()
        wanted.CopyFrom(model)
        known = {output.name for output in model.graph.output}
        wanted.graph.output.extend(onnx.ValueInfoProto(name=name) for name in also if name not in known)
        options = SessionOptions()
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = InferenceSession(wanted.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Arrays, *names: str) -> list[NDArray[Any]]:
        """The named outputs, or all."""
        return [np.asarray(array) for array in self._session.run(list(names) or None, dict(inputs))]


def list_layers(model: onnx.ModelProto) -> dict[str, str]:
    """The convolutions with weights of their own, by name of the weight without ``.weight``, with the node's name.

    Not those of 1×1: the live decoder's one is 1 % of its arithmetic, and was a third of the flicker that 8 bits added.
    """
    sides = {constant.name: tuple(constant.dims[2:]) for constant in model.graph.initializer}
    return {
        node.input[1].removesuffix(".weight"): node.name
        for node in model.graph.node
        if node.op_type == "Conv" and sides.get(node.input[1], (1, 1)) != (1, 1)
    }


def list_inputs(model: onnx.ModelProto) -> dict[str, str]:
    """The tensor that each layer of `list_layers` takes."""
    taken = {node.name: node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    return {layer: taken[node] for layer, node in list_layers(model).items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """Magnitudes of one tensor's values, and whether any was below zero."""

    magnitudes: NDArray[np.float32]
    signed: bool

    def range(self, kept: float) -> Range:
        """Where the smallest share ``kept`` of the magnitudes lies, to 6 digits."""
        highest = float(f"{np.quantile(self.magnitudes, kept):.6g}")
        return (-highest if self.signed else 0.0, highest)


def sample_inputs(model: onnx.ModelProto, runs: Sequence[Arrays]) -> dict[str, Sample]:
    """What the layers take, by tensor. The same runs give the same sample."""
    names = list(dict.fromkeys(list_inputs(model).values()))
    session = Session(model, names)
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    signed: dict[str, bool] = dict.fromkeys(names, False)
    for inputs in runs:
        for name, values in zip(names, session.run(inputs, *names), strict=True):
            signed[name] |= bool(values.min() < 0)
            parts[name].append(np.abs(values).ravel()[:: -(-values.size // SAMPLED) | 1])
    return {name: Sample(np.concatenate(parts[name]), signed[name]) for name in names}


def quantize(model: onnx.ModelProto, ranges: Mapping[str, Range], *, variant: str) -> onnx.ModelProto:
    """The graph with the layers of ``ranges`` (names as in `list_layers`) in whole numbers, as a variant wants it.

    Layers that take the same tensor have the same range.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes, inputs = list_layers(model), list_inputs(model)
    bounds: dict[str, TensorData] = {}
    kinds: dict[str, list[dict[str, object]]] = {}
    for layer, (lowest, highest) in ranges.items():
        tensor = inputs[layer]
        if lowest == 0.0 and variant != "int8":
            kinds[tensor] = [{"quant_type": QuantType.QUInt8, "symmetric": False}]
        else:
            lowest = -highest
        bounds[tensor] = TensorData(lowest=np.array(lowest, np.float32), highest=np.array(highest, np.float32))
    writer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=variant == "int8_avx2",
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, bounds),
        nodes_to_quantize=[nodes[layer] for layer in ranges],
        nodes_to_exclude=[],
        op_types_to_quantize=["Conv"],
        extra_options={**OPTIONS, "TensorQuantOverrides": kinds},
    )
    writer.quantize_model()
    writer.model.topological_sort()
    quantized: onnx.ModelProto = writer.model.model
    onnx.checker.check_model(quantized)
    return quantized
