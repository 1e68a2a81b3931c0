"""Style banks: one bare convolution per style between encoder and decoder (StyleBank, CVPR 2017).

"Bare" means no norm and no activation inside, so that a mix of styles is exactly the convolution with the weighted sum
of their kernels. The contrast of the content is normalised *before* the bank, by an instance norm without parameters;
kernel and bias then set the statistics of the style.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livestyle.model.profiles import LIVE, Profile

EPSILON = 1e-5  # added to the variance


def normalize(features: Tensor) -> Tensor:
    """Zero mean and unit variance per picture and channel over the whole picture; same shape (N, C, h, w)."""
    return _normalize(features)[0]


def _normalize(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With the mean and the deviation that were taken out, (N, C, 1, 1)."""
    features = features.float()  # statistics of a run in bfloat16 stay exact
    mean = features.mean(dim=(2, 3), keepdim=True)
    centred = features - mean
    variance = (centred * centred).mean(dim=(2, 3), keepdim=True) + EPSILON
    inverse = torch.rsqrt(variance)
    return centred * inverse, mean, variance * inverse


def apply_bank(features: Tensor, weight: Tensor, bias: Tensor, strength: Tensor) -> Tensor:
    """Painted features of one picture: ``strength * (K ⊗ norm(F) + b) + (1 - strength) * F``.

    ``features`` (1, C, h, w), ``weight`` (C, C, 3, 3), ``bias`` (C,), ``strength`` (1,) in [0, 1]; at strength 0 the
    decoder gives the auto-encoded picture. F is norm(F) times its deviation plus its mean, so its share goes into
    kernel and bias: that spares a pass over the features, and they come out as the convolution lays them.
    """
    normalized, mean, deviation = _normalize(features)
    rest = 1.0 - strength
    channels = weight.shape[0]
    same = torch.eye(channels).view(channels, channels, 1, 1) * F.pad(torch.ones(1, 1, 1, 1), (1, 1, 1, 1))
    kernel = strength * weight + rest * deviation * same
    return F.conv2d(normalized, kernel, strength * bias + rest * mean.view(channels), padding=1)


class StyleBank(nn.Module):
    """The kernels of several styles, kept by name."""

    def __init__(self, styles: Sequence[str], channels: int) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name: torch.empty(channels, channels, 3, 3) for name in styles})
        self.biases = nn.ParameterDict({name: torch.zeros(channels) for name in styles})
        for weight in self.weights.values():
            nn.init.kaiming_normal_(weight, nonlinearity="linear")

    @property
    def styles(self) -> list[str]:
        return list(self.weights)

    def forward(self, features: Tensor, styles: Sequence[str]) -> Tensor:
        """Paint picture n of the batch in ``styles[n]``; (N, C, h, w) to the same shape."""
        normalized = normalize(features)
        painted = [
            F.conv2d(normalized[n : n + 1], self.weights[style], self.biases[style], padding=1)
            for n, style in enumerate(styles)
        ]
        return torch.cat(painted)


class StyleBankNetwork(nn.Module):
    """Encoder, banks and decoder as they are trained: one network, two branches (StyleBank, CVPR 2017).

    With ``in_bfloat16`` convolutions compute in bfloat16; weights, what losses see and what is exported stay float32.
    """

    def __init__(self, styles: Sequence[str], profile: Profile = LIVE) -> None:
        super().__init__()
        self.profile = profile
        self.in_bfloat16 = False
        self.encoder = profile.make_encoder()
        self.bank = StyleBank(styles, profile.channels)
        self.decoder = profile.make_decoder()

    def paint(self, pictures: Tensor, styles: Sequence[str]) -> Tensor:
        """Stylising branch: picture n in ``styles[n]``; (N, 3, H, W) in [0, 1] to the same shape."""
        with self._convolving(pictures):
            painted: Tensor = self.decoder(self.bank(self.encoder(pictures), styles))
        return painted.float()

    def paint_framed(self, pictures: Tensor, styles: Sequence[str]) -> Tensor:
        """As `paint`, for people to look at: with the profile's margin mirrored on, and cut off again, as live."""
        margin = self.profile.margin
        painted = self.paint(F.pad(pictures, [margin] * 4, mode="reflect"), styles)
        return painted[..., margin:-margin, margin:-margin]

    def reconstruct(self, pictures: Tensor) -> Tensor:
        """Auto-encoder branch, the bank skipped; (N, 3, H, W) in [0, 1] to the same shape."""
        with self._convolving(pictures):
            reconstructed: Tensor = self.decoder(self.encoder(pictures))
        return reconstructed.float()

    def dissolve(self, pictures: Tensor, styles: Sequence[str], strengths: Tensor) -> Tensor:
        """Between the branches: features mixed as in `apply_bank`, at ``strengths`` (N, 1, 1, 1) in [0, 1].

        The banks get no gradient: what they paint at full strength is not to suffer for what lies below.
        """
        with self._convolving(pictures):
            features = self.encoder(pictures)
            painted = self.bank(features, styles).detach()
            dissolved: Tensor = self.decoder(features + strengths * (painted - features))
        return dissolved.float()

    def _convolving(self, pictures: Tensor) -> torch.autocast:
        return torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=self.in_bfloat16)
