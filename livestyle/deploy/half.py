"""A float16 ONNX graph out of a float32 one, with every cast where a rule says so.

TensorRT computes in the types that the file has (strong typing), so the file must say which sums may be coarse. Half
are the convolutions and the layers between them, and the feature maps that cross from graph to graph. Float32 stay
statistics and what is made of them (instance norm: squares overflow at 256), sampling positions (a half has 11 bits,
a sixth of a feature pixel at 640 across), sigmoids, the scaling of pixels, and inputs that the host fills.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})  # always half; what they add up is float32 inside
FULL = frozenset(
    {"GlobalAveragePool", "GridSample", "InstanceNormalization", "Pow", "Range", "Reciprocal", "ReduceMean"}
    | {"ReduceSum", "Sigmoid", "Softmax", "Sqrt"}
)
LIGHT = frozenset({"Clip", "DepthToSpace", "LeakyRelu", "QuantizeLinear", "DequantizeLinear", "Relu", "SpaceToDepth"})
TYPELESS = frozenset({"Shape", "Size"})  # take any type and give an integer
DATA = {"Resize": 1, "Clip": 3}  # of other nodes every float input is data
OPSET = 19  # the first in which QuantizeLinear takes a float16


def write_half(model: ModelProto, crossing: Iterable[str]) -> ModelProto:
    """The same graph in float16 as told above; ``crossing`` names the inputs and outputs that become half."""
    model = shape_inference.infer_shapes(model)
    graph = model.graph
    crossing = set(crossing)
    kinds = _element_types(graph)
    half = _choose_half(graph.node, kinds)
    has = {name: HALF if name in crossing else kind for name, kind in kinds.items()}  # type that a tensor will have
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name and kinds.get(name) == FLOAT:
                has[name] = HALF if index in half else FLOAT
    given = {value.name: HALF if value.name in crossing else FLOAT for value in graph.output}
    turned = {name: f"{name}.inner" for name, kind in given.items() if kinds.get(name) == FLOAT and has[name] != kind}
    nodes: list[NodeProto] = []
    casts: dict[tuple[str, int], str] = {}

    def cast(name: str, kind: int) -> str:
        if (name, kind) not in casts:
            casts[name, kind] = f"{name}.{'half' if kind == HALF else 'float'}"
            source = turned.get(name, name)
            nodes.append(helper.make_node("Cast", [source], [casts[name, kind]], f"cast_{casts[name, kind]}", to=kind))
        return casts[name, kind]

    for index, node in enumerate(graph.node):
        count = DATA.get(node.op_type, len(node.input))
        for position, name in enumerate(node.input):
            wanted = HALF if index in half and position < count else FLOAT
            floats = kinds.get(name) == FLOAT and node.op_type not in TYPELESS
            node.input[position] = cast(name, wanted) if floats and has[name] != wanted else turned.get(name, name)
        for position, name in enumerate(node.output):
            node.output[position] = turned.get(name, name)
        nodes.append(node)
    for name, inner in turned.items():
        nodes.append(helper.make_node("Cast", [inner], [name], f"cast_{name}", to=given[name]))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if value.name in crossing:
            value.type.tensor_type.elem_type = HALF
    _fold_constant_casts(graph)
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, OPSET)
    onnx.checker.check_model(model)
    return model


def _element_types(graph: GraphProto) -> dict[str, int]:
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    kinds |= {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    return kinds | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _choose_half(nodes: Iterable[NodeProto], kinds: Mapping[str, int]) -> set[int]:
    """Indices of the nodes that compute in half."""
    nodes = list(nodes)
    made_by = {name: index for index, node in enumerate(nodes) for name in node.output}
    before = [{made_by[name] for name in node.input if name in made_by} for node in nodes]
    after: list[set[int]] = [set() for _ in nodes]
    for index, sources in enumerate(before):
        for source in sources:
            after[source].add(index)
    layers = {index for index, node in enumerate(nodes) if node.op_type in LAYERS}
    floats = {
        index
        for index, node in enumerate(nodes)
        if any(kinds.get(name) == FLOAT for name in (*node.input, *node.output))
    }
    half = _reach(layers, after) & _reach(layers, before) & floats
    half -= _choose_full(nodes, before, after, layers)
    half = {index for index in half if nodes[index].op_type not in TYPELESS}
    grown = True
    while grown:  # activations and quantisers at the edges belong to the layer beside them
        grown = False
        for index, node in enumerate(nodes):
            if index in half or node.op_type not in LIGHT:
                continue
            if before[index] & half or (after[index] and after[index] <= half):
                half.add(index)
                grown = True
    return half


def _choose_full(nodes: list[NodeProto], before: list[set[int]], after: list[set[int]], layers: set[int]) -> set[int]:
    """Statistics, what is computed of them up to the next layer, and what is computed for them alone."""
    full = {index for index, node in enumerate(nodes) if node.op_type in FULL}
    for index in range(len(nodes)):  # nodes stand in order
        if index not in layers and before[index] & full and nodes[index].op_type not in LIGHT:
            full.add(index)
    for index in reversed(range(len(nodes))):
        if index not in layers and after[index] and after[index] <= full and nodes[index].op_type not in LIGHT:
            full.add(index)
    return full


def _reach(start: set[int], edges: list[set[int]]) -> set[int]:
    seen, waiting = set(start), list(start)
    while waiting:
        for index in edges[waiting.pop()] - seen:
            seen.add(index)
            waiting.append(index)
    return seen


def _fold_constant_casts(graph: GraphProto) -> None:
    """Weights are stored in the type in which they are used."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, int] = defaultdict(int)
    for node in graph.node:
        for name in node.input:
            uses[name] += 1
    kept = []
    for node in graph.node:
        tensor = stored.get(node.input[0]) if node.op_type == "Cast" and node.input else None
        if tensor is None:
            kept.append(node)
            continue
        kind = next(a.i for a in node.attribute if a.name == "to" and a.type == AttributeProto.INT)
        values = numpy_helper.to_array(tensor).astype(np.float16 if kind == HALF else np.float32)
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        uses[tensor.name] -= 1
    unused = [tensor for tensor in graph.initializer if tensor.name in stored and not uses[tensor.name]]
    for tensor in unused:
        graph.initializer.remove(tensor)
    del graph.node[:]
    graph.node.extend(kept)
