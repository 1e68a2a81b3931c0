"""The flow network: where everything was one frame ago, learned, and small enough to be one graph among the others.

Coarse to fine as in SPyNet (Ranjan and Black, CVPR 2017) and PWC-Net (Sun et al., CVPR 2018), with what those leave to
be learned done by arithmetic. Each step solves Lucas and Kanade's equations (IJCAI 1981) on learned views of both
pictures, the older one moved by the flow so far; then each pixel takes the mean of its neighbours' answers, weighted by
how well each is founded, as dense inverse search does with its patches (Kroeger et al., ECCV 2016). Two convolutions
say what else to make of an answer: how much it counts and what is added. The same weights serve every level and step.
The flow of the last frame is where the search begins. How far to trust the result is not learned: it is judged as that
of the search on the processor, so that one mask network serves both.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 4  # of the pyramid, each half the size of the one before
STEPS = (1, 2, 2, 2)  # of the search on each level, the finest first
VIEWS = 8  # learned views of a picture that are compared
WIDTH = 16  # channels of the convolutions that judge an answer
WINDOW = 5  # pixels of a level, over which Lucas and Kanade's equations are summed
SPREAD = 7  # pixels of a level, over which answers are averaged; untrained, 5 errs by a tenth more
LEAP = 2.0  # pixels of a level, the longest step
UNLIKE = 0.05  # of the views: a difference that tells nothing yet
STANDING = 0.035  # feature pixels: sensor noise, not motion, see `livestyle.live.flow`; and so are these:
RESIDUAL, PER_NOISE, PER_CONTRAST = 3.0, 2.4, 0.1  # the mean of noise is 1.2 times its median
FAR = 8.0  # grey levels: more than noise and light do


class FlowNetwork(nn.Module):
    """Motion between two pictures. Untrained, with random views, it errs about as much as dense inverse search."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(1, VIEWS, 3, padding=1)
        self.judge = nn.Conv2d(2 * VIEWS + 6, WIDTH, 3, padding=1)
        self.decide = nn.Conv2d(WIDTH, 3, 3, padding=1)  # log of the weight, and what is added (2)
        self.calm = nn.Parameter(torch.tensor(-8.0))  # log of what is added to the equations, that they have a solution
        nn.init.zeros_(self.decide.weight)
        nn.init.zeros_(self.decide.bias)  # type: ignore[arg-type]

    def forward(self, luma: Tensor, past: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Flow (N, 2, h, w) and its confidence (N, 1, h, w) in [0, 1], h and w even.

        ``luma`` and ``past`` (N, 1, h, w) in 0..255, now and one frame ago; ``flow`` (N, 2, h, w) is a first guess,
        zero where there is none. All flow is (dx, dy) in pixels of ``luma``: what is at x now was at x + flow.
        """
        flow = self.search(luma, past, flow)[-1]
        length = (flow.square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
        flow = flow * (length * (1.0 / STANDING) - 1.0).clamp(0.0, 1.0)
        return flow, likeness(luma, past, flow)

    def search(self, luma: Tensor, past: Tensor, flow: Tensor) -> list[Tensor]:
        """The flow after the last step on each level, the coarsest first, in its pixels."""
        here, there = self._build(luma), self._build(past)
        for _ in range(LEVELS - 1):
            flow = 0.5 * F.avg_pool2d(flow, 2, ceil_mode=True, count_include_pad=False)
        found: list[Tensor] = []
        for level in reversed(range(LEVELS)):
            if found:
                height, width = here[level].shape[2:]
                flow = 2.0 * F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False)
                flow = flow[:, :, :height, :width]
            for _ in range(STEPS[level]):
                flow = self._step(here[level], there[level], flow)
            found.append(flow)
        return found

    def _build(self, luma: Tensor) -> list[Tensor]:
        """The views of a picture on every level, the finest first."""
        luma = luma * (1.0 / 64.0) - 2.0
        levels = [self.look(luma)]
        for _ in range(LEVELS - 1):
            luma = F.avg_pool2d(luma, 2, ceil_mode=True, count_include_pad=False)
            levels.append(self.look(luma))
        return levels

    def _step(self, here: Tensor, there: Tensor, flow: Tensor) -> Tensor:
        moved = warp_features(there, flow)
        apart = moved - here
        across, down = _slope(0.5 * (moved + here))
        products = [across * across, across * down, down * down, across * apart, down * apart, apart.abs()]
        sums = torch.cat([product.mean(dim=1, keepdim=True) for product in products], dim=1)
        xx, xy, yy, xt, yt, unlike = torch.split(_average(sums, WINDOW), 1, dim=1)
        calm = self.calm.exp()
        xx, yy = xx + calm, yy + calm
        whole = xx * yy - xy * xy
        step = torch.cat([xy * yt - yy * xt, xy * xt - xx * yt], dim=1) / whole
        step = step.clamp(-LEAP, LEAP)
        founded = (whole / (xx + yy)).sqrt()  # how much contrast there is in the direction that has least
        lonely = flow - _average(flow, WINDOW)
        seen = torch.cat([here, apart, step, lonely, founded, unlike], dim=1)
        counts, added = torch.split(self.decide(F.relu(self.judge(seen))), [1, 2], dim=1)
        weight = founded / (UNLIKE + unlike).square() * counts.clamp(-8.0, 8.0).exp()
        spread = _average(torch.cat([weight * (flow + step), weight], dim=1), SPREAD)
        return spread[:, :2] / spread[:, 2:] + added


def _average(maps: Tensor, side: int) -> Tensor:
    """Means over squares, of what of them is in the picture."""
    return F.avg_pool2d(maps, side, 1, side // 2, count_include_pad=False)


def warp_features(features: Tensor, flow: Tensor) -> Tensor:
    """Bilinear samples of ``features`` (N, C, h, w) at x + flow; ``flow`` (N, 2, h, w) is (dx, dy) in feature pixels.

    The flow points from the new frame to the past one. Outside the picture the border is repeated.
    """
    height, width = features.shape[2], features.shape[3]
    columns = torch.arange(width, dtype=features.dtype, device=features.device).view(1, 1, width)
    rows = torch.arange(height, dtype=features.dtype, device=features.device).view(1, height, 1)
    x = (columns + flow[:, 0] + 0.5) * (2.0 / width) - 1.0
    y = (rows + flow[:, 1] + 0.5) * (2.0 / height) - 1.0
    grid = torch.stack([x, y], dim=3)
    return F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _slope(views: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives across and down, per pixel; zero to the outside."""
    wide = F.pad(views, (1, 1, 1, 1), mode="replicate")
    across = 0.5 * (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2])
    down = 0.5 * (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1])
    return across, down


