"""Perceptual losses, normalised so that numbers mean the same for every painting.

content = mean((φ(y) − φ(x))²) / mean(φ(x)²) at relu3_3
style   = Σ over relu1_2, 2_2, 3_3, 4_3 of mean((G(y) − G(s))²) / mean(G(s)²), with G = F Fᵀ / (C H W) per picture

The same formulae are the quality metric of ``livestyle evaluate quality``, so training minimises what is reported.
StyleBank (CVPR 2017) uses relu4_2 for content and un-normalised sums. The Gram matrix is per picture: four public
re-implementations fold the batch into it, which correlates features of different pictures.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from livestyle.model.autoencoder import STRIDE

CONTENT_TAP = "relu3_3"
STYLE_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")

Grams = dict[str, Tensor]  # tap -> (N, C, C)


def gram(features: Tensor) -> Tensor:
    """Gram matrix of each picture, (N, C, H, W) to (N, C, C) in float32, divided by C·H·W."""
    n, c, h, w = features.shape
    flat = features.float().reshape(n, c, h * w)
    return flat @ flat.transpose(1, 2) / (c * h * w)


def measure_content(painted: Tensor, original: Tensor) -> Tensor:
    """Normalised content loss of each picture, (N, C, H, W) twice to (N,)."""
    painted, original = painted.float(), original.float()
    difference = (painted - original).square().mean(dim=(1, 2, 3))
    return difference / original.square().mean(dim=(1, 2, 3))


def measure_style(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Normalised style loss of each picture, summed over `STYLE_TAPS`; ``targets`` are Gram matrices (N or 1, C, C)."""
    terms = []
    for tap in STYLE_TAPS:
        difference = (gram(features[tap]) - targets[tap]).square().mean(dim=(1, 2))
        terms.append(difference / targets[tap].square().mean(dim=(1, 2)))
    return torch.stack(terms).sum(dim=0)


def measure_variation(pictures: Tensor) -> Tensor:
    """Total variation: mean squared difference of neighbours, (N, 3, H, W) to a scalar."""
    across = (pictures[..., :, 1:] - pictures[..., :, :-1]).square().mean()
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).square().mean()
    return across + down


def measure_grid(pictures: Tensor) -> Tensor:
    """How much of the picture repeats with the decoder's own grid, (N, 3, H, W) to a scalar; H and W multiples of 4.

    Pixel shuffles leave patterns of period 2 and 4 that stand still on the pixel grid. The high-passed picture is
    averaged over 64×64 pixels for each of the 16 places in a 4×4 cell: strokes average out (photos score 4e-6), a
    grid does not (1e-4 is plainly visible).
    """
    high = pictures - F.avg_pool2d(F.pad(pictures, [1, 1, 1, 1], mode="reflect"), 3, stride=1)
    phases = F.pixel_unshuffle(high, STRIDE)
    return F.avg_pool2d(phases, 16, stride=8).square().mean()


def warp(pictures: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples of (N, C, H, W) at ``grid`` (N, H, W, 2) in [-1, 1]; zero outside."""
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
