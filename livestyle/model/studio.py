"""The auto-encoder of profile ``studio``: StyleBank's published shape (CVPR 2017), for GPUs and for offline work.

9×9 3→32, 3×3/2 32→64, 3×3/2 64→128, a bare 3×3 bank on 128 channels, and the mirror of that; 16 GMAC at 640×360. As in
`livestyle.model.autoencoder` there is no norm but the one before the bank: instance norms in encoder and decoder, which
public re-implementations use, take the contrast of the photo out of the auto-encoder branch, let one region of a
picture change another, and pulse in a video. Up-sampling is nearest neighbour and a convolution: no checkerboard.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 128  # channels of the content features
WIDE = 64  # channels at half size
FULL = 32  # channels at full size
REACH = 24  # pixels from the border that zero padding reaches: 20, and divisible by 8

RECTIFIED = ("encoder.to_full", "encoder.to_half", "encoder.to_quarter", "decoder.to_half", "decoder.to_full")


class Encoder(nn.Module):
    """Content features of a picture: (N, 3, H, W) in [0, 1] to (N, FEATURES, H/4, W/4), not negative."""

    def __init__(self) -> None:
        super().__init__()
        self.to_full = nn.Conv2d(3, FULL, 9, padding=4)
        self.to_half = nn.Conv2d(FULL, WIDE, 3, stride=2, padding=1)
        self.to_quarter = nn.Conv2d(WIDE, FEATURES, 3, stride=2, padding=1)
        initialize(self)

    def forward(self, pictures: Tensor) -> Tensor:
        half = F.relu(self.to_half(F.relu(self.to_full(pictures))))
        features: Tensor = F.relu(self.to_quarter(half))
        return features


class Decoder(nn.Module):
    """A picture from features: (N, FEATURES, H/4, W/4) to (N, 3, H, W) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.to_half = nn.Conv2d(FEATURES, WIDE, 3, padding=1)
        self.to_full = nn.Conv2d(WIDE, FULL, 3, padding=1)
        self.to_picture = nn.Conv2d(FULL, 3, 9, padding=4)
        initialize(self)

    def forward(self, features: Tensor) -> Tensor:
        half = F.relu(self.to_half(F.interpolate(F.relu(features), scale_factor=2.0, mode="nearest")))
        full = F.relu(self.to_full(F.interpolate(half, scale_factor=2.0, mode="nearest")))
        return torch.sigmoid(self.to_picture(full).float())  # in bfloat16, white would have seven steps


def initialize(module: nn.Module) -> None:
    """Keep the size of signals through layers without norms (He et al., ICCV 2015); torch's default shrinks them."""
    for layer in module.children():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