def likeness(luma: Tensor, past: Tensor, flow: Tensor) -> Tensor:
    """(N, 1, h, w): 1 where the luma fetched along ``flow`` is that of now, 1/2 at what noise, light, contrast explain.

    As `livestyle.live.flow` has it, but for its medians, which no runtime sorts out fast: means without far values.
    """
    apart = warp_features(past, flow) - luma
    apart = (apart - apart.clamp(-FAR, FAR).mean(dim=(2, 3), keepdim=True)).abs()
    noise = apart.clamp(0.0, FAR).mean(dim=(2, 3), keepdim=True)
    contrast = F.max_pool2d(luma, 3, 1, 1) + F.max_pool2d(-luma, 3, 1, 1)
    odd = (apart / (RESIDUAL + PER_NOISE * noise + PER_CONTRAST * contrast)).square()
    return 1.0 / (1.0 + odd * odd)


def stays_inside(flow: Tensor, border: int) -> Tensor:
    """(N, 1, h, w): 1 where the flow ends in the picture without its ``border``, 0 from half a pixel outside on."""
    height, width = flow.shape[2:]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device).view(1, 1, 1, width)
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device).view(1, 1, height, 1)
    x, y = columns + flow[:, :1], rows + flow[:, 1:]
    least = torch.minimum(torch.minimum(x, (width - 1) - x), torch.minimum(y, (height - 1) - y))
    return (2.0 * (least - border) + 1.0).clamp(0.0, 1.0)
