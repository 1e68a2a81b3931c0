"""One ONNX graph becomes one engine: parse, fix the size, build, and check what came out.

Networks are strongly typed: precision is what the ONNX file says, so float16 is written into it first
(`livestyle.deploy.half`). The size is fixed by an optimisation profile whose smallest, best and largest shape are one;
the builders then fold all arithmetic on shapes away, as for a graph exported at that size (seen in their logs).
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from livestyle.artifacts import Model, write_whole
from livestyle.backends.engine_files import (
    EngineKey,
    EngineRecord,
    TensorFacts,
    Toolchain,
    engine_folder,
    find_graph,
)
from livestyle.backends.tensorrt_library import PORTABLE, load_library, open_log
from livestyle.deploy.half import write_half
from livestyle.errors import BackendError, ModelError

WORKSPACE = 1 << 30  # bytes of scratch memory that a kernel may ask for
LAYER = re.compile(r"^Name: (\S.*?), LayerType: \w+.*$", re.MULTILINE)
TENSOR = re.compile(r"^ Name: (\S+), IOMode: (\w+), DataType: (\w+), Dimensions: \[([\d,]*)\]", re.MULTILINE)

Shapes = Mapping[str, tuple[int, ...]]


def build_engine(model: Model, key: EngineKey, monitor: Any = None) -> tuple[EngineRecord, bytes, str]:
    """The record, the engine, and the builder's own description of its layers.

    ``monitor`` is an ``IProgressMonitor``. Raises `ModelError` for a graph that is refused, and `BackendError` when
    the build fails or the monitor stops it.
    """
    shapes = model.manifest.input_shapes(key.graph, key.width, key.height)
    source = read_graph(model, key, shapes)
    library, log = load_library(key.toolchain.backend), open_log(key.toolchain.backend)
    log.clear()
    builder = library.Builder(log.logger)
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, log.logger)
    if not parser.parse(source.SerializeToString()):
        reasons = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors)) or log.errors()
        raise ModelError(f"{library.__name__} refuses graph {key.graph} in {key.precision}: {reasons}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED  # or layers have no names
    if key.precision == "f32":
        config.clear_flag(library.BuilderFlag.TF32)  # it rounds to 10 bits, which is not what f32 says
    profile = builder.create_optimization_profile()
    for name, shape in shapes.items():
        profile.set_shape(name, shape, shape, shape)
    config.add_optimization_profile(profile)
    if monitor is not None:
        config.progress_monitor = monitor
    timings = _use_timing_cache(config, key.toolchain)
    started = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - started
    if plan is None:
        raise BackendError(f"{library.__name__} could not build graph {key.graph}: {log.errors()}")
    if timings is not None:
        with contextlib.suppress(OSError):  # it only saves time
            write_whole(timings, bytes(config.get_timing_cache().serialize()))
    engine, said = bytes(plan), log.text()
    tensors, layers, details = _inspect(library, log.logger, key, engine) or _read_layers(said)
    _check_tensors(model, key, shapes, tensors)
    digest = hashlib.sha256(engine).hexdigest()
    nodes = len(source.graph.node)
    return EngineRecord(key, digest, len(engine), round(seconds, 3), nodes, tensors, layers), engine, details


def read_graph(model: Model, key: EngineKey, shapes: Shapes) -> onnx.ModelProto:
    """The ONNX graph in the key's precision. Raises `ModelError` when it is damaged or not what the manifest says."""
    path, entry, _ = find_graph(model, key.graph, key.precision)
    try:
        graph = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ModelError(f"{path} is not a whole ONNX file: reinstall livestyle") from error
    inputs, outputs = [value.name for value in graph.graph.input], [value.name for value in graph.graph.output]
    if inputs != list(entry.inputs) or outputs != [entry.output]:
        raise ModelError(
            f"{path} takes {', '.join(inputs)} and gives {', '.join(outputs)}; the manifest says "
            f"{', '.join(entry.inputs)} and {entry.output}: reinstall livestyle"
        )
    for value in graph.graph.input:
        dims = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
        wanted = shapes[value.name]
        if len(dims) != len(wanted) or any(have not in (None, want) for have, want in zip(dims, wanted, strict=True)):
            raise ModelError(f"{path} takes {value.name} of another shape than the manifest's {list(wanted)}")
    if key.precision != "f32":
        graph = write_half(graph, find_feature_maps(model, key.graph, graph))
    return graph


