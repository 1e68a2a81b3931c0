"""Per-image optimisation: the pixels of one photo are changed until its content and style losses are low.

Gatys et al., "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016): L-BFGS from white noise, as there,
on the very sum that is reported. From the photo itself the sum falls twice as fast, but by a faint texture that the
judge sees and people do not: after 10 iterations 1.7, where a network's painting has 2.4, and it still looks unpainted.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from livestyle.media import Pixels
from livestyle.train.data import to_picture, to_tensor
from livestyle.train.losses import CONTENT_TAP, STYLE_TAPS, Grams, measure_content, measure_style
from livestyle.train.vgg import VGG16

EVERY = 5  # iterations between two points of a curve
HISTORY = 20  # pairs that L-BFGS remembers; more gave nothing


class Judged(nn.Module):
    """What one look of the judge computes, as a network, to count its arithmetic."""

    def __init__(self, vgg: VGG16) -> None:
        super().__init__()
        self.vgg = vgg

    def forward(self, pictures: Tensor) -> Tensor:
        deepest: Tensor = self.vgg(pictures, STYLE_TAPS)[STYLE_TAPS[-1]]
        return deepest


class Optimizer:
    """Paints photos by ``iterations`` of L-BFGS each; keeps how the loss fell.

    ``curves`` holds for each style, photo by photo in the order of painting, content + style after 0, `EVERY`,
    2 · `EVERY` … iterations.
    """

    def __init__(self, vgg: VGG16, targets: Mapping[str, Grams], iterations: int) -> None:
        """``targets``: Gram matrices of the painting by style."""
        self.vgg = vgg
        self.iterations = iterations
        self._targets = targets
        self.curves: dict[str, list[list[float]]] = {style: [] for style in targets}

    def paint(self, photo: Pixels, style: str) -> Pixels:
        """The painted photo, of the same size."""
        original = to_tensor(photo)[None]
        with torch.no_grad():
            wanted = self.vgg(original, (CONTENT_TAP,))[CONTENT_TAP]
        pixels = torch.rand(original.shape, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
        # Tolerances of 0: the gradient of a pixel is small from the start, and 200 iterations should be 200
        descent = torch.optim.LBFGS(
            [pixels], history_size=HISTORY, tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe"
        )

        def evaluate() -> Tensor:
            descent.zero_grad()
            features = self.vgg(pixels, STYLE_TAPS)
            content = measure_content(features[CONTENT_TAP], wanted)
            loss = (content + measure_style(features, self._targets[style])).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        curve: list[float] = []
        with torch.enable_grad():
            for done in range(0, self.iterations, EVERY):
                descent.param_groups[0]["max_iter"] = min(EVERY, self.iterations - done)
                curve.append(float(descent.step(evaluate).detach()))  # type: ignore[no-untyped-call]
                pixels.data.clamp_(0.0, 1.0)
            curve.append(float(evaluate().detach()))
        self.curves[style].append(curve)
        return to_picture(pixels[0])


def count_iterations(curves: Sequence[Sequence[float]], totals: Sequence[float]) -> int | None:
    """How many iterations reach ``totals`` (content + style of another painter) on the median photo.

    In steps of `EVERY`; None when so many were not tried.
    """
    counts = sorted(
        next((EVERY * point for point, loss in enumerate(curve) if loss <= total), 10**9)
        for curve, total in zip(curves, totals, strict=True)
    )
    median = counts[len(counts) // 2]
    return median if median < 10**9 else None
