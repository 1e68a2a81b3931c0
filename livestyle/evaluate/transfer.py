"""``livestyle evaluate transfer``: a mask trained with some styles, used with others and with other people's networks.

The mask sees the encoder's features only, which are the same for every style, and is used on the painted picture. So it
can steady whatever painted it: here our banks, and Johnson's networks, which share nothing with the encoder.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from livestyle.artifacts import Model
from livestyle.controls import find_name
from livestyle.errors import ConfigError
from livestyle.evaluate.composition import Step, estimate_steps, load_networks, paint_level
from livestyle.evaluate.footage import open_footage
from livestyle.evaluate.johnson import find_johnson
from livestyle.evaluate.report import make_folder, write_text
from livestyle.evaluate.steadiness import ALONE, JOHNSON, SteadinessRow, Video, measure, paint_johnson
from livestyle.evaluate.steadiness_report import format_steadiness
from livestyle.live.settle import Settled, Settler
from livestyle.media import Pixels
from livestyle.model.motion import MaskNetwork, MotionNetworks
from livestyle.train.checkpoint import load_checkpoint
from livestyle.train.data import to_tensor

SHIPPED, UNTRAINED = "the model's", "untrained"


def evaluate_transfer(
    given: str,
    masks: Sequence[Path],
    *,
    model: Model,
    out: Path,
    count: int = 24,
    styles: Sequence[str] = (),
    johnson: Path | None = None,
) -> list[SteadinessRow]:
    """Measure every mask on every style and write ``transfer.md``.

    ``masks`` are runs of ``livestyle train-motion``; the model's own mask and an untrained one, which is the flow's
    confidence, stand beside them. The rest is as in `evaluate_stability`.
    """
    chosen = [find_name(style, model.styles, "style") for style in styles] or model.styles
    network, own = load_networks(model)
    tried = {UNTRAINED: MaskNetwork(network.encoder.to_quarter.out_channels), SHIPPED: own}  # type: ignore[union-attr, arg-type]
    for run in masks:
        name, mask = read_run(run)
        tried[name] = mask
    clips = open_footage(given, count)
    make_folder(out)
    rows: list[SteadinessRow] = []
    with torch.inference_mode():
        for clip in clips:
            steps = estimate_steps(clip)
            features = [network.encoder(to_tensor(frame)[None]) for frame in clip.frames]
            keeps = {name: apply_mask(mask, features, steps) for name, mask in tried.items()}
            for style in chosen:
                painters = [Video(ALONE, paint_level(network, clip, style, "", steps, []))]
                if johnson is not None and (weights := find_johnson(johnson, style)) is not None:
                    painters.append(Video(JOHNSON, paint_johnson(weights, clip)))
                videos = list(painters)
                for painter in painters:
                    who = painter.method.partition(",")[0]
                    videos += [
                        Video(f"{who}, mask: {name}", settle_video(painter.frames, steps, keep), painter.frames)
                        for name, keep in keeps.items()
                    ]
                rows += measure(clip, style, videos, None)
    write_text(out / "transfer.md", format_steadiness(rows))
    return rows


def read_run(run: Path) -> tuple[str, MaskNetwork]:
    """Name and mask of a motion run. Raises `ConfigError` for another kind of run, `ModelError` for a damaged one."""
    state = load_checkpoint(run / "checkpoint.pt")
    if "motion" not in state:
        raise ConfigError(f"{run} is not a run of 'livestyle train-motion'")
    motion = MotionNetworks(state["motion"]["mask.project.weight"].shape[1])
    motion.load_state_dict(state["motion"])
    names = state["config"]["names"]
    return f"{run.name} ({', '.join(names) if len(names) < 4 else f'{len(names)} styles'})", motion.mask.eval()


def apply_mask(mask: MaskNetwork, features: Sequence[Tensor], steps: Sequence[Step]) -> list[Tensor]:
    """The masks (1, 1, h, w) of a clip's frames from the second on."""
    pairs = zip(features[1:], features[:-1], steps, strict=True)
    return [mask(now, then, step.flow, step.confidence) for now, then, step in pairs]


def settle_video(frames: Sequence[Pixels], steps: Sequence[Step], masks: Sequence[Tensor]) -> list[Pixels]:
    """Painted frames, settled as the live program does it."""
    settler, settled = Settler(), Settled(frames[0], frames[0])
    shown = [frames[0]]
    for frame, step, mask in zip(frames[1:], steps, masks, strict=True):
        flow = step.flow[0].permute(1, 2, 0).contiguous().numpy()
        settled = settler.settle(frame, settled, flow, mask[0, 0].numpy())
        shown.append(settled.shown)
    return shown
