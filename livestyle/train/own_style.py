"""``livestyle add-style``: one more bank for a finished model; encoder, decoder and all other banks stay as they are.

StyleBank (CVPR 2017) calls it incremental training. A usable bank is on disk from the first save on: what is saved is
the running mean of the weights, which is as good in the middle of a run as the weights are at its end.
"""

import contextlib
import hashlib
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from livestyle.artifacts import Kernel, Model, write_bank, write_whole
from livestyle.deploy.export import draw_thumbnail
from livestyle.errors import ConfigError, LivestyleError
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.profiles import find_profile
from livestyle.train.checkpoint import load_checkpoint, save_checkpoint
from livestyle.train.content import Photos, gather_photos
from livestyle.train.data import Crops, load_style
from livestyle.train.processes import choose_device
from livestyle.train.soap import Soap
from livestyle.train.stylebank import Judge, cut, measure_painting
from livestyle.train.trainer import anneal, computes_bfloat16
from livestyle.train.vgg import VGG16, load_vgg

SAVE_SECONDS = 20.0
BATCH = 4  # crops in a step
CROP = 128  # pixels
LEARNING_RATE = 2e-2  # style loss after 60 steps of one painting: 3.6 with 3e-3, 3.1 with 1e-2, 2.2 with 3e-2
RAMP = 0.2  # of the run, until the stability term has its full weight
MEMORY = 0.05  # of the steps so far that the running mean of the weights is over
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class Weights(msgspec.Struct, frozen=True):
    """Of the losses: those of the model's own training, so that the new style balances like the others."""

    style_weight: float = 1.0
    painting_weights: dict[str, float] = {}
    variation_weight: float = 1.0
    grid_weight: float = 2000.0
    border_weight: float = 50.0
    stability_weight: float = 3.0


