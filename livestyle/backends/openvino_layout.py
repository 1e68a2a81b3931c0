"""What OpenVINO's CPU plugin does slowly, said in the way that it does fast; the arithmetic stays what it is.

Moving numbers about is a third of the time of graphs as small as these, and the part that suffers most when somebody
else on the machine uses the memory. Milliseconds at 640×360 in 8 bits on two cores, on such a day:

* Joining two graphs spares the change of layout at their seam: bank and decode 10.8 → 9.2.
* The plugin shuffles channels into pixels number by number. Behind a convolution whose channels come in another order,
  a shuffle is a move of rows, and of bytes where the next layer takes bytes: decode 7.5 → 5.7.
* A pixel unshuffle and the 3×3 convolution behind it are one of 6×6 on the pixels themselves: encode 2.8 → 2.0.
* Convolutions lay channels last; maps that cross between graphs so need no turning: encode 2.0 → 1.4, mask 1.0 → 0.8.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

BLOCK = 2  # pixels of either side that a shuffle makes of one
ROW = 16  # numbers: shorter rows are transposed, longer ones gathered, whichever the plugin is faster at
ELEMENTWISE = frozenset({"Relu", "Sigmoid", "Add", "Subtract", "Multiply", "FakeQuantize", "Convert"})
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]  # channels
UNSHUFFLE = [0, 1, 3, 5, 2, 4]  # of (N, C, h, 2, w, 2)
ARITHMETIC = frozenset({"Add", "Subtract", "Multiply"})
PLANE, ROWS = [2, 3], [1, 2]  # axes of a picture, channels first and last
INDICES = (ov.Type.i32, ov.Type.i64)


def join_models(first: ov.Model, second: ov.Model) -> ov.Model:
    """``second`` behind ``first``, whose one output is the first input of ``second``. Both are used up."""
    (end,) = first.get_results()
    entry, *others = second.get_parameters()
    _rewire(entry.output(0).get_target_inputs(), end.input(0).get_source_output())
    return ov.Model(second.get_results(), [*first.get_parameters(), *others], "joined")


def move_shuffles(network: ov.Model) -> None:
    """Make each pixel shuffle behind a convolution with a bias a move of rows. Shapes are fixed, a batch is one."""
    for node in network.get_ordered_ops():
        if node.get_type_name() != "DepthToSpace" or node.get_attributes()["mode"] != "depth_first":
            continue
        layer = _find_layer(node)
        if layer is not None and node.get_attributes()["block_size"] == BLOCK:
            _sort_channels(*layer)
            _move_shuffle(node)
            network.validate_nodes_and_infer_types()


def merge_unshuffles(network: ov.Model) -> None:
    """Make each pixel unshuffle and the convolution behind it one convolution of twice the size. Shapes are fixed."""
    for node in network.get_ordered_ops():
        if node.get_type_name() != "Convolution" or node.get_attributes()["strides"] != [1, 1]:
            continue
        entry = node.input(0)  # where the unshuffled pixels come in, before what works on each by itself
        while (user := entry.get_source_output().get_node()).get_type_name() in ELEMENTWISE and _has_scalars(user, 0):
            entry = user.input(0)
        pixels = _find_unshuffled(entry)
        if pixels is not None:
            entry.replace_source_output(pixels)
            _widen(node, pixels.get_shape()[1])
            network.validate_nodes_and_infer_types()


def put_channels_last(network: ov.Model, is_map: Callable[[Any], bool]) -> ov.Model:
    """The network whose inputs and outputs that ``is_map`` picks are (1, h, w, C). Shapes are fixed; it is used up.

    What comes before the first convolution and after the last is done in that order too, as the plugin would turn the
    map first: sums and products with one number, one a channel or one a place, means of a channel, and pooling.
    """
    parameters = [_turn_parameter(node) if is_map(node.output(0)) else node for node in network.get_parameters()]
    turned = ov.Model(network.get_results(), parameters, network.friendly_name)
    for node in turned.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "ReduceMean":
            _turn_mean(node)
        elif kind == "AvgPool":
            _merge_pool(node)
        elif kind in ARITHMETIC:
            _turn_arithmetic(node)
        elif kind == "Result" and is_map(node.input(0)):
            _turn_result(node)
    turned.validate_nodes_and_infer_types()
    return turned


def _turn_parameter(node: Any) -> Any:
    port = node.output(0)
    batch, channels, height, width = port.get_shape()
    parameter = ops.parameter([batch, height, width, channels], port.get_element_type(), node.friendly_name)
    parameter.output(0).get_tensor().set_names(port.get_tensor().get_names())
    _rewire(port.get_target_inputs(), ops.transpose(parameter, TO_FIRST).output(0))
    return parameter


def _turn_result(node: Any) -> None:
    source = node.input(0).get_source_output()
    names = source.get_tensor().get_names()
    last = ops.transpose(source, TO_LAST).output(0)
    source.get_tensor().set_names(set())
    last.get_tensor().set_names(names)
    node.input(0).replace_source_output(last)


def _turn_arithmetic(node: Any) -> None:
    sources = [port.get_source_output() for port in node.inputs()]
    if not any(map(_is_turned, sources)) or not all(_is_turned(source) or _is_small(source) for source in sources):
        return
    targets = node.output(0).get_target_inputs()
    for port, source in zip(node.inputs(), sources, strict=True):
        if _is_turned(source):
            port.replace_source_output(source.get_node().input_value(0))
        elif len(source.get_shape()) == len(TO_LAST):
            port.replace_source_output(ops.transpose(source, TO_LAST).output(0))
    node.validate_and_infer_types()
    _rewire(targets, ops.transpose(node, TO_FIRST).output(0))


def _is_small(output: Any) -> bool:
    """Whether this is one number for all, one a channel or one a place."""
    shape = list(output.get_shape())
    return np.prod(shape) == 1 or (
        len(shape) == len(TO_LAST) and shape[0] == 1 and (shape[1] == 1 or shape[2:] == [1, 1])
    )


def _turn_mean(node: Any) -> None:
    source = node.input_value(0)
    if not _is_turned(source) or sorted(_source(node, 1).data.tolist()) != PLANE:
        return
    targets = node.output(0).get_target_inputs()
    values = source.get_node().input_value(0)
    square = values.get_node()
    if square.get_type_name() == "Multiply" and square.input_value(0) == square.input_value(1):
        # A mean of squares by way of the length: that has one pass over the map instead of two
        length = ops.reduce_l2(square.input_value(0), _make_constant(np.array(ROWS)), True)
        height, width = source.get_shape()[2:]
        mean = ops.multiply(ops.multiply(length, length), np.float32(1.0 / (height * width)))
    else:
        mean = ops.reduce_mean(values, _make_constant(np.array(ROWS)), True)
    _rewire(targets, ops.transpose(mean, TO_FIRST).output(0))


def _merge_pool(node: Any) -> None:
    """A mean of blocks and the 1×1 convolution behind it, all on channels last, are one convolution of the blocks."""
    targets = node.output(0).get_target_inputs()
    users = [target.get_node() for target in targets]
    if not _is_turned(node.input_value(0)) or [user.get_type_name() for user in users] != ["Convolution"]:
        return
    weights, attributes = _source(users[0], 1), node.get_attributes()
    block = attributes["kernel"]
    if (
        weights.get_type_name() != "Constant"
        or list(weights.data.shape[2:]) != [1, 1]
        or attributes["strides"] != block
    ):
        return
    wide = _make_constant(np.tile(weights.data / np.float32(np.prod(block)), block))
    merged = ops.convolution(node.input_value(0), wide, block, [0, 0], [0, 0], [1, 1])
    _rewire(users[0].output(0).get_target_inputs(), merged.output(0))


def _is_turned(output: Any) -> bool:
    """Whether this is a whole map, channels first again after it was channels last."""
    node = output.get_node()
    if node.get_type_name() != "Transpose" or max(output.get_shape()[2:]) == 1:
        return False
    return bool(_source(node, 1).data.tolist() == TO_FIRST)


def _find_unshuffled(entry: Any) -> Any | None:
    """What an unshuffle takes of which ``entry`` takes the output, (1, C, H, W)."""
    node = _pass_reshapes(entry.get_source_output())
    if node.get_node().get_type_name() != "Transpose" or _source(node.get_node(), 1).data.tolist() != UNSHUFFLE:
        return None
    pixels = _pass_reshapes(node.get_node().input_value(0))
    sizes = pixels.get_shape(), entry.get_shape()
    blocks = [sizes[0][0], sizes[0][1] * BLOCK * BLOCK, *(side // BLOCK for side in sizes[0][2:])]
    return pixels if len(sizes[0]) == 4 and blocks == list(sizes[1]) else None


def _pass_reshapes(output: Any) -> Any:
    while output.get_node().get_type_name() == "Reshape":
        output = output.get_node().input_value(0)
    return output


def _widen(node: Any, channels: int) -> None:
    """The convolution ``node`` on pixels instead of unshuffled ones: channel, row and column of the block are apart."""
    for constant in _list_constants(_source(node, 1)):
        if constant.data.ndim == 4 and constant.data.shape[1] == channels * BLOCK * BLOCK:
            count, _, height, width = constant.data.shape
            apart = constant.data.reshape(count, channels, BLOCK, BLOCK, height, width).transpose(0, 1, 4, 2, 5, 3)
            values = apart.reshape(count, channels, height * BLOCK, width * BLOCK)
            _rewire(constant.output(0).get_target_inputs(), _make_constant(values).output(0))
    begin, end = ([pad * BLOCK for pad in node.get_attributes()[key]] for key in ("pads_begin", "pads_end"))
    wide = ops.convolution(node.input_value(0), node.input_value(1), [BLOCK, BLOCK], begin, end, [1, 1])
    _rewire(node.output(0).get_target_inputs(), wide.output(0))


def _find_layer(node: Any) -> tuple[Any, Any] | None:
    """The convolution and the constant bias, if ``node`` takes the sum of such two and nobody else does."""
    total = _source(node)
    if total.get_type_name() != "Add" or len(total.output(0).get_target_inputs()) != 1:
        return None
    convolution, bias = _source(total), _source(total, 1)
    if bias.get_type_name() == "Reshape":
        bias = _source(bias)
    if convolution.get_type_name() != "Convolution" or bias.get_type_name() != "Constant":
        return None
    return convolution, bias


def _sort_channels(convolution: Any, bias: Any) -> None:
    """What becomes neighbours in a row of pixels shall be neighbours: place in the block first, then channel."""
    count = convolution.output(0).get_shape()[1]
    order = np.arange(count).reshape(-1, BLOCK * BLOCK).T.ravel()
    for constant in (bias, *_list_constants(_source(convolution, 1))):
        if constant.data.shape[:1] == (count,):
            _rewire(constant.output(0).get_target_inputs(), _make_constant(constant.data[order]).output(0))


def _move_shuffle(node: Any) -> None:
    """The shuffle ``node`` on sorted channels, behind whatever follows it and works on each number by itself."""
    _, channels, height, width = node.input(0).get_shape()
    source, targets = node.input(0).get_source_output(), node.output(0).get_target_inputs()
    last = False  # whether channels are wanted last
    while len(targets) == 1:
        (target,) = targets
        user = target.get_node()
        if user.get_type_name() == "Transpose" and not last and user.input_value(1).get_node().data.tolist() == TO_LAST:
            last = True
        elif user.get_type_name() in ELEMENTWISE and _has_scalars(user, target.get_index()):
            target.replace_source_output(source)
            source = user.output(0)
        else:
            break
        targets = user.output(0).get_target_inputs()
    row = channels // BLOCK
    pixels = ops.transpose(source, TO_LAST)
    if row < ROW:
        rows = ops.transpose(ops.reshape(pixels, [height, width, BLOCK, row], False), [0, 2, 1, 3])
    else:
        order = np.arange(height * width * BLOCK, dtype=np.int32).reshape(height, width, BLOCK).swapaxes(1, 2).ravel()
        rows = ops.gather(ops.reshape(pixels, [-1, row], False), _make_constant(order), np.int32(0))
    shuffled = ops.reshape(rows, [1, height * BLOCK, width * BLOCK, row // BLOCK], False)
    _rewire(targets, (shuffled if last else ops.transpose(shuffled, TO_FIRST)).output(0))


def _has_scalars(node: Any, data: int) -> bool:
    """Whether all inputs but that of number ``data`` are single numbers."""
    return all(np.prod(port.get_shape()) == 1 for port in node.inputs() if port.get_index() != data)


def _list_constants(node: Any) -> list[Any]:
    """Those numbers that ``node`` is computed of: the weights, and in whole numbers their scales too."""
    constants, waiting = [], [node]
    while waiting:
        node = waiting.pop()
        waiting += [port.get_source_output().get_node() for port in node.inputs()]
        if node.get_type_name() == "Constant" and node.get_element_type() not in INDICES:
            constants.append(node)
    return constants


def _source(node: Any, port: int = 0) -> Any:
    return node.input(port).get_source_output().get_node()


def _make_constant(values: NDArray[Any]) -> Any:
    return ov.op.Constant(ov.Tensor(np.ascontiguousarray(values)))


def _rewire(targets: Any, source: Any) -> None:
    for target in targets:
        target.replace_source_output(source)
