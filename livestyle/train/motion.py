"""``livestyle train-motion``: the flow and the mask network, with encoder, banks and decoder as they are.

First the flow alone, on exact motion (`livestyle.train.flow`). Then both, with the losses of Coherent Online Video
Style Transfer (ICCV 2017), on the settled picture O° and the frames S painted one by one, with exact motion W and
visibility V:

    coherence  V · |O°ₜ − W(Sₜ₋₁)|²        the published one, and the same against O° itself `LONG` frames before
    occlusion  (1 − V) · |O°ₜ − Sₜ|²

with the published weights, 1 and 0.2, and 8 for the long one: with less of it the mask keeps too little of the past to
average sensor noise on a still scene. (Averaged over its own few pixels, the occlusion term taught it to keep half
everywhere, just in case.) The published flow term, |W' − W|² on what is visible, keeps the learned flow W' from finding
strokes that are merely alike. The published network is trained on pairs and then runs on its own results; this one is
trained as it runs, over `FRAMES` frames, in turns with the flow and the confidence of the live program's search on the
processor and with those of the flow network, so that one mask serves both.
"""

import csv
import math
import signal
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from livestyle.artifacts import Model
from livestyle.controls import find_name
from livestyle.errors import ConfigError
from livestyle.live.flow import FlowEstimator
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.flow import FlowNetwork, warp_features
from livestyle.model.motion import MaskNetwork, MotionNetworks
from livestyle.model.profiles import LIVE, find_profile
from livestyle.pictures import read_picture
from livestyle.sources.scene import SceneSource
from livestyle.train.checkpoint import load_checkpoint, open_run, save_checkpoint
from livestyle.train.data import PHOTO_SIDE, list_pictures, resize_short_side, split_photos, to_tensor
from livestyle.train.flow import Examples, measure_flow, shrink
from livestyle.train.sequences import Moving, draw_layers, draw_scene
from livestyle.train.trainer import read_weights

FRAMES = 5  # of a sequence
LONG = 3  # frames
SCENE_EVERY = 6  # one sequence in so many is of the rendered scene
SCENE = (320, 184, 101)  # width, height, seed: not the scene that is measured
MOST_PHOTOS = 200  # kept in memory
SAVE_SECONDS = 60.0
LOG_EVERY = 20
STEEPEST = 1.0  # length of a gradient: a search that went astray must not throw the others off
FLOW_SHARE = 0.025  # of the mask's learning rate, for the flow that is trained with it
TERMS = ("coherence", "long", "occlusion", "flow")
FLOW_TERMS = ("flow", "error")


class MotionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that makes a run; kept with the weights. ``names`` are the styles it is trained with.

    Without ``flow_steps`` it goes on from the flow and the mask of the model that it starts from.
    """

    photos: str
    start: str
    names: tuple[str, ...]
    profile: str = LIVE.name
    flow_steps: int = 2000  # of the flow alone; then
    steps: int = 600  # of both
    crop: int = 192  # pixels
    flow_rate: float = 4e-3
    learning_rate: float = 4e-3  # of the mask, and a fortieth of it of the flow
    coherence_weight: float = 1.0
    long_weight: float = 8.0
    occlusion_weight: float = 0.2
    flow_weight: float = 0.01
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("flow_steps", "steps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 0")
        if self.crop < 96 or self.crop % 8:
            raise ConfigError(f"crop is {self.crop}: it must be a multiple of 8 and at least 96")


def train_motion(folder: Path, settings: Mapping[str, object], *, resume: bool) -> None:
    """Begin the run in ``folder`` or go on with it; settings of None keep their default.

    ``start`` is the run or the model folder whose encoder, banks and decoder it is for. Ctrl-C and SIGTERM save before
    they stop. Raises `ConfigError` or `ModelError`.
    """
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    kept = open_run(folder, resume)
    if kept:
        if "motion" not in kept:
            raise ConfigError(f"{folder} holds a run of 'livestyle train', not of train-motion")
        given = {**kept["config"], **given}
    if "start" in given:
        profile, styles = read_facts(Path(given["start"]))
        names = [find_name(name, styles, "style") for name in given.get("names", styles)]
        given = {**given, "profile": profile, "names": names}
    try:
        config = msgspec.convert(given, MotionConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{error}: give --start and --photos") from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    MotionRun(folder, config).train()


def read_facts(folder: Path) -> tuple[str, Sequence[str]]:
    """Profile and styles of the run or the model in ``folder``. Raises `ConfigError` or `ModelError`."""
    if (folder / "manifest.json").is_file():
        manifest = Model(folder).manifest
        return manifest.profile, list(manifest.banks)
    config = load_checkpoint(folder / "checkpoint.pt")["config"]
    return config.get("profile", LIVE.name), config["names"]


class MotionRun:
    """One run: the flow and the mask network, their optimisers, random state and log."""

    def __init__(self, folder: Path, config: MotionConfig) -> None:
        self.folder = folder
        self.config = config
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        profile = find_profile(config.profile)
        self._random = np.random.default_rng(config.seed)
        self.motion = MotionNetworks(profile.channels)
        if config.flow_steps == 0:
            self.motion.load_state_dict(safetensors.torch.load_file(Model(Path(config.start)).motion_path()))
        self.step, self.minutes = 0, 0.0
        self._flow_optimizer = torch.optim.Adam(self.motion.flow.parameters())
        flow = {"params": list(self.motion.flow.parameters()), "share": FLOW_SHARE}
        self._optimizer = torch.optim.Adam([{"params": list(self.motion.mask.parameters()), "share": 1.0}, flow])
        if (folder / "checkpoint.pt").is_file():
            self._restore(load_checkpoint(folder / "checkpoint.pt"))
        self._network = StyleBankNetwork(config.names, profile)
        weights = read_weights(Path(config.start))
        self._network.load_state_dict({name: weights[name] for name in self._network.state_dict()})
        self._network.eval().requires_grad_(False)
        training, _ = split_photos(list_pictures(Path(config.photos)))
        chosen = training[:: max(1, len(training) // MOST_PHOTOS)][:MOST_PHOTOS]
        self._photos = [resize_short_side(read_picture(path), PHOTO_SIDE) for path in chosen]
        width, height, seed = SCENE
        self._scene = SceneSource(width, height, live=False, seed=seed, noise=2.0)
        self._examples = Examples(self._photos, config.seed)
        (folder / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2))

    def train(self) -> None:
        """Run to the last step, saving on the way; safe to interrupt at any time."""
        window: list[dict[str, float]] = []
        saved = time.monotonic()
        last = self.config.flow_steps + self.config.steps
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        ) as bar:
            task = bar.add_task("training", total=last, completed=self.step)
            try:
                while self.step < last:
                    started = time.monotonic()
                    window.append(self.advance())
                    self.minutes += (time.monotonic() - started) / 60.0
                    if self.step % LOG_EVERY == 0 or self.step in (self.config.flow_steps, last):
                        means = {term: float(np.mean([terms[term] for terms in window])) for term in window[-1]}
                        self._log(means)
                        text = " ".join(f"{term} {1e3 * value:.2f}" for term, value in means.items())
                        bar.update(task, completed=self.step, description=text)
                        window = []
                    if time.monotonic() - saved > SAVE_SECONDS:
                        self.save()
                        saved = time.monotonic()
            finally:
                self.save()

    def advance(self) -> dict[str, float]:
        """One step of the flow alone or, after its last, one sequence in one style; the losses of it."""
        flow_steps = self.config.flow_steps
        if self.step < flow_steps:
            losses = self._teach_flow(self.step / flow_steps)
        else:
            losses = self._teach_both((self.step - flow_steps) / self.config.steps)
        self.step += 1
        return {term: float(value.detach()) for term, value in losses.items()}

    def _teach_flow(self, done: float) -> dict[str, Tensor]:
        losses = measure_flow(self.motion.flow, self._examples.batch(self.step, self._random))
        _descend(self._flow_optimizer, losses["flow"], self.config.flow_rate, done)
        return losses

    def _teach_both(self, done: float) -> dict[str, Tensor]:
        config = self.config
        if self.step % SCENE_EVERY == SCENE_EVERY - 1:
            moving = draw_scene(self._scene, FRAMES, self._random)
        else:
            moving = draw_layers(self._photos, config.crop, FRAMES, self._random)
        style = config.names[int(self._random.integers(len(config.names)))]
        flow = self.motion.flow if self.step % 2 else None
        losses = measure_sequence(self._network, self.motion.mask, moving, style, flow)
        weights = (config.coherence_weight, config.long_weight, config.occlusion_weight, config.flow_weight)
        loss = torch.stack([weight * losses[term] for term, weight in zip(TERMS, weights, strict=True)]).sum()
        # Relative: a style with hard strokes, or a sequence that is hidden from itself, must not outweigh the others
        _descend(self._optimizer, loss / loss.detach().clamp_min(1e-6), config.learning_rate, done)
        return losses

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "config": msgspec.to_builtins(self.config),
            "motion": self.motion.state_dict(),
            "flow_optimizer": self._flow_optimizer.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "numpy_random": msgspec.json.encode(self._random.bit_generator.state).decode(),
        }
        save_checkpoint(self.folder / "checkpoint.pt", state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.motion.load_state_dict(state["motion"])
        self._flow_optimizer.load_state_dict(state["flow_optimizer"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.minutes = state["step"], state["minutes"]
        self._random.bit_generator.state = msgspec.json.decode(state["numpy_random"])

    def _log(self, means: Mapping[str, float]) -> None:
        path = self.folder / "loss.csv"
        fresh = not path.exists()
        with open(path, "a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "minutes", *dict.fromkeys(FLOW_TERMS + TERMS)])
            values = (f"{means[term]:.6f}" if term in means else "" for term in dict.fromkeys(FLOW_TERMS + TERMS))
            writer.writerow([self.step, f"{self.minutes:.2f}", *values])


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, done: float) -> None:
    """One step down, at the rate of a cosine of which the part ``done`` is behind."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0) * 0.5 * (1.0 + math.cos(math.pi * done))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], STEEPEST)
    optimizer.step()


