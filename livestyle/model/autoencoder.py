"""The auto-encoder that all styles share: profile ``live``, compact enough for two laptop cores.

StyleBank (Chen et al., CVPR 2017) surrounds its banks with 9×9, 3×3/2, 3×3/2 convolutions and their mirror, 10 to 16
GMAC at 640×360. This profile keeps the shape (features at a quarter of the size, bare 3×3 banks between encoder and
decoder) at 1.6 GMAC: space-to-depth instead of full-size convolutions, and a decoder whose deep part works at an
eighth of the size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 48  # channels of the content features; a bank is FEATURES x FEATURES x 3 x 3
HALF = 16  # channels at half size
DEEP = 64  # channels at an eighth
STRIDE = 4  # pixels of the picture per feature
MULTIPLE = 8  # width and height are multiples of this
MARGIN = 8  # pixels round a picture that are painted and thrown away: the zero padding of the convolutions shows there
REACH = 48  # pixels from the border that zero padding reaches: 44, by the deep part, and divisible by 8

RECTIFIED = (
    "encoder.to_half",
    "encoder.to_quarter",
    "decoder.down",
    "decoder.deep.0.first",
    "decoder.deep.1.first",
    "decoder.to_half",
)


class Encoder(nn.Module):
    """Content features of a picture: (N, 3, H, W) in [0, 1] to (N, FEATURES, H/4, W/4), not negative."""

    def __init__(self) -> None:
        super().__init__()
        self.to_half = nn.Conv2d(12, HALF, 3, padding=1)
        self.to_quarter = nn.Conv2d(HALF, FEATURES, 3, stride=2, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        half = F.relu(self.to_half(F.pixel_unshuffle(pictures, 2)))
        features: Tensor = F.relu(self.to_quarter(half))
        return features


class Residual(nn.Module):
    """x + conv(relu(conv(x))), both 3×3; starts as the identity so that a norm-free stack trains."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(F.relu(self.first(x)))
        return x + change


class Decoder(nn.Module):
    """A picture from features: (N, FEATURES, H/4, W/4) to (N, 3, H, W) in [0, 1].

    No normalisation: what the picture looks like is a function of the features nearby, so that regions of different
    styles do not change each other and nothing global can pulse in a video.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(FEATURES, DEEP, 3, stride=2, padding=1)
        self.deep = nn.Sequential(Residual(DEEP), Residual(DEEP))
        self.up = nn.Conv2d(DEEP, FEATURES, 1)
        self.to_half = nn.Conv2d(FEATURES, 4 * HALF, 3, padding=1)
        self.to_full = nn.Conv2d(HALF, 12, 3, padding=1)
        initialize_icnr(self.to_half)
        initialize_icnr(self.to_full)

    def forward(self, features: Tensor) -> Tensor:
        deep = self.deep(F.relu(self.down(F.relu(features))))
        # Bilinear, not nearest: the deep part then moves smoothly with the picture (less flicker) for 0.3 ms.
        deep = F.interpolate(self.up(deep), scale_factor=2.0, mode="bilinear", align_corners=False)
        half = F.pixel_shuffle(self.to_half(F.relu(features + deep)), 2)
        return torch.sigmoid(F.pixel_shuffle(self.to_full(F.relu(half)), 2).float())


def initialize_icnr(convolution: nn.Conv2d) -> None:
    """Start a convolution that feeds a 2× pixel shuffle with four equal sub-kernels (ICNR, arXiv 1707.02937).

    Random sub-kernels start as a checkerboard, and the style loss does not fully remove it.
    """
    weight = torch.empty(convolution.out_channels // 4, *convolution.weight.shape[1:])
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
    with torch.no_grad():
        convolution.weight.copy_(weight.repeat_interleave(4, dim=0))
        if convolution.bias is not None:
            convolution.bias.zero_()