def find_feature_maps(model: Model, name: str, graph: onnx.ModelProto) -> set[str]:
    """Inputs and outputs that cross from graph to graph, and are half unless everything is f32.

    What the host fills or reads (flow, masks, kernels) stays float32: it is small, and the host has nothing else.
    """
    facts = model.manifest
    shapes = facts.input_shapes(name, facts.multiple, facts.multiple)
    inputs = {key for key, shape in shapes.items() if len(shape) == 4 and shape[:2] == (1, facts.channels)}
    outputs = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.graph.output}
    return inputs | {key for key, dims in outputs.items() if len(dims) == 4 and dims[1] == facts.channels}


def _use_timing_cache(config: Any, toolchain: Toolchain) -> Path | None:
    """TensorRT keeps what it timed; TensorRT for RTX times nothing, and a cache would make it look for a card."""
    if toolchain.target == PORTABLE:
        return None
    digest = hashlib.sha256(f"{toolchain.version} {toolchain.target}".encode()).hexdigest()[:16]
    path = engine_folder() / f"timings-{digest}.cache"
    stored = b""
    with contextlib.suppress(OSError):
        stored = path.read_bytes()
    config.set_timing_cache(config.create_timing_cache(stored), ignore_mismatch=False)
    return path


Description = tuple[tuple[TensorFacts, ...], tuple[str, ...], str]


def _inspect(library: Any, logger: Any, key: EngineKey, plan: bytes) -> Description | None:
    """What the engine's inspector says; None where no card can load it, which `find_target` knows of."""
    if key.toolchain.target == PORTABLE:
        return None
    engine = library.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        return None
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    shapes = {name: tuple(engine.get_tensor_shape(name)) for name in names}
    tensors = tuple(
        TensorFacts(
            name,
            engine.get_tensor_mode(name) == library.TensorIOMode.OUTPUT,
            engine.get_tensor_dtype(name).name.lower(),
            shapes[name],
        )
        for name in names
    )
    inspector = engine.create_engine_inspector()
    layers = [
        inspector.get_layer_information(index, library.LayerInformationFormat.ONELINE)
        for index in range(engine.num_layers)
    ]
    names_of_layers = tuple(line.strip().partition(", LayerType")[0].removeprefix("Name: ") for line in layers)
    return tensors, names_of_layers, inspector.get_engine_information(library.LayerInformationFormat.JSON)


def _read_layers(said: str) -> Description:
    """The same from what the builder said (verbosity DETAILED): the only witness where no card can load the engine."""
    matches = list(LAYER.finditer(said))
    tensors = tuple(
        TensorFacts(name, mode == "Output", kind.lower(), tuple(int(side) for side in shape.split(",") if side))
        for name, mode, kind, shape in TENSOR.findall(said)
    )
    return tensors, tuple(match[1] for match in matches), "\n".join(match[0] for match in matches) + "\n"


def _check_tensors(model: Model, key: EngineKey, shapes: Shapes, tensors: tuple[TensorFacts, ...]) -> None:
    """Raises `BackendError` when an engine does not take and give what the runtime will bind."""
    entry = model.manifest.graphs[key.graph]
    got = {tensor.name: tensor.shape for tensor in tensors if not tensor.output}
    outputs = [tensor.name for tensor in tensors if tensor.output]
    if got != dict(shapes) or outputs != [entry.output]:
        raise BackendError(f"the engine of {key.graph} takes {got} and gives {outputs}, not what the manifest says")
