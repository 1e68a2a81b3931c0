"""The peer networks as published: Johnson's, with trained weights where there are some, and the shape of StyleBank.

Johnson et al., "Perceptual Losses for Real-Time Style Transfer" (ECCV 2016, arXiv 1603.08155): one network a painting,
in the form of the widely used TensorFlow implementation (lengstrom/fast-style-transfer): instance norm, SAME padding
with zeros, tanh scaled to 150. Its weights are read from ``.npz`` files in that layout: 48 arrays ``Variable``,
``Variable_1`` …, three per convolution in order: kernel (h, w, in, out), shift, scale; transposed ones (h, w, out, in).
StyleBank: Chen et al. (CVPR 2017, arXiv 1703.09210).
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from livestyle.errors import ConfigError, ModelError

EPSILON = 1e-3  # of the instance norm in that implementation
RESIDUALS = 5
FILES = {"great_wave": "wave", "shipwreck": "wreck"}  # paintings whose file has another name


class _Convolution(nn.Module):
    """Convolution with TensorFlow's SAME padding, then instance norm with shift and scale; no bias."""

    def __init__(self, incoming: int, outgoing: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outgoing, incoming, kernel, kernel) * 0.1)
        self.shift = nn.Parameter(torch.zeros(outgoing))
        self.scale = nn.Parameter(torch.ones(outgoing))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(pad_same(x, self.weight.shape[-1], self.stride), self.weight, stride=self.stride)
        return F.instance_norm(x, weight=self.scale, bias=self.shift, eps=EPSILON)


class _Transposed(nn.Module):
    """3×3 transposed convolution to twice the size, SAME padding, then instance norm."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(incoming, outgoing, 3, 3) * 0.1)
        self.shift = nn.Parameter(torch.zeros(outgoing))
        self.scale = nn.Parameter(torch.ones(outgoing))

    def forward(self, x: Tensor) -> Tensor:
        x = spread_same(x, self.weight)
        return F.instance_norm(x, weight=self.scale, bias=self.shift, eps=EPSILON)


class JohnsonNetwork(nn.Module):
    """Paints RGB pictures (N, 3, H, W) in [0, 1], H and W multiples of 4, to the same shape. Random until loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ModuleList([_Convolution(3, 32, 9), _Convolution(32, 64, 3, 2), _Convolution(64, 128, 3, 2)])
        self.residuals = nn.ModuleList([_Convolution(128, 128, 3) for _ in range(2 * RESIDUALS)])
        self.last = nn.ModuleList([_Transposed(128, 64), _Transposed(64, 32), _Convolution(32, 3, 9)])
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures * 255.0
        for layer in self.first:
            x = F.relu(layer(x))
        for one, two in zip(self.residuals[::2], self.residuals[1::2], strict=True):
            x = x + two(F.relu(one(x)))
        up_one, up_two, to_picture = self.last
        x = F.relu(up_two(F.relu(up_one(x))))
        return ((torch.tanh(to_picture(x)) * 150.0 + 127.5) / 255.0).clamp(0.0, 1.0)


class PublishedStyleBank(nn.Module):
    """The shape of the published StyleBank with one bank and random weights, for timing; pictures as `JohnsonNetwork`.

    The bank is a bare 3×3 convolution on 128 channels and there are no residuals (facts agreed on by four public
    re-implementations); up-sampling by transposed convolutions as in the paper.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([_Convolution(3, 32, 9), _Convolution(32, 64, 3, 2), _Convolution(64, 128, 3, 2)])
        self.bank = nn.Conv2d(128, 128, 3, padding=1)
        self.decoder = nn.ModuleList([_Transposed(128, 64), _Transposed(64, 32)])
        self.to_picture = nn.Conv2d(32, 3, 9, padding=4)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures
        for layer in self.encoder:
            x = F.relu(layer(x))
        x = self.bank(x)
        for layer in self.decoder:
            x = F.relu(layer(x))
        picture: Tensor = self.to_picture(x)
        return picture


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around (N, C, H, W) as TensorFlow's SAME wants them: the odd one goes to the bottom and right."""
    sides: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides)


def spread_same(x: Tensor, weight: Tensor) -> Tensor:
    """TensorFlow's transposed 3×3 convolution with stride 2 and SAME padding, (N, I, h, w) to (N, O, 2h, 2w).

    SAME pads an even picture at the end only, so its transpose drops the last row and column. ``weight`` (I, O, 3, 3).
    """
    return F.conv_transpose2d(x, weight, stride=2)[..., :-1, :-1]


def count_bytes(network: JohnsonNetwork) -> int:
    """Size of the weights, as float32."""
    return sum(parameter.nbytes for parameter in network.parameters())


def find_johnson(folder: Path, style: str) -> Path | None:
    """The weights trained for a painting, or None. Raises `ConfigError` when there is no such folder."""
    if not folder.is_dir():
        raise ConfigError(f"no folder of Johnson weights at {folder}")
    path = folder / f"{FILES.get(style, style)}.npz"
    return path if path.is_file() else None


def load_johnson(path: Path) -> JohnsonNetwork:
    """Read trained weights. Raises `ModelError` when the file holds something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not an .npz of weights: {error}") from error
    network = JohnsonNetwork()
    layers = [*network.first, *network.residuals, *network.last]
    for position, layer in enumerate(layers):
        kernel = _take(arrays, 3 * position, path)
        weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()) if kernel.ndim == 4 else None
        shift, scale = (torch.from_numpy(_take(arrays, 3 * position + n, path)) for n in (1, 2))
        if weight is None or weight.shape != layer.weight.shape or shift.shape != layer.shift.shape != scale.shape:
            raise ModelError(f"{path} is not Johnson's network: convolution {position + 1} has kernel {kernel.shape}")
        layer.weight.data, layer.shift.data, layer.scale.data = weight.contiguous(), shift, scale
    return network


def _take(arrays: Mapping[str, NDArray[np.float32]], number: int, path: Path) -> NDArray[np.float32]:
    name = f"Variable_{number}" if number else "Variable"
    if name not in arrays:
        raise ModelError(f"{path} is not Johnson's network: it has no {name}")
    return arrays[name].astype(np.float32)
