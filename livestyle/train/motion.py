"""``livestyle train-motion``: the mask network, with encoder, banks and decoder as they are.

The losses are those of Coherent Online Video Style Transfer (ICCV 2017), on the settled picture O° and the frames S
painted one by one, with exact motion W and visibility V:

    coherence  V · |O°ₜ − W(Sₜ₋₁)|²        the published one, and the same against O° itself `LONG` frames before
    occlusion  (1 − V) · |O°ₜ − Sₜ|²

with the published weights, 1 and 0.2, and 8 for the long one: with less of it the mask keeps too little of the past to
average sensor noise on a still scene. (Averaged over its own few pixels, the occlusion term taught it to keep half
everywhere, just in case.) The published network is trained on pairs and then runs on its own results; this one is
trained as it runs, over `FRAMES` frames, with the flow and the confidence that the live program computes. There is no
flow term: the flow is not learned.
"""

import csv
import math
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from livestyle.artifacts import Model
from livestyle.controls import find_name
from livestyle.errors import ConfigError
from livestyle.live.flow import FlowEstimator
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.motion import MaskNetwork, warp_features
from livestyle.model.profiles import LIVE, find_profile
from livestyle.pictures import read_picture
from livestyle.sources.scene import SceneSource
from livestyle.train.checkpoint import load_checkpoint, open_run, save_checkpoint
from livestyle.train.data import PHOTO_SIDE, list_pictures, resize_short_side, split_photos, to_tensor
from livestyle.train.sequences import Moving, draw_layers, draw_scene
from livestyle.train.trainer import read_weights

FRAMES = 5  # of a sequence
LONG = 3  # frames
SCENE_EVERY = 6  # one sequence in so many is of the rendered scene
SCENE = (320, 184, 101)  # width, height, seed: not the scene that is measured
MOST_PHOTOS = 200  # kept in memory
SAVE_SECONDS = 60.0
LOG_EVERY = 20
TERMS = ("coherence", "long", "occlusion")


class MotionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that makes a run; kept with the weights. ``names`` are the styles it is trained with."""

    photos: str
    start: str
    names: tuple[str, ...]
    profile: str = LIVE.name
    steps: int = 600
    crop: int = 192  # pixels
    learning_rate: float = 4e-3
    coherence_weight: float = 1.0
    long_weight: float = 8.0
    occlusion_weight: float = 0.2
    seed: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}: it must be at least 1")
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
        if "mask" not in kept:
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
    """One run: the mask network, its optimiser, random state and log."""

    def __init__(self, folder: Path, config: MotionConfig) -> None:
        self.folder = folder
        self.config = config
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        profile = find_profile(config.profile)
        self._random = np.random.default_rng(config.seed)
        self.mask = MaskNetwork(profile.channels)
        self.step, self.minutes = 0, 0.0
        self._optimizer = torch.optim.Adam(self.mask.parameters(), lr=config.learning_rate)
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
        (folder / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2))

    def train(self) -> None:
        """Run to the last step, saving on the way; safe to interrupt at any time."""
        window: list[dict[str, float]] = []
        saved = time.monotonic()
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        ) as bar:
            task = bar.add_task("training", total=self.config.steps, completed=self.step)
            try:
                while self.step < self.config.steps:
                    started = time.monotonic()
                    window.append(self.advance())
                    self.minutes += (time.monotonic() - started) / 60.0
                    if self.step % LOG_EVERY == 0 or self.step == self.config.steps:
                        means = {term: float(np.mean([terms[term] for terms in window])) for term in TERMS}
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
        """One sequence in one style."""
        config = self.config
        if self.step % SCENE_EVERY == SCENE_EVERY - 1:
            moving = draw_scene(self._scene, FRAMES, self._random)
        else:
            moving = draw_layers(self._photos, config.crop, FRAMES, self._random)
        style = config.names[int(self._random.integers(len(config.names)))]
        losses = measure_sequence(self._network, self.mask, moving, style)
        weights = (config.coherence_weight, config.long_weight, config.occlusion_weight)
        loss = torch.stack([weight * losses[term] for term, weight in zip(TERMS, weights, strict=True)]).sum()
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * self.step / config.steps))
        self._optimizer.zero_grad(set_to_none=True)
        # Relative: a style with hard strokes, or a sequence that is hidden from itself, must not outweigh the others
        (loss / loss.detach().clamp_min(1e-6)).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.step += 1
        return {term: float(value.detach()) for term, value in losses.items()}

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "config": msgspec.to_builtins(self.config),
            "mask": self.mask.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "numpy_random": msgspec.json.encode(self._random.bit_generator.state).decode(),
        }
        save_checkpoint(self.folder / "checkpoint.pt", state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.mask.load_state_dict(state["mask"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.minutes = state["step"], state["minutes"]
        self._random.bit_generator.state = msgspec.json.decode(state["numpy_random"])

    def _log(self, means: Mapping[str, float]) -> None:
        path = self.folder / "loss.csv"
        fresh = not path.exists()
        with open(path, "a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "minutes", *TERMS])
            writer.writerow([self.step, f"{self.minutes:.2f}", *(f"{means[term]:.6f}" for term in TERMS)])


def measure_sequence(network: StyleBankNetwork, mask: MaskNetwork, moving: Moving, style: str) -> dict[str, Tensor]:
    """The losses of one sequence in one style, scalars; gradients flow to ``mask`` only."""
    pictures = torch.stack([to_tensor(frame) for frame in moving.frames])
    with torch.no_grad():
        features = network.encoder(pictures)
        painted = network.decoder(network.bank(features, [style] * len(pictures)))
    estimator = FlowEstimator()
    views = [estimator.view(frame) for frame in moving.frames]
    settled = [painted[:1]]
    sums = {term: pictures.new_zeros(()) for term in TERMS}
    for n in range(1, len(views)):
        found = estimator.motion(views[n - 1], views[n])
        flow = torch.from_numpy(found.flow).permute(2, 0, 1)[None]
        confidence = torch.from_numpy(found.confidence)[None, None]
        keep = mask(features[n : n + 1], features[n - 1 : n], flow, confidence)
        moved = warp_picture(settled[-1], flow)
        keep = F.interpolate(keep, scale_factor=4.0, mode="bilinear", align_corners=False)
        here = painted[n : n + 1]
        settled.append(here + keep * (moved - here))
        back, visible = _read_motion(moving, n, n - 1)
        then = warp_features(painted[n - 1 : n], back)
        sums["coherence"] = sums["coherence"] + _mean_over(visible, settled[n] - then)
        sums["occlusion"] = sums["occlusion"] + _mean_over(1.0 - visible, settled[n] - here)
        if n >= LONG:
            back, visible = _read_motion(moving, n, n - LONG)
            sums["long"] = sums["long"] + _mean_over(visible, settled[n] - warp_features(settled[n - LONG], back))
    return {term: total / (len(views) - 1) for term, total in sums.items()}


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
