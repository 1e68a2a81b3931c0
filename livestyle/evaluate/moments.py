"""The moments at which a live program stutters: a change of style while it runs, and its start."""

import statistics
import subprocess
import sys
import time
from itertools import pairwise

import msgspec

from livestyle.artifacts import Model
from livestyle.controls import Controls, Mix
from livestyle.errors import BackendError
from livestyle.evaluate.clip import Clip
from livestyle.live.stylizer import Stylizer

SWITCHES = 100
EVERY = 3  # frames from one switch to the next
WARM = 10  # first frames thrown away
STARTS = 3
LONGEST_START = 300.0  # s


class SwitchSpeed(msgspec.Struct, frozen=True):
    """Milliseconds of painted frames while styles are switched and blended, and ``steady`` ones of a run without.

    ``ratio`` is the slowest over the median; the steady one says how much of it is the machine's.
    """

    switches: int
    median_ms: float
    slowest_ms: float
    ratio: float
    steady_median_ms: float
    steady_slowest_ms: float
    steady_ratio: float


class StartSpeed(msgspec.Struct, frozen=True):
    """Seconds from the start of the process until it has painted its first frame and ended, caches warm."""

    median_s: float
    slowest_s: float


def measure_switches(model: Model, width: int, height: int, backend: str, precision: str) -> SwitchSpeed:
    """Paint two runs of the scene, in turns of `EVERY` frames: one switches at every turn, the other never does."""
    stylizers = [Stylizer(model, backend=backend, precision=precision) for _ in range(2)]
    clips = [Clip(width, height) for _ in range(2)]
    mixes = plan_mixes(model.styles, SWITCHES)
    times: tuple[list[float], list[float]] = ([], [])
    for stylizer, clip in zip(stylizers, clips, strict=True):
        for _ in range(WARM):
            stylizer.paint(clip.next(), Controls(mixes[0]))
    for mix in mixes:
        for number, now in enumerate((mix, mixes[0])):
            times[number].extend(_time_turn(stylizers[number], clips[number], Controls(now)))
    for stylizer in stylizers:
        stylizer.close()
    switching, steady = ((statistics.median(samples), max(samples)) for samples in times)
    return SwitchSpeed(
        len(mixes),
        *(round(value, 3) for value in (*switching, switching[1] / switching[0])),
        *(round(value, 3) for value in (*steady, steady[1] / steady[0])),
    )


def _time_turn(stylizer: Stylizer, clip: Clip, controls: Controls) -> list[float]:
    moments = [time.perf_counter()]
    for _ in range(EVERY):
        stylizer.paint(clip.next(), controls)
        moments.append(time.perf_counter())
    return [(after - before) * 1e3 for before, after in pairwise(moments)]


def plan_mixes(styles: list[str], count: int) -> list[Mix]:
    """A single style, then its blend with the next one, and so on; no two neighbours are alike."""
    mixes: list[Mix] = []
    for number in range(count):
        style, after = styles[number // 2 % len(styles)], styles[(number // 2 + 1) % len(styles)]
        mixes.append(((style, 1.0),) if number % 2 == 0 else ((style, 0.5), (after, 0.5)))
    return mixes


def measure_start(width: int, height: int, profile: str, backend: str) -> StartSpeed:
    """Start ``livestyle live`` until one frame of the scene is painted. Raises `BackendError` when it fails."""
    command = [sys.executable, "-m", "livestyle", "live", "--source", "scene", "--sink", "null", "--frames", "1"]
    command += ["--size", f"{width}x{height}", "--profile", profile, "--backend", backend]
    times = []
    for _ in range(1 + STARTS):  # the first warms the caches
        started = time.perf_counter()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_START)
        times.append(time.perf_counter() - started)
        if done.returncode:
            raise BackendError(f"livestyle live fails: {done.stderr.strip().splitlines()[-1:]}")
    return StartSpeed(round(statistics.median(times[1:]), 3), round(max(times[1:]), 3))