def measure_sequence(
    network: StyleBankNetwork, mask: MaskNetwork, moving: Moving, style: str, flow: FlowNetwork | None = None
) -> dict[str, Tensor]:
    """The losses of one sequence in one style, scalars; gradients flow to ``mask`` and ``flow`` only.

    Without ``flow`` the motion is that of the live program's search, and its flow term is 0.
    """
    pictures = torch.stack([to_tensor(frame) for frame in moving.frames])
    with torch.no_grad():
        features = network.encoder(pictures)
        painted = network.decoder(network.bank(features, [style] * len(pictures)))
    motions = search_motion(moving) if flow is None else trace_motion(moving, flow)
    settled = [painted[:1]]
    sums = {term: pictures.new_zeros(()) for term in TERMS}
    for n, (found, confidence) in enumerate(motions, start=1):
        keep = mask(features[n : n + 1], features[n - 1 : n], found, confidence)
        moved = warp_picture(settled[-1], found)
        keep = F.interpolate(keep, scale_factor=4.0, mode="bilinear", align_corners=False)
        here = painted[n : n + 1]
        settled.append(here + keep * (moved - here))
        back, visible = _read_motion(moving, n, n - 1)
        then = warp_features(painted[n - 1 : n], back)
        sums["coherence"] = sums["coherence"] + _mean_over(visible, settled[n] - then)
        sums["occlusion"] = sums["occlusion"] + _mean_over(1.0 - visible, settled[n] - here)
        if flow is not None:
            truth, share = shrink(*moving.motion(n, n - 1))
            apart = found - torch.from_numpy(truth).permute(2, 0, 1)[None]
            sums["flow"] = sums["flow"] + _mean_over(torch.from_numpy(share), apart)
        if n >= LONG:
            back, visible = _read_motion(moving, n, n - LONG)
            sums["long"] = sums["long"] + _mean_over(visible, settled[n] - warp_features(settled[n - LONG], back))
    return {term: total / (len(moving.frames) - 1) for term, total in sums.items()}


Found = tuple[Tensor, Tensor]  # flow (1, 2, h, w) and confidence (1, 1, h, w), both as in `MaskNetwork`


def search_motion(moving: Moving) -> list[Found]:
    """What the live program's search finds from each frame but the first to the one before."""
    estimator = FlowEstimator()
    views = [estimator.view(frame) for frame in moving.frames]
    found = [estimator.motion(*pair) for pair in pairwise(views)]
    return [
        (torch.from_numpy(each.flow).permute(2, 0, 1)[None], torch.from_numpy(each.confidence)[None, None])
        for each in found
    ]


def trace_motion(moving: Moving, network: FlowNetwork) -> list[Found]:
    """What the flow network finds, each time from its last answer on; gradients do not go back in time."""
    estimator = FlowEstimator()
    lumas = [torch.from_numpy(estimator.view(frame).luma).float()[None, None] for frame in moving.frames]
    found: list[Found] = []
    for then, now in pairwise(lumas):
        guess = found[-1][0].detach() if found else now.new_zeros(1, 2, *now.shape[2:])
        found.append(network(now, then, guess))
    return found


def warp_picture(picture: Tensor, flow: Tensor) -> Tensor:
    """Bicubic samples of a picture (1, C, H, W) along a flow (1, 2, H/4, W/4) in feature pixels, as it runs live."""
    height, width = picture.shape[2:]
    fine = 4.0 * F.interpolate(flow, scale_factor=4.0, mode="bilinear", align_corners=False)
    x = (torch.arange(width).view(1, 1, width) + fine[:, 0] + 0.5) * (2.0 / width) - 1.0
    y = (torch.arange(height).view(1, height, 1) + fine[:, 1] + 0.5) * (2.0 / height) - 1.0
    grid = torch.stack([x, y], dim=3)
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _read_motion(moving: Moving, here: int, there: int) -> tuple[Tensor, Tensor]:
    """Exact flow (1, 2, H, W) and visibility (1, 1, H, W) as tensors."""
    flow, visible = moving.motion(here, there)
    return torch.from_numpy(flow).permute(2, 0, 1)[None], torch.from_numpy(visible)[None, None].float()


def _mean_over(where: Tensor, difference: Tensor) -> Tensor:
    return (where * difference.square()).mean()
