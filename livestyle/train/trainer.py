"""``livestyle train``: joint training of an auto-encoder and the banks of several paintings.

A run lives in one folder: ``config.json`` (everything that made it), ``checkpoint.pt`` (exact resume), ``loss.csv``,
``loss.png`` and ``samples/`` sheets of held-out photos.
"""

import csv
import functools
import logging
import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from livestyle.artifacts import Model
from livestyle.controls import find_name
from livestyle.errors import ConfigError
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.profiles import LIVE, find_profile
from livestyle.pictures import write_picture
from livestyle.train.checkpoint import load_checkpoint, open_run, save_checkpoint
from livestyle.train.data import (
    Crops,
    list_pictures,
    load_photos,
    load_square,
    load_style,
    split_photos,
    to_picture,
    to_tensor,
)
from livestyle.train.dormant import REVIVE_EVERY, revive
from livestyle.train.processes import Measure, Process, choose_device, join_processes, share_gradients
from livestyle.train.soap import Soap
from livestyle.train.stylebank import (
    Judge,
    balance_gradient,
    measure_gradient,
    measure_painting,
    measure_reconstruction,
    shared_parameters,
)
from livestyle.train.vgg import load_vgg

log = logging.getLogger(__name__)

LOG_EVERY = 20  # steps
SAVE_SECONDS = 180.0
DEFAULT_STEPS = 12_000
CURVES = ("content", "style", "variation", "grid", "instability", "border", "reconstruction", "between")


