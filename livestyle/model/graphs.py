"""The five graphs that run live, and the one place that names their inputs and outputs.

========  =============================================================  ==========================================
graph     inputs                                                         output
========  =============================================================  ==========================================
encode    ``pixels`` u8 (1, H, W, 3)                                     ``features`` f32 (1, C, H/4, W/4)
mask      ``features``, ``past`` f32 (1, C, h, w);                       ``mask`` f32 (1, 1, h, w)
          ``flow`` f32 (1, 2, h, w); ``confidence`` f32 (1, 1, h, w)
bank      ``features``; ``weight`` f32 (C, C, 3, 3); ``bias`` f32 (C,);  ``painted`` f32 (1, C, h, w)
          ``strength`` f32 (1,)
compose   ``below``, ``above`` f32 (1, C, h, w);                         ``painted`` f32 (1, C, h, w)
          ``mask`` f32 (1, 1, h, w) in [0, 1]
decode    ``painted``                                                    ``picture`` u8 (1, H, W, 3)
========  =============================================================  ==========================================

H and W are multiples of 8. Only pixels are bytes, RGB, and all scaling is inside. TensorRT wants the first node of a
u8 input, and the last of a u8 output, to be the cast; the bank's kernel is an input, so that one graph serves every
style and mix.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from livestyle.model.bank import apply_bank
from livestyle.model.motion import MaskNetwork
from livestyle.model.profiles import LIVE, Profile


class Encode(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.encoder(pixels.float().permute(0, 3, 1, 2) * (1.0 / 255.0))
        return features


class Bank(nn.Module):
    def forward(self, features: Tensor, weight: Tensor, bias: Tensor, strength: Tensor) -> Tensor:
        return apply_bank(features, weight, bias, strength)


class Compose(nn.Module):
    """Regions: one painting laid over another where the mask says so.

    StyleBank masks what enters a bank; masking what leaves it spares the border the bank's own width, 3 features.
    """

    def forward(self, below: Tensor, above: Tensor, mask: Tensor) -> Tensor:
        return below + mask * (above - below)


class Decode(nn.Module):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, painted: Tensor) -> Tensor:
        picture: Tensor = self.decoder(painted)
        return (picture * 255.0 + 0.5).permute(0, 2, 3, 1).to(torch.uint8)


@dataclass(frozen=True, slots=True)
class GraphNames:
    """Names of a graph's inputs, in the order of its module's ``forward``, and of its one output."""

    inputs: tuple[str, ...]
    output: str


GRAPHS: dict[str, GraphNames] = {
    "encode": GraphNames(("pixels",), "features"),
    "mask": GraphNames(("features", "past", "flow", "confidence"), "mask"),
    "bank": GraphNames(("features", "weight", "bias", "strength"), "painted"),
    "compose": GraphNames(("below", "above", "mask"), "painted"),
    "decode": GraphNames(("painted",), "picture"),
}


def build_graphs(encoder: nn.Module, decoder: nn.Module, mask: MaskNetwork) -> dict[str, nn.Module]:
    """The modules that `GRAPHS` names, ready to run or export."""
    modules: dict[str, nn.Module] = {
        "encode": Encode(encoder),
        "mask": mask,
        "bank": Bank(),
        "compose": Compose(),
        "decode": Decode(decoder),
    }
    for module in modules.values():
        module.eval().requires_grad_(False)
    return modules


def make_examples(
    width: int, height: int, generator: torch.Generator, profile: Profile = LIVE
) -> Mapping[str, dict[str, Tensor]]:
    """Random inputs of each graph at a picture size (multiples of the profile's), for export and parity checks."""
    if width % profile.multiple or height % profile.multiple:
        raise ValueError(f"{width}x{height} is not a multiple of {profile.multiple}")
    h, w, channels = height // profile.stride, width // profile.stride, profile.channels

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    features = draw(1, channels, h, w)
    return {
        "encode": {"pixels": (draw(1, height, width, 3) * 255.0).to(torch.uint8)},
        "mask": {
            "features": features,
            "past": (features + 0.1 * draw(1, channels, h, w)),
            "flow": draw(1, 2, h, w) * 4.0 - 2.0,
            "confidence": draw(1, 1, h, w),
        },
        "bank": {
            "features": features,
            "weight": draw(channels, channels, 3, 3) * 0.1 - 0.05,
            "bias": draw(channels) - 0.5,
            "strength": torch.tensor([0.75]),
        },
        "compose": {"below": features, "above": draw(1, channels, h, w), "mask": draw(1, 1, h, w)},
        "decode": {"painted": features},
    }
