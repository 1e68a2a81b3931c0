"""StyleBank's switching training: T stylising steps, then one auto-encoder step (CVPR 2017, algorithm 1)."""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livestyle.model.bank import StyleBankNetwork
from livestyle.train.losses import (
    CONTENT_TAP,
    STYLE_TAPS,
    Grams,
    gram,
    measure_content,
    measure_grid,
    measure_style,
    measure_variation,
    warp,
)
from livestyle.train.vgg import VGG16


class Judge:
    """VGG features of pictures and Gram targets of the paintings, in bfloat16 where the processor has it.

    On a CPU with AVX512-BF16 this halves the time of a step; the Gram matrices and losses stay float32.
    """

    def __init__(self, vgg: VGG16, paintings: Mapping[str, Tensor], *, half: bool) -> None:
        """``paintings``: style -> (1, 3, H, W) float32 in [0, 1]."""
        self._vgg = vgg
        self._half = half
        self._targets: dict[str, Grams] = {}
        with torch.no_grad():
            for name, painting in paintings.items():
                features = vgg(painting, STYLE_TAPS)
                self._targets[name] = {tap: gram(features[tap]) for tap in STYLE_TAPS}

    def look(self, pictures: Tensor, taps: tuple[str, ...]) -> dict[str, Tensor]:
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=self._half):
            features: dict[str, Tensor] = self._vgg(pictures, taps)
        return features

    def compare(self, painted: Tensor, original: Tensor, styles: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(content, style) loss of each picture, both (N,); gradients flow to ``painted`` only."""
        with torch.no_grad():
            wanted = self.look(original, (CONTENT_TAP,))
        seen = self.look(painted, STYLE_TAPS)
        targets = {tap: torch.cat([self._targets[style][tap] for style in styles]) for tap in STYLE_TAPS}
        return measure_content(seen[CONTENT_TAP], wanted[CONTENT_TAP]), measure_style(seen, targets)


def cut(pictures: Tensor, margin: int) -> Tensor:
    """(N, C, H, W) without ``margin`` pixels on each side."""
    return pictures[..., margin:-margin, margin:-margin]


def draw_motion(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random small camera motions as sampling grids (count, size, size, 2) in [-1, 1].

    Shift up to 8 pixels, rotation up to 2 degrees, zoom up to 2 %: what lies between two frames of a call or a pan.
    """
    draw = torch.rand(count, 4, generator=generator) * 2.0 - 1.0
    angle = draw[:, 0] * 0.035
    zoom = 1.0 + draw[:, 1] * 0.02
    shift = draw[:, 2:] * (16.0 / size)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    return F.affine_grid(torch.stack(rows, 1), [count, 3, size, size], align_corners=False)


def measure_instability(
    network: StyleBankNetwork, crops: Tensor, painted: Tensor, styles: Sequence[str], generator: torch.Generator
) -> Tensor:
    """How much the painting of a moved, noisy copy differs from the moved painting: mean square over visible pixels.

    The temporal loss of feed-forward video style transfer with random motion instead of video (ReReVST, TIP 2020,
    trains so). Motion is known exactly, so nothing but the network's own flicker is punished.
    """
    grid = draw_motion(crops.shape[0], crops.shape[-1], generator).to(crops.device)
    noise = torch.randn(crops.shape, generator=generator) * (torch.rand(1, generator=generator) * 0.02)
    noise = noise.to(crops.device)
    moved = (warp(crops, grid) + noise).clamp(0.0, 1.0)
    margin = network.profile.margin
    inside = F.pad(torch.ones_like(cut(crops[:, :1], margin)), [margin] * 4)
    visible = (warp(inside, grid) > 0.999).float() * inside
    difference = (network.paint(moved, styles) - warp(painted, grid)).square() * visible
    return difference.sum() / (3.0 * visible.sum().clamp_min(1.0))


def measure_border(network: StyleBankNetwork, crops: Tensor, inside: Tensor, styles: Sequence[str]) -> Tensor:
    """How much the picture's border shows: mean square between ``inside``, painted far from it, and painted beside it.

    Zero padding tells a network where the border is. One that is judged there learns to paint a band of the painting's
    main colour along it, which lowers the style loss of every crop and looks like dirt in a frame.
    """
    margin = network.profile.margin
    beside = network.paint(cut(crops, network.profile.reach - margin), styles)
    return F.mse_loss(cut(beside, margin), inside.detach())


def measure_painting(
    network: StyleBankNetwork,
    judge: Judge,
    crops: Tensor,
    styles: Sequence[str],
    generator: torch.Generator,
    *,
    style_weight: float,
    variation_weight: float,
    grid_weight: float,
    stability_weight: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its terms for the log) of the stylising branch.

    ``crops`` carry ``profile.reach`` pixels on each side that are painted but not judged.
    """
    painted = network.paint(crops, styles)
    reach = network.profile.reach
    inside = cut(painted, reach)
    content, style = judge.compare(inside, cut(crops, reach), styles)
    variation, grid = measure_variation(inside), measure_grid(inside)
    loss = content.mean() + style_weight * style.mean() + variation_weight * variation + grid_weight * grid
    terms = {"content": content.mean(), "style": style.mean(), "variation": variation, "grid": grid}
    if stability_weight > 0.0:
        terms["instability"] = measure_instability(network, crops, painted, styles, generator)
        terms["border"] = measure_border(network, crops, inside, styles)
        loss = loss + stability_weight * (terms["instability"] + terms["border"])
    return loss, {name: term.detach() for name, term in terms.items()}


def measure_reconstruction(network: StyleBankNetwork, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its terms for the log) of the auto-encoder branch."""
    loss = F.mse_loss(network.reconstruct(crops), crops)
    return loss, {"reconstruction": loss.detach()}


def balance_gradient(network: StyleBankNetwork, gradient_size: float, balance: float) -> None:
    """Rescale the auto-encoder's gradient in encoder and decoder.

    g ← λ·(‖g_K‖ / ‖g_I‖)·g_I with λ ``balance``, ‖g_K‖ ``gradient_size``, and ‖·‖ the mean absolute
    value over the shared parameters: lambda is a ratio of gradients, not a weight of losses.
    """
    shared = shared_parameters(network)
    scale = balance * gradient_size / max(measure_gradient(shared), 1e-12)
    for parameter in shared:
        if parameter.grad is not None:
            parameter.grad.mul_(scale)


def shared_parameters(network: StyleBankNetwork) -> list[nn.Parameter]:
    """Encoder and decoder: what all styles share."""
    return [*network.encoder.parameters(), *network.decoder.parameters()]


def measure_gradient(parameters: Iterable[nn.Parameter]) -> float:
    """Mean absolute gradient over all elements."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = sum(float(gradient.abs().sum()) for gradient in gradients)
    return total / max(1, sum(gradient.numel() for gradient in gradients))
