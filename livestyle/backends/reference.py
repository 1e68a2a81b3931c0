"""The definition: the same graphs in torch, float32 on the CPU. Slow, and what every other backend is compared with."""

from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from livestyle.artifacts import Model
from livestyle.backends import Chain, Graph
from livestyle.errors import BackendError, ModelError
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.graphs import GRAPHS, build_graphs
from livestyle.model.motion import MotionNetworks
from livestyle.model.profiles import find_profile


class ReferenceBackend:
    """Runs the torch modules of `livestyle.model.graphs` on the weights of the model folder."""

    name = "reference"
    precision = "f32"

    def __init__(self, model: Model, width: int, height: int, precision: str = "auto") -> None:
        """Any size; ``width``, ``height`` and ``precision`` are accepted for the seam's sake. Raises `ModelError`."""
        profile = find_profile(model.manifest.profile)
        network, motion = StyleBankNetwork([], profile), MotionNetworks(profile.channels)
        for module, path in ((network, model.autoencoder_path()), (motion, model.motion_path())):
            try:
                module.load_state_dict(safetensors.torch.load_file(path))
            except (safetensors.SafetensorError, RuntimeError) as error:
                raise ModelError(f"{path} holds other weights than this network's: {error}") from error
        self._modules = build_graphs(network.encoder, network.decoder, motion)

    def load(self, graph: str) -> "ReferenceGraph":
        return ReferenceGraph(graph, self._modules[graph])

    def join(self, first: Graph, second: Graph) -> Chain:
        return Chain(first, second)

    def upload(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))

    def download(self, handle: Tensor) -> NDArray[Any]:
        return handle.numpy().copy()

    def close(self) -> None:
        self._modules = {}


class ReferenceGraph:
    """One torch module, called by input names."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self._names = GRAPHS[name]
        self._module = module

    def __call__(self, **handles: Tensor) -> dict[str, Tensor]:
        try:
            with torch.inference_mode():
                output: Tensor = self._module(*(handles[name] for name in self._names.inputs))
        except RuntimeError as error:
            raise BackendError(f"reference backend failed: {error}") from error
        return {self._names.output: output}


def describe() -> str:
    """One line for ``livestyle doctor``."""
    return f"torch {torch.__version__}, float32, slow: for comparison"