class Newcomer:
    """The bank of a new style in training, on the frozen network of a model."""

    def __init__(
        self, model: Model, name: str, painting: Tensor, photos: Photos, vgg: VGG16, style_weight: float | None = None
    ) -> None:
        """``painting`` (1, 3, H, W) in [0, 1]. Begins with the bank of the model that comes nearest to it.

        ``style_weight`` is the style loss over the content loss; that of the nearest style's training unless given.
        """
        device = choose_device()
        self.name = name
        self._device = device
        self.network = StyleBankNetwork([name], find_profile(model.manifest.profile))
        self.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.in_bfloat16 = computes_bfloat16()
        self.network.load_state_dict(safetensors.torch.load_file(model.autoencoder_path()), strict=False)
        self.network.requires_grad_(False)
        self._bank = [self.network.bank.weights[name], self.network.bank.biases[name]]
        self._weights = msgspec.convert(model.manifest.training, Weights)
        self._numpy_random = np.random.default_rng(1)
        self._crops = Crops(photos, self._numpy_random, device)
        self._torch_random = torch.Generator().manual_seed(1)
        self._judge = Judge(vgg.to(device), {name: painting.to(device)}, half=self.network.in_bfloat16)
        self.nearest = self._begin(model)
        nearest_weight = self._weights.style_weight * self._weights.painting_weights.get(self.nearest, 1.0)
        self.style_weight = nearest_weight if style_weight is None else style_weight
        self._mean = [parameter.clone() for parameter in self._bank]
        self._optimizer = Soap([p.requires_grad_(True) for p in self._bank], lr=LEARNING_RATE)
        self.step = 0
        self.minutes = 0.0

    def _begin(self, model: Model) -> str:
        """Take over the bank whose painting of the same crops has the lowest style loss; returns its name."""
        crops = self._draw()
        losses: dict[str, float] = {}
        for style in model.styles:
            self._take(model.read_kernel(style))
            with torch.no_grad():
                painted = self.network.paint(crops, [self.name] * BATCH)
                pair = cut(painted, self.network.profile.reach), cut(crops, self.network.profile.reach)
                _, loss = self._judge.compare(*pair, [self.name] * BATCH)
            losses[style] = float(loss.mean())
        nearest = min(losses, key=losses.__getitem__)
        self._take(model.read_kernel(nearest))
        return nearest

    def _take(self, kernel: Kernel) -> None:
        for parameter, values in zip(self._bank, (kernel.weight, kernel.bias), strict=True):
            parameter.data.copy_(torch.from_numpy(values))

    def _draw(self) -> Tensor:
        return self._crops.draw(BATCH, CROP, self.network.profile.reach)

    def advance(self, progress: float) -> dict[str, float]:
        """One step at ``progress`` in [0, 1] of the run; returns the loss terms."""
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE * anneal(self.step, progress)
        self._optimizer.zero_grad(set_to_none=True)
        weights = self._weights
        loss, terms = measure_painting(
            self.network,
            self._judge,
            self._draw(),
            [self.name] * BATCH,
            self._torch_random,
            style_weights=[self.style_weight] * BATCH,
            variation_weight=weights.variation_weight,
            grid_weight=weights.grid_weight,
            border_weight=weights.border_weight,
            stability_weight=weights.stability_weight * min(1.0, (progress + 1e-6) / RAMP),
        )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._bank, 10.0)
        self._optimizer.step()
        self.step += 1
        for mean, parameter in zip(self._mean, self._bank, strict=True):
            mean.lerp_(parameter.detach(), 1.0 / (1.0 + MEMORY * self.step))
        return {term: float(value) for term, value in terms.items()}

    def kernel(self) -> Kernel:
        """The style as it is now: the mean of the last steps."""
        weight, bias = (mean.cpu().numpy().copy() for mean in self._mean)
        return Kernel(weight, bias)

    def thumbnail(self) -> bytes:
        """What it makes of the rendered scene, as `draw_thumbnail`."""
        now = [parameter.detach().clone() for parameter in self._bank]
        self._take(self.kernel())
        picture = draw_thumbnail(self.network, self.name)
        for parameter, values in zip(self._bank, now, strict=True):
            parameter.data.copy_(values)
        return picture

    def state(self) -> dict[str, Any]:
        """What `resume` needs."""
        return {
            "bank": [parameter.detach() for parameter in self._bank],
            "mean": self._mean,
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "torch_random": self._torch_random.get_state(),
            "numpy_random": msgspec.json.encode(self._numpy_random.bit_generator.state).decode(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        for parameter, values in zip(self._bank, state["bank"], strict=True):
            parameter.data.copy_(values)
        self._mean = [mean.to(self._device) for mean in state["mean"]]
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.minutes = state["step"], state["minutes"]
        self._torch_random.set_state(state["torch_random"])
        self._numpy_random.bit_generator.state = msgspec.json.decode(state["numpy_random"])


def add_style(
    model: Model,
    name: str,
    image: Path,
    *,
    minutes: float,
    photos: Path | None,
    resume: bool,
    style_weight: float | None = None,
    vgg: Path | None,
    say: Callable[[str], None],
) -> None:
    """Learn the painting ``image`` as style ``name``, within ``minutes`` of wall time; it belongs to the user.

    Ctrl-C and SIGTERM save what there is, which can be used and gone on with (``resume``). ``photos`` as in
    `gather_photos`. Raises `ConfigError` for wrong input, `ModelError` for a damaged model, `LivestyleError` when
    stopped or when the disk refuses.
    """
    started = time.monotonic()
    if not minutes > 0.0:
        raise ConfigError(f"--minutes is {minutes:g}: it must be above 0")
    if style_weight is not None and not style_weight > 0.0:
        raise ConfigError(f"--style-weight is {style_weight:g}: it must be above 0")
    _check_name(model, name, resume)
    painting = load_style(image)
    facts = {
        "profile": model.manifest.profile,
        "autoencoder": model.manifest.autoencoder_sha256,
        "painting": hashlib.sha256(image.read_bytes()).hexdigest(),
    }
    path = model.own.path(name)
    kept = _read_state(path, facts, minutes) if resume else None
    pictures, what = gather_photos(photos)
    say(f"{name} learns on {what}")
    newcomer = Newcomer(model, name, painting, pictures, load_vgg(vgg), style_weight)
    if kept is not None:
        newcomer.resume(kept)
    else:
        say(f"it begins as {newcomer.nearest}, which comes nearest")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = newcomer.minutes
    try:
        with _show_progress(name, minutes) as show:
            saved = 0.0
            while newcomer.minutes < minutes:
                show(newcomer.advance(newcomer.minutes / minutes), newcomer.minutes)
                newcomer.minutes = before + (time.monotonic() - started) / 60.0
                if time.monotonic() - saved > SAVE_SECONDS:
                    _save(newcomer, path, facts)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        say(
            f"stopped after {newcomer.minutes:.1f} of {minutes:g} minutes: {name} can be used; --resume goes on with it"
        )
        raise
    finally:
        _save(newcomer, path, facts)
    say(f"{name} is a style now, after {newcomer.step} steps: {path}")


def _check_name(model: Model, name: str, resume: bool) -> None:
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} cannot be a style's name: at most 40 letters, digits, - and _, beginning with a letter"
        )
    # without regard to case, as some file systems see names
    shipped = {style.lower(): style for style in model.manifest.banks}
    own = {style.lower(): style for style in model.own.names()}
    if twin := shipped.get(name.lower()):
        raise ConfigError(f"{twin!r} is a style that comes with livestyle: give another name")
    if resume and not model.own.path(name).with_suffix(".pt").is_file():
        raise ConfigError(f"there is no style {name!r} of yours to resume")
    if not resume and (twin := own.get(name.lower())):
        raise ConfigError(f"you have a style {twin!r}: give another name or --resume, or `livestyle remove-style` it")


def _read_state(path: Path, facts: Mapping[str, str], minutes: float) -> dict[str, Any]:
    state = load_checkpoint(path.with_suffix(".pt"))
    for fact, value in facts.items():
        if state[fact] != value:
            raise ConfigError(f"style {path.stem!r} was begun with another {fact}: add it anew, under another name")
    if state["minutes"] >= minutes:
        raise ConfigError(f"style {path.stem!r} has had its {state['minutes']:.1f} minutes: give more --minutes")
    return state


def _save(newcomer: Newcomer, path: Path, facts: Mapping[str, str]) -> None:
    """Thumbnail, bank, and what `_read_state` reads; each replaces its last version whole or not at all."""
    try:
        write_whole(path.with_suffix(".jpg"), newcomer.thumbnail())
        write_bank(path, newcomer.kernel(), {**facts, "minutes": f"{newcomer.minutes:.2f}"})
    except OSError as error:
        raise LivestyleError(f"cannot write {path}: {error.strerror}; what was saved last is kept") from error
    save_checkpoint(path.with_suffix(".pt"), {**newcomer.state(), **facts})


@contextlib.contextmanager
def _show_progress(name: str, minutes: float) -> Iterator[Callable[[dict[str, float], float], None]]:
    """A bar of wall time with the losses, smoothed; gives what to call with (loss terms, minutes) after a step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    smooth: dict[str, float] = {}
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=minutes)

        def show(terms: dict[str, float], done: float) -> None:
            for term in ("content", "style"):
                smooth[term] = 0.95 * smooth.get(term, terms[term]) + 0.05 * terms[term]
            text = " ".join(f"{term} {value:.3f}" for term, value in smooth.items())
            progress.update(task, completed=done, description=f"{name}: {text}")

        yield show
