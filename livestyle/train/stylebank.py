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

LEAST_FLICKER = 1e-4  # mean square below which it is not worth a stroke: 2.5 of 255
PAST_MOST = 0.5  # largest share of the past in what is judged


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


def draw_motion(count: int, size: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Random small camera motions as sampling grids (count, size, size, 2) in [-1, 1].

    Shift up to 8 pixels, rotation up to 2 degrees, zoom up to 2 %: what lies between two frames of a call or a pan.
    """
    draw = torch.rand(count, 4, generator=generator) * 2.0 - 1.0
    angle = draw[:, 0] * 0.035
    zoom = 1.0 + draw[:, 1] * 0.02
    shift = draw[:, 2:] * (16.0 / size)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)]
    return F.affine_grid(torch.stack(rows, 1).to(device), [count, 3, size, size], align_corners=False)


def draw_noise(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Normal noise as of a sensor, of one random deviation up to 0.02; made where ``pictures`` are."""
    deviation = float(torch.rand(1, generator=generator)) * 0.02
    seed = int(torch.randint(2**62, (1,), generator=generator))
    there = torch.Generator(pictures.device).manual_seed(seed)
    return torch.randn(pictures.shape, generator=there, device=pictures.device) * deviation


def measure_instability(painted: Tensor, repainted: Tensor, grid: Tensor, margin: int) -> Tensor:
    """Root mean square of each picture, (N,), between ``repainted``, of a moved copy, and ``painted``, moved likewise.

    The temporal loss of feed-forward video style transfer with random motion instead of video (ReReVST, TIP 2020,
    trains so), over visible pixels. Motion is known exactly, so nothing but the network's own flicker is punished. The
    root, because the mean square is mostly that of the styles with the hardest strokes: weighed by it, *bricks* lost
    three quarters of its flicker with half of its texture, *scream* half. ``margin`` pixels on each side are left out.
    """
    inside = F.pad(torch.ones_like(cut(painted[:, :1], margin)), [margin] * 4)
    visible = (warp(inside, grid) > 0.999).float() * inside
    difference = (repainted - warp(painted, grid)).square() * visible
    square = difference.sum(dim=(1, 2, 3)) / (3.0 * visible.sum(dim=(1, 2, 3)).clamp_min(1.0))
    return (square + LEAST_FLICKER).sqrt()


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
    style_weights: Sequence[float],
    variation_weight: float,
    grid_weight: float,
    border_weight: float,
    stability_weight: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its terms for the log) of the stylising branch.

    ``crops`` carry ``profile.reach`` pixels on each side that are painted but not judged; picture n is painted in
    ``styles[n]``, whose style loss counts ``style_weights[n]``. With a ``stability_weight`` the judge sees what viewers
    of a video see: the picture mixed with the painting of the one before it, moved along. Strokes that do not move with
    what they are painted on would be lost there, so the style has to be in those that do.
    """
    reach = network.profile.reach
    painted = network.paint(crops, styles)
    inside = cut(painted, reach)
    judged, photos = inside, crops
    variation, repeats = measure_variation(inside), measure_grid(inside)
    loss = variation_weight * variation + grid_weight * repeats
    terms = {"variation": variation, "grid": repeats}
    if border_weight > 0.0:
        few = slice(None, None, 2)  # half of them are enough for what is the same in all
        terms["border"] = measure_border(network, crops[few], inside[few], styles[few])
        loss = loss + border_weight * terms["border"]
    if stability_weight > 0.0:
        grid = draw_motion(len(crops), crops.shape[-1], generator, crops.device)
        photos = warp(crops, grid)
        repainted = network.paint((photos + draw_noise(crops, generator)).clamp(0.0, 1.0), styles)
        terms["instability"] = measure_instability(painted, repainted, grid, network.profile.margin).mean()
        loss = loss + stability_weight * terms["instability"]
        # Bicubic, as pictures are moved live: bilinear would blur what the judge sees
        carried = F.grid_sample(painted, grid, mode="bicubic", padding_mode="border", align_corners=False)
        share = PAST_MOST * torch.rand(len(crops), 1, 1, 1, generator=generator).to(crops.device)
        judged = cut(repainted + share * (carried - repainted), reach)
    content, style = judge.compare(judged, cut(photos, reach), styles)
    weights = torch.tensor(style_weights, device=style.device)
    loss = loss + content.mean() + (weights * style).mean()
    terms |= {"content": content.mean(), "style": style.mean()}
    return loss, {name: term.detach() for name, term in terms.items()}


def measure_reconstruction(
    network: StyleBankNetwork, crops: Tensor, styles: Sequence[str], strengths: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its terms for the log) of the auto-encoder branch, and of what lies between it and the stylising one.

    Mean square between ``crops`` and what the auto-encoder makes of them; and between their `dissolve` into
    ``styles[n]`` at ``strengths`` (N, 1, 1, 1) and the same share of photo and painting. Nothing else looks there:
    trained without it, a network painted a grid of 4 pixels at half strength.
    """
    reconstruction = F.mse_loss(network.reconstruct(crops), crops)
    with torch.no_grad():
        painted = network.paint(crops, styles)
    between = F.mse_loss(network.dissolve(crops, styles, strengths), crops + strengths * (painted - crops))
    return reconstruction + between, {"reconstruction": reconstruction.detach(), "between": between.detach()}


def balance_gradient(network: StyleBankNetwork, gradient_size: Tensor | float, balance: float) -> None:
    """Rescale the auto-encoder's gradient in encoder and decoder.

    g ← λ·(‖g_K‖ / ‖g_I‖)·g_I with λ ``balance``, ‖g_K‖ ``gradient_size``, and ‖·‖ the mean absolute
    value over the shared parameters: lambda is a ratio of gradients, not a weight of losses.
    """
    shared = shared_parameters(network)
    scale = balance * gradient_size / measure_gradient(shared).clamp_min(1e-12)
    for parameter in shared:
        if parameter.grad is not None:
            parameter.grad.mul_(scale)


def shared_parameters(network: StyleBankNetwork) -> list[nn.Parameter]:
    """Encoder and decoder: what all styles share."""
    return [*network.encoder.parameters(), *network.decoder.parameters()]


def measure_gradient(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Mean absolute gradient over all elements, a scalar that stays where the gradients are."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = nn.utils.get_total_norm(gradients, norm_type=1.0)
    return total / max(1, sum(gradient.numel() for gradient in gradients))