def computes_bfloat16() -> bool:
    """Whether the device that trains multiplies bfloat16 itself; where it is only emulated, float32 is faster."""
    if choose_device().type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that makes a run; kept with the weights."""

    photos: str
    styles: str
    names: tuple[str, ...]
    profile: str = LIVE.name
    steps: int
    batch: int = 4
    crop: int = 128  # pixels
    learning_rate: float = 2e-3
    stylise_steps: int = 2  # T: stylising steps to one auto-encoder step
    balance: float = 1.0  # lambda: auto-encoder gradient over stylising gradient
    style_weight: float = 1.0
    painting_weights: dict[str, float] = {}  # times the style weight, for single paintings: some need more of it
    variation_weight: float = 1.0
    grid_weight: float = 2000.0
    border_weight: float = 50.0
    stability_weight: float = 3.0
    stability_ramp: int = 1500  # steps until the stability term has its full weight: at once, it would starve styles
    sample_every: int = 500
    half: bool = msgspec.field(default_factory=computes_bfloat16)  # convolutions in bfloat16
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "stylise_steps", "sample_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name.replace('_', '-')} is {getattr(self, name)}: it must be at least 1")
        if self.crop < 64 or self.crop % 8:
            raise ConfigError(f"crop is {self.crop}: it must be a multiple of 8 and at least 64")
        if not self.names:
            raise ConfigError("no style is given")
        for name in self.painting_weights:
            find_name(name, self.names, "style")
        find_profile(self.profile)


def train(folder: Path, settings: Mapping[str, object], *, resume: bool, start: Path | None, vgg: Path | None) -> None:
    """``livestyle train``: begin the run in ``folder``, or go on with it; settings of None keep their default.

    Ctrl-C and SIGTERM save before they stop. ``start`` is a run or a model folder to take the first weights from.
    Raises `ConfigError` or `ModelError`.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    kept = open_run(folder, resume).get("config", {})
    try:
        merged = {"steps": DEFAULT_STEPS, **kept, **given}
        if "names" not in merged and "styles" in merged:
            merged["names"] = [path.stem for path in list_pictures(Path(str(merged["styles"])))]
        config = msgspec.convert(merged, TrainConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{error}: give --photos and --paintings") from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with join_processes() as process:
        Run(folder, config, vgg=vgg, initial=start, process=process).train()


class Run:
    """One training run: network, optimiser, random states and logs. Of several processes each has one."""

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        *,
        vgg: Path | None,
        initial: Path | None,
        process: Process | None = None,
    ) -> None:
        """Open or resume the run in ``folder``. ``initial`` is a run or an exported model to start from."""
        self.folder = folder
        self.config = config
        self._process = process or Process(0, 1, choose_device())
        self._writes = self._process.rank == 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "samples").mkdir(exist_ok=True)
        torch.manual_seed(config.seed)
        self._torch_random = torch.Generator().manual_seed(config.seed)
        self._numpy_random = np.random.default_rng(config.seed)
        self.network = StyleBankNetwork(config.names, find_profile(config.profile))
        torch.backends.cudnn.benchmark = True  # crops are of one size
        # channels last: a fifth to a quarter off the time of a step on a CPU
        self.network.to(device=self._process.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.in_bfloat16 = config.half
        self.step = 0
        self.minutes = 0.0
        self._gradient_size: Tensor | float = 0.0
        self._optimizer = Soap(self.network.parameters(), lr=config.learning_rate)
        if (folder / "checkpoint.pt").is_file():
            self._restore(load_checkpoint(folder / "checkpoint.pt"))
        elif initial is not None:
            own = self.network.state_dict()
            given, self.minutes = read_weights(initial), read_minutes(initial)
            if any(name in given and given[name].shape != own[name].shape for name in own):
                raise ConfigError(f"{initial} is of another profile than {config.profile!r}")
            self.network.load_state_dict({name: given.get(name, own[name]) for name in own})
        training, held_out = split_photos(list_pictures(Path(config.photos)))
        self._crops = Crops(load_photos(training), self._numpy_random, self._process.device)
        self._samples = [
            to_tensor(load_square(path))[None] for path in (held_out or training)[:: max(1, len(held_out) // 3)][:3]
        ]
        paintings = {path.stem: path for path in list_pictures(Path(config.styles))}
        chosen = {name: load_style(paintings[find_name(name, paintings, "painting")]) for name in config.names}
        device = self._process.device
        judged = {name: painting.to(device) for name, painting in chosen.items()}
        self._judge = Judge(load_vgg(vgg).to(device), judged, half=config.half)
        self._step = share_gradients(self.network, self._process)
        if self._writes:
            (folder / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2))

    def train(self) -> None:
        """Run to the last step, saving on the way; safe to interrupt at any time."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        window: dict[str, list[Tensor]] = {name: [] for name in CURVES}
        saved = time.monotonic()
        with Progress(*columns, disable=not self._writes) as progress:
            task = progress.add_task("training", total=self.config.steps, completed=self.step)
            try:
                while self.step < self.config.steps:
                    started = time.monotonic()
                    for name, value in self._advance().items():
                        window[name].append(value)
                    if self.step % LOG_EVERY == 0 or self.step == self.config.steps:
                        means = {name: float(torch.stack(terms).mean()) for name, terms in window.items() if terms}
                        self._log(means)
                        progress.update(task, completed=self.step, description=_describe(means))
                        window = {name: [] for name in CURVES}
                    self.minutes += (time.monotonic() - started) / 60.0
                    if self.step % self.config.sample_every == 0:
                        self.write_samples()
                    if time.monotonic() - saved > SAVE_SECONDS:
                        self.save()
                        saved = time.monotonic()
            finally:
                self.save()
        self.write_samples()
        if self._writes:
            plot_curves(self.folder / "loss.csv", self.folder / "loss.png")

    def _advance(self) -> dict[str, Tensor]:
        config = self.config
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * anneal(self.step, self.step / config.steps)
        if self.step % REVIVE_EVERY == 0 and 2 * self.step < config.steps:
            self._revive()
        self._optimizer.zero_grad(set_to_none=True)
        if self._process.rank:
            self._reseed()
        stylising = self.step % (config.stylise_steps + 1) < config.stylise_steps
        loss: Tensor
        terms: dict[str, Tensor]
        loss, terms = self._step(self._prepare_painting() if stylising else self._prepare_reconstruction())
        loss.backward()  # type: ignore[no-untyped-call]
        if stylising:
            self._gradient_size = measure_gradient(shared_parameters(self.network))
        else:
            balance_gradient(self.network, self._gradient_size, config.balance)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self._optimizer.step()
        self.step += 1
        return terms  # not yet numbers: that would wait for the card in every step

    def _revive(self) -> None:
        photos = [sample.to(self._process.device) for sample in self._samples]
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)  # alike in all processes
        revived = revive(self.network, self._optimizer, photos, generator)
        log.info("step %d: %d dormant channels begun anew", self.step, revived)

    def _prepare_painting(self) -> Measure:
        config = self.config
        crops = self._crops.draw(config.batch, config.crop, self.network.profile.reach)
        styles = self._draw_styles(config.batch)
        return functools.partial(
            measure_painting,
            judge=self._judge,
            crops=crops,
            styles=styles,
            generator=self._torch_random,
            style_weights=[config.style_weight * config.painting_weights.get(style, 1.0) for style in styles],
            variation_weight=config.variation_weight,
            grid_weight=config.grid_weight,
            border_weight=config.border_weight,
            stability_weight=config.stability_weight * min(1.0, self.step / max(1, config.stability_ramp)),
        )

    def _prepare_reconstruction(self) -> Measure:
        count = 2 * self.config.batch
        return functools.partial(
            measure_reconstruction,
            crops=self._crops.draw(count, self.config.crop),
            styles=self._draw_styles(count),
            strengths=torch.rand(count, 1, 1, 1, generator=self._torch_random).to(self._process.device),
        )

    def _reseed(self) -> None:
        """Let this step of a process above 0 depend on nothing but its number: only rank 0 keeps random states."""
        state = np.random.default_rng((self.config.seed, self._process.rank, self.step)).bit_generator.state
        self._numpy_random.bit_generator.state = state
        self._torch_random.manual_seed(int(self._numpy_random.integers(2**62)))

    def _draw_styles(self, count: int) -> list[str]:
        """Styles for a batch, without repeats while there are enough."""
        names = self.config.names
        order: list[str] = []
        while len(order) < count:
            order += [names[i] for i in self._numpy_random.permutation(len(names))]
        return order[:count]

    def save(self) -> None:
        """Write the checkpoint; rank 0 does, for all."""
        if not self._writes:
            return
        state = {
            "config": msgspec.to_builtins(self.config),
            "network": {name: value.contiguous() for name, value in self.network.state_dict().items()},
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "gradient_size": float(self._gradient_size),
            "torch_random": self._torch_random.get_state(),
            "numpy_random": msgspec.json.encode(self._numpy_random.bit_generator.state).decode(),
        }
        save_checkpoint(self.folder / "checkpoint.pt", state)

    def _restore(self, state: dict[str, Any]) -> None:
        if tuple(state["config"]["names"]) != self.config.names:
            raise ConfigError(
                f"the run in {self.folder} trains {', '.join(state['config']['names'])}: "
                "give the same styles or another --out"
            )
        profile = state["config"].get("profile", LIVE.name)
        if profile != self.config.profile:
            raise ConfigError(f"the run in {self.folder} is of profile {profile}: give that, or another --out")
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.minutes = state["minutes"]
        self._gradient_size = state["gradient_size"]
        self._torch_random.set_state(state["torch_random"])
        self._numpy_random.bit_generator.state = msgspec.json.decode(state["numpy_random"])

    def write_samples(self) -> None:
        """A sheet of held-out photos: original, auto-encoded, then each style."""
        if not self._writes:
            return
        rows = []
        with torch.no_grad():
            for photo in (sample.to(self._process.device) for sample in self._samples):
                painted = [self.network.paint_framed(photo, [name])[0] for name in self.config.names]
                rows.append(
                    np.hstack([to_picture(t) for t in (photo[0], self.network.reconstruct(photo)[0], *painted)])
                )
        write_picture(self.folder / "samples" / f"{self.step:06d}.png", np.vstack(rows))

    def _log(self, means: Mapping[str, float]) -> None:
        if not self._writes:
            return
        path = self.folder / "loss.csv"
        fresh = not path.exists()
        with open(path, "a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "minutes", *CURVES])
            shown = [f"{means[name]:.5f}" if name in means else "" for name in CURVES]
            writer.writerow([self.step, f"{self.minutes:.2f}", *shown])


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Parameters by name, of the run or the exported model in ``folder``. Raises `ConfigError` or `ModelError`."""
    if not (folder / "manifest.json").is_file():
        return dict(load_checkpoint(folder / "checkpoint.pt")["network"])
    model = Model(folder)
    weights = safetensors.torch.load_file(model.autoencoder_path())
    for style in model.styles:
        kernel = model.read_kernel(style)
        weights[f"bank.weights.{style}"] = torch.from_numpy(kernel.weight)
        weights[f"bank.biases.{style}"] = torch.from_numpy(kernel.bias)
    return weights


def read_minutes(folder: Path) -> float:
    """What the weights of `read_weights` took to train; a run that starts from them goes on counting."""
    if not (folder / "manifest.json").is_file():
        return float(load_checkpoint(folder / "checkpoint.pt").get("minutes", 0.0))
    return float(str(Model(folder).manifest.training.get("minutes", 0.0)))


def anneal(step: int, progress: float) -> float:
    """Share of the learning rate: 100 steps of warm-up, then a cosine over ``progress`` (0 to 1) down to 1 %."""
    warm = min(1.0, (step + 1) / 100.0)
    return warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress))))


def _describe(means: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in means.items() if name != "variation")


def plot_curves(table: Path, picture: Path) -> None:
    """Draw the loss table as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name in CURVES:
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]  # an older run has fewer
        if points:
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.legend()
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)
