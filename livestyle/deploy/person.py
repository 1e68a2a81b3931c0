"""The network behind the masks ``person`` and ``background``: MediaPipe's selfie segmentation, re-expressed as ONNX.

``python -m livestyle.deploy.person selfie_segmentation_landscape.tflite`` makes engines/person.
TensorFlow Lite keeps pictures as NHWC and weights as OHWI, ONNX as NCHW and OIHW. All other operators have their like
but one, MediaPipe's own Convolution2DTransposeBias, which is a transposed convolution with bias
(mediapipe/util/tflite/operations/transpose_conv_bias.cc). The weights stay what they are, float16 computed in float32.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from livestyle.artifacts import PersonFacts, find_engines, hash_file, write_whole
from livestyle.errors import ModelError

OPSET = 18
IR_VERSION = 9  # what onnx wrote when opset 18 was new: older readers take it
SOURCE_SHA256 = "4aafe6223bb8dac6fac8ca8ed56852870a33051ef3f6238822d282a109962894"
ORIGIN = (
    "selfie_segmentation_landscape.tflite of MediaPipe, Copyright The MediaPipe Authors, Apache-2.0;"
    " converted to ONNX for livestyle: 8-bit pixels in, Convolution2DTransposeBias as ConvTranspose"
)
CODES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
PLAIN = {"RELU": "Relu", "HARD_SWISH": "HardSwish", "LOGISTIC": "Sigmoid", "ADD": "Add", "MUL": "Mul"}


def convert_file(source: Path, folder: Path) -> PersonFacts:
    """Write ``segment.onnx`` and ``person.json`` into ``folder``. Raises `ModelError` for another file."""
    if (found := hash_file(source)) != SOURCE_SHA256:
        raise ModelError(f"{source} has sha256 {found}, not {SOURCE_SHA256}: another version of the network")
    data = Converter(source.read_bytes()).convert()
    write_whole(folder / "segment.onnx", data)
    facts = PersonFacts("segment.onnx", hash_file(folder / "segment.onnx"), SOURCE_SHA256, ORIGIN)
    write_whole(folder / "person.json", msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    return facts


class Converter:
    """One TensorFlow Lite graph on its way to ONNX: ``pixels`` uint8 (1, H, W, 3) to ``mask`` float32 (1, 1, H, W)."""

    def __init__(self, data: bytes) -> None:
        self._model = tflite.Model.GetRootAs(data, 0)
        self._graph = self._model.Subgraphs(0)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._values: dict[int, NDArray[Any]] = {}  # tensor -> what it holds, where that is fixed
        self._makers: dict[str, Callable[[Any], None]] = {
            "DEQUANTIZE": self._widen,
            "CONV_2D": self._convolve,
            "DEPTHWISE_CONV_2D": self._convolve_each,
            "MEAN": self._average,
            "RESIZE_BILINEAR": self._resize,
            "Convolution2DTransposeBias": self._convolve_back,
        }

    def convert(self) -> bytes:
        """The ONNX file. Raises `ModelError` for an operator that is not known here."""
        graph = self._graph
        source, target = int(graph.Inputs(0)), int(graph.Outputs(0))
        shape = self._shape(source)
        self._add("Cast", ["pixels"], "levels", to=TensorProto.FLOAT)
        self._constants.append(numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"))
        self._add("Mul", ["levels", "scale"], "unit")
        self._add("Transpose", ["unit"], _name(source), perm=[0, 3, 1, 2])
        for index in range(graph.OperatorsLength()):
            self._convert_one(graph.Operators(index))
        self._add("Identity", [_name(target)], "mask")
        pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, list(shape))
        mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, *shape[1:3]])
        made = helper.make_graph(self._nodes, "segment", [pixels], [mask], self._constants)
        model = helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="livestyle", doc_string=ORIGIN
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _convert_one(self, operator: Any) -> None:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        custom = code.CustomCode()
        name = custom.decode() if custom else CODES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if name in PLAIN:
            inputs = [_name(number) for number in operator.InputsAsNumpy()]
            self._add(PLAIN[name], inputs, _name(operator.Outputs(0)))
        elif name in self._makers:
            self._makers[name](operator)
        else:
            raise ModelError(f"operator {name} is not known to the conversion")

    def _widen(self, operator: Any) -> None:
        self._values[operator.Outputs(0)] = self._read(operator.Inputs(0))

    def _convolve(self, operator: Any) -> None:
        options = _options(operator, tflite.Conv2DOptions())
        self._add_convolution(operator, options, self._values[operator.Inputs(1)].transpose(0, 3, 1, 2), 1)

    def _convolve_each(self, operator: Any) -> None:
        options = _options(operator, tflite.DepthwiseConv2DOptions())
        weight = self._values[operator.Inputs(1)].transpose(3, 0, 1, 2)
        self._add_convolution(operator, options, weight, weight.shape[0])

    def _add_convolution(self, operator: Any, options: Any, weight: NDArray[Any], groups: int) -> None:
        strides = options.StrideH(), options.StrideW()
        if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1) or options.FusedActivationFunction():
            raise ModelError("a convolution with dilation or with an activation inside is not known to the conversion")
        before, after = [0, 0], [0, 0]
        if options.Padding() == tflite.Padding.SAME:
            sizes = self._shape(operator.Inputs(0))[1:3]
            for axis, (size, stride, side) in enumerate(zip(sizes, strides, weight.shape[2:], strict=True)):
                total = max((-(-size // stride) - 1) * stride + side - size, 0)
                before[axis], after[axis] = total // 2, total - total // 2
        inputs = [_name(operator.Inputs(0)), *self._store(operator, weight)]
        self._add(
            "Conv", inputs, _name(operator.Outputs(0)), strides=list(strides), pads=[*before, *after], group=groups
        )

    def _convolve_back(self, operator: Any) -> None:
        padding, *strides = (int(word) for word in operator.CustomOptionsAsNumpy().view("<i4"))
        weight = self._values[operator.Inputs(1)].transpose(3, 0, 1, 2)
        if padding != 1 or tuple(strides) != weight.shape[2:]:  # then no two of its taps meet, and nothing is cut off
            raise ModelError("a transposed convolution whose steps are not its size is not known to the conversion")
        inputs = [_name(operator.Inputs(0)), *self._store(operator, weight)]
        self._add("ConvTranspose", inputs, _name(operator.Outputs(0)), strides=strides)

    def _average(self, operator: Any) -> None:
        if sorted(self._read(operator.Inputs(1))) != [1, 2]:
            raise ModelError("a mean over other axes than height and width is not known to the conversion")
        self._add("GlobalAveragePool", [_name(operator.Inputs(0))], _name(operator.Outputs(0)))

    def _resize(self, operator: Any) -> None:
        options = _options(operator, tflite.ResizeBilinearOptions())
        if options.AlignCorners() or not options.HalfPixelCenters():
            raise ModelError("a resize that is not between centres of pixels is not known to the conversion")
        batch, height, width, channels = self._shape(operator.Outputs(0))
        name = f"{_name(operator.Outputs(0))}_size"
        self._constants.append(numpy_helper.from_array(np.array([batch, channels, height, width], np.int64), name))
        inputs = [_name(operator.Inputs(0)), "", "", name]
        self._add("Resize", inputs, _name(operator.Outputs(0)), mode="linear")

    def _store(self, operator: Any, weight: NDArray[Any]) -> list[str]:
        """Weight and bias of a convolution as constants, and the names of what they are in float32."""
        names = []
        for number, values in ((operator.Inputs(1), weight), (operator.Inputs(2), self._values[operator.Inputs(2)])):
            name = f"{_name(number)}_half"
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
            self._add("Cast", [name], _name(number), to=TensorProto.FLOAT)
            names.append(_name(number))
        return names

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def _shape(self, number: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self._graph.Tensors(number).ShapeAsNumpy())

    def _read(self, number: int) -> NDArray[Any]:
        tensor = self._graph.Tensors(number)
        kinds = {tflite.TensorType.FLOAT16: "<f2", tflite.TensorType.INT32: "<i4"}
        data = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
        return np.asarray(data).view(kinds[tensor.Type()]).reshape(self._shape(number))


def _name(number: int) -> str:
    return f"t{number}"


def _options(operator: Any, options: Any) -> Any:
    table = operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


if __name__ == "__main__":
    print(convert_file(Path(sys.argv[1]), find_engines() / "person"))
