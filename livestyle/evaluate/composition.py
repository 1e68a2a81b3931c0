"""``livestyle evaluate composition``: at which level of the network past and present are best put together.

The experiment of Coherent Online Video Style Transfer (ICCV 2017), on our network: one mask and one flow, applied in
turn to the input image, after each step of the encoder, before and after the bank, inside the decoder and on the output
image. Near the input it leaves flicker, near the output it may leave ghosts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from livestyle.artifacts import Model
from livestyle.controls import find_name
from livestyle.errors import ConfigError
from livestyle.evaluate.footage import Footage, follow, open_footage
from livestyle.evaluate.occlusion import cut_occlusion
from livestyle.evaluate.report import draw_sheet, make_folder, write_text
from livestyle.evaluate.steadiness import ALONE, SteadinessRow, Video, measure
from livestyle.evaluate.steadiness_report import format_steadiness
from livestyle.live.flow import FlowEstimator
from livestyle.media import Pixels
from livestyle.model.autoencoder import Decoder, Encoder
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.motion import MaskNetwork, MotionNetworks
from livestyle.model.profiles import find_profile
from livestyle.pictures import write_picture
from livestyle.train.data import to_picture, to_tensor
from livestyle.train.trainer import read_weights

LEVELS = (
    "input image",
    "encoder, half size",
    "before the bank",
    "after the bank",
    "decoder, eighth size",
    "decoder, half size",
    "output image",
)

Mix = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """From a frame to the one before: ``flow`` (1, 2, h, w) in feature pixels, ``confidence`` (1, 1, h, w)."""

    flow: Tensor
    confidence: Tensor


def evaluate_composition(
    given: str, *, model: Model, out: Path, count: int = 24, styles: Sequence[str] = ()
) -> list[SteadinessRow]:
    """Measure every level and write ``composition.md`` and ``composition.png`` (an occlusion at every level).

    ``given``, ``count`` and ``styles`` as in `evaluate_stability`; the errors too. The model must be the live profile.
    """
    chosen = [find_name(style, model.styles, "style") for style in styles] or model.styles
    network, mask = load_networks(model)
    clips = open_footage(given, count)
    make_folder(out)
    rows: list[SteadinessRow] = []
    tiles: dict[str, list[list[tuple[str, Pixels]]]] = {}
    with torch.inference_mode():
        for clip in clips:
            steps = estimate_steps(clip)
            features = [network.encoder(to_tensor(frame)[None]) for frame in clip.frames]
            pairs = zip(features[1:], features[:-1], steps, strict=True)
            masks = [mask(now, then, step.flow, step.confidence) for now, then, step in pairs]
            for style in chosen:
                alone = paint_level(network, clip, style, "", steps, masks)
                videos = [Video(ALONE, alone)]
                videos += [
                    Video(level, paint_level(network, clip, style, level, steps, masks), alone) for level in LEVELS
                ]
                rows += measure(clip, style, videos, None)
                strip = [
                    ("source", clip.frames),
                    ("one by one", alone),
                    *((each.method, each.frames) for each in videos[1:]),
                ]
                tiles.setdefault(style, []).extend(cut_occlusion(clip, strip))
    write_text(out / "composition.md", format_steadiness(rows))
    write_picture(out / "composition.png", draw_sheet(tiles))
    return rows


def load_networks(model: Model) -> tuple[StyleBankNetwork, MaskNetwork]:
    """The networks of a model folder, in torch. Raises `ConfigError` for another profile than live."""
    profile = find_profile(model.manifest.profile)
    names = list(model.manifest.banks)
    network = StyleBankNetwork(names, profile)
    weights = read_weights(model.folder)
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    if not (isinstance(network.encoder, Encoder) and isinstance(network.decoder, Decoder)):
        raise ConfigError(f"the levels are those of the live profile; this model is {profile.name}")
    return network.eval().requires_grad_(False), load_mask(model.motion_path(), profile.channels)


def load_mask(path: Path, channels: int) -> MaskNetwork:
    """The mask network of a model folder's ``motion.safetensors``."""
    import safetensors.torch

    motion = MotionNetworks(channels)
    motion.load_state_dict(safetensors.torch.load_file(path))
    return motion.mask.eval().requires_grad_(False)


def estimate_steps(clip: Footage) -> list[Step]:
    """What the live program finds between neighbouring frames; the n-th is from frame n + 1 to frame n."""
    estimator = FlowEstimator()
    views = [estimator.view(frame) for frame in clip.frames]
    steps = []
    for then, now in pairwise(views):
        motion = estimator.motion(then, now)
        flow = torch.from_numpy(motion.flow).permute(2, 0, 1)[None]
        steps.append(Step(flow, torch.from_numpy(motion.confidence)[None, None]))
    return steps


def paint_level(
    network: StyleBankNetwork, clip: Footage, style: str, level: str, steps: Sequence[Step], masks: Sequence[Tensor]
) -> list[Pixels]:
    """The clip painted with past and present mixed at one of `LEVELS`, or nowhere."""
    painted: list[Pixels] = []
    past: list[Tensor] = []

    for n in follow(range(len(clip.frames)), f"{clip.name}, {style}: {level or 'frame by frame'}"):

        def mix(here: Tensor, n: int = n) -> Tensor:
            if n:
                moved = resample(past.pop(), steps[n - 1].flow)
                keep = F.interpolate(masks[n - 1], size=here.shape[2:], mode="bilinear", align_corners=False)
                here = here + keep * (moved - here)
            past.append(here)
            return here

        picture = to_tensor(clip.frames[n])[None]
        painted.append(to_picture(run_network(network, picture, style, level, mix)[0]))
    return painted


def run_network(network: StyleBankNetwork, picture: Tensor, style: str, level: str, mix: Mix) -> Tensor:
    """The painted picture (1, 3, H, W), with ``mix`` applied to what there is at ``level``."""
    encoder, decoder = network.encoder, network.decoder
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)

    def at(name: str, here: Tensor) -> Tensor:
        return mix(here) if name == level else here

    x = at("input image", picture)
    half = at("encoder, half size", F.relu(encoder.to_half(F.pixel_unshuffle(x, 2))))
    features = at("before the bank", F.relu(encoder.to_quarter(half)))
    painted = at("after the bank", network.bank(features, [style]))
    deep = at("decoder, eighth size", decoder.deep(F.relu(decoder.down(F.relu(painted)))))
    deep = F.interpolate(decoder.up(deep), scale_factor=2.0, mode="bilinear", align_corners=False)
    half = at("decoder, half size", F.pixel_shuffle(decoder.to_half(F.relu(painted + deep)), 2))
    return at("output image", torch.sigmoid(F.pixel_shuffle(decoder.to_full(F.relu(half)), 2)))


def resample(past: Tensor, flow: Tensor) -> Tensor:
    """Bicubic samples of (1, C, H, W) along a flow (1, 2, h, w) in its own pixels, of any size."""
    height, width = past.shape[2:]
    fine = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False) * (width / flow.shape[3])
    x = (torch.arange(width).view(1, 1, width) + fine[:, 0] + 0.5) * (2.0 / width) - 1.0
    y = (torch.arange(height).view(1, height, 1) + fine[:, 1] + 0.5) * (2.0 / height) - 1.0
    grid = torch.stack([x, y], dim=3)
    return F.grid_sample(past, grid, mode="bicubic", padding_mode="border", align_corners=False)
