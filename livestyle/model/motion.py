"""The mask network: how much of the past still holds, judged by the features of two frames.

Coherent Online Video Style Transfer (Chen et al., ICCV 2017) mixes past and present by a mask that three convolutions
make of |F − F'|, where F' are the features of the last frame, moved by the flow. That is kept here; what is mixed is
not: the published network mixes the features, and a decoder with strides paints other strokes of the same features
moved by half a pixel, so most of the flicker comes back behind the mix (``livestyle evaluate composition``). Here the
mask mixes the painted pictures, see `livestyle.live.settle`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livestyle.model.autoencoder import FEATURES
from livestyle.model.flow import FlowNetwork, warp_features

# Largest mask: the rest leaks in, so that a still scene can neither drift nor darken. On a panning clip 0.9 removes no
# more flicker than 0.8 (86 % of it, before sharpness is brought back), and a mistake is seen twice as long; noise on a
# still scene wants more than 0.8 to be a third.
REUSE = 0.8
WIDTH = 8  # channels of the mask network: 1,100 weights, 0.02 GMAC at 640×360


class MaskNetwork(nn.Module):
    """M = `REUSE` · confidence · net(|P F − P F'|): three convolutions, one channel, a sigmoid.

    It works on every second feature: at full resolution most of its time went into moving the features. The first
    convolution is 1×1, so it may come before the warp, which then moves 8 channels instead of 48. Untrained it trusts
    the confidence of the flow.
    """

    def __init__(self, channels: int = FEATURES) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self.compare = nn.Conv2d(WIDTH + 1, WIDTH, 3, padding=1)
        self.decide = nn.Conv2d(WIDTH, 1, 3, padding=1)
        nn.init.zeros_(self.decide.weight)
        nn.init.constant_(self.decide.bias, 4.0)  # type: ignore[arg-type]

    def forward(self, features: Tensor, past: Tensor, flow: Tensor, confidence: Tensor) -> Tensor:
        """Mask (N, 1, h, w) in [0, `REUSE`], h and w even.

        ``features`` of the new frame and ``past`` of the last one (N, C, h, w); ``flow`` (N, 2, h, w) from the new to
        the last, in feature pixels; ``confidence`` (N, 1, h, w) in [0, 1], where the flow can be trusted.
        """
        now, then = self.project(F.avg_pool2d(features, 2)), self.project(F.avg_pool2d(past, 2))
        moved = warp_features(then, F.avg_pool2d(flow, 2) * 0.5)
        seen = torch.cat([(now - moved).abs(), F.avg_pool2d(confidence, 2)], dim=1)
        keep = torch.sigmoid(self.decide(F.relu(self.compare(seen))))
        keep = F.interpolate(keep, scale_factor=2.0, mode="bilinear", align_corners=False)
        return REUSE * confidence * keep


class MotionNetworks(nn.Module):
    """What ``motion.safetensors`` holds: both networks, for features of ``channels`` channels."""

    def __init__(self, channels: int = FEATURES) -> None:
        super().__init__()
        self.flow = FlowNetwork()
        self.mask = MaskNetwork(channels)
