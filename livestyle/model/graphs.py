"""The six graphs that run live, and the one place that names their inputs and outputs.

========  =============================================================  ==========================================
graph     inputs                                                         output
========  =============================================================  ==========================================
encode    ``pixels`` u8 (1, H, W, 3)                                     ``features`` f32 (1, C, H/4, W/4)
flow      ``luma``, ``past_luma`` u8 (1, 1, h, w);                       ``motion`` f32 (1, 3, h, w)
          ``past_motion`` f32 (1, 3, h, w)
mask      ``features``, ``past`` f32 (1, C, h, w);                       ``mask`` f32 (1, 1, h, w)
          ``motion`` f32 (1, 3, h, w)
bank      ``features``; ``weight`` f32 (C, C, 3, 3); ``bias`` f32 (C,);  ``painted`` f32 (1, C, h, w)
          ``strength`` f32 (1,)
compose   ``below``, ``above`` f32 (1, C, h, w);                         ``painted`` f32 (1, C, h, w)
          ``mask`` f32 (1, 1, h, w) in [0, 1]
decode    ``painted``                                                    ``picture`` u8 (1, H, W, 3)
========  =============================================================  ==========================================

H and W are multiples of 8, and h and w a quarter of them. Only pixels and luma are bytes, and all scaling is inside.
Motion is (dx, dy) in feature pixels, from now to one frame ago, and how far to trust it, in [0, 1]. TensorRT wants the
first node of a u8 input, and the last of a u8 output, to be the cast; the bank's kernel is an input, so that one graph
serves every style and mix.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livestyle.model.autoencoder import MARGIN, STRIDE
from livestyle.model.bank import apply_bank
from livestyle.model.flow import FlowNetwork, stays_inside
from livestyle.model.motion import MaskNetwork, MotionNetworks
from livestyle.model.profiles import LIVE, Profile


class Encode(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.encoder(pixels.float().permute(0, 3, 1, 2) * (1.0 / 255.0))
        return features


class Flow(nn.Module):
    def __init__(self, flow: FlowNetwork) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, luma: Tensor, past_luma: Tensor, past_motion: Tensor) -> Tensor:
        flow, confidence = self.flow(luma.float(), past_luma.float(), past_motion[:, :2])
        return torch.cat([flow, confidence * stays_inside(flow, MARGIN // STRIDE)], dim=1)


class Mask(nn.Module):
    def __init__(self, mask: MaskNetwork) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, features: Tensor, past: Tensor, motion: Tensor) -> Tensor:
        mask: Tensor = self.mask(features, past, motion[:, :2], motion[:, 2:])
        return mask


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
    "flow": GraphNames(("luma", "past_luma", "past_motion"), "motion"),
    "mask": GraphNames(("features", "past", "motion"), "mask"),
    "bank": GraphNames(("features", "weight", "bias", "strength"), "painted"),
    "compose": GraphNames(("below", "above", "mask"), "painted"),
    "decode": GraphNames(("painted",), "picture"),
}


def build_graphs(encoder: nn.Module, decoder: nn.Module, motion: MotionNetworks) -> dict[str, nn.Module]:
    """The modules that `GRAPHS` names, ready to run or export."""
    modules: dict[str, nn.Module] = {
        "encode": Encode(encoder),
        "flow": Flow(motion.flow),
        "mask": Mask(motion.mask),
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
    # Something that moves by half a pixel: the search of the flow is no smooth function of mere noise
    texture = F.interpolate(draw(1, 1, h // 4 + 2, w // 4 + 2), size=(2 * h, 2 * w), mode="bicubic").clamp(0.0, 1.0)
    luma, past_luma = ((texture[:, :, row::2, 1::2] * 255.0).to(torch.uint8) for row in (0, 1))
    flow = F.interpolate(draw(1, 2, h // 8 + 1, w // 8 + 1), size=(h, w), mode="bilinear") * 4.0 - 2.0
    return {
        "encode": {"pixels": (draw(1, height, width, 3) * 255.0).to(torch.uint8)},
        "flow": {
            "luma": luma,
            "past_luma": past_luma,
            "past_motion": torch.cat([0.1 * flow, draw(1, 1, h, w)], dim=1),
        },
        "mask": {
            "features": features,
            "past": (features + 0.1 * draw(1, channels, h, w)),
            "motion": torch.cat([draw(1, 2, h, w) * 4.0 - 2.0, draw(1, 1, h, w)], dim=1),
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
