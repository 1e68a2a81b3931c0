"""``livestyle evaluate page``: from a tap on a style to its picture in the page's preview, in a real browser.

A live stream of the rendered scene and a headless Chromium run on this computer. Two styles of far apart colours take
turns: each tap is a real press of the mouse on a card, timed from the event's own time stamp, and in every animation
frame of the browser the preview's mean colour is placed on the line between the two styles' colours. The change is
*seen* once that leaves the band in which the old style wanders by itself, and *done* at `DONE` of the way. The
screen's own delay is not in it.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from livestyle.artifacts import Model
from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate.chromium import Chromium

DONE = 0.85  # of the way between two styles' mean colours
FAINTEST = 0.02  # of the way: less is not called a change
STEADY = 0.1  # of the way: the most that a style's colour may wander while nothing is changed
MARGIN = 1.5  # what counts as a change, next to the most that was seen without one
LOOKS = 60  # pictures that a style is judged by
REST = 0.45  # s between a change that is done and the next tap
STRETCH = 6.0  # s of frames that are counted with the wall open, and without
PATIENCE = 60.0  # s

EYE = """(() => {
  const image = document.getElementById("preview");
  const pen = new OffscreenCanvas(16, 9).getContext("2d", { willReadFrequently: true });
  const color = () => {
    pen.drawImage(image, 0, 0, 16, 9);
    const levels = pen.getImageData(0, 0, 16, 9).data;
    const sum = [0, 0, 0];
    levels.forEach((level, index) => { if (index % 4 < 3) sum[index % 4] += level / 144; });
    return sum;
  };
  const frame = () => new Promise(requestAnimationFrame);
  const share = (from, to, now) => {
    const way = to.map((level, index) => level - from[index]);
    const length = way.reduce((sum, part) => sum + part * part, 0);
    return way.reduce((sum, part, index) => sum + part * (now[index] - from[index]), 0) / length;
  };
  window.eye = {
    async look(count) {
      const colors = [];
      for (let index = 0; index < count; index += 1) { await frame(); colors.push(color()); }
      return colors;
    },
    wait(from, to, seen, done) {
      window.change = new Promise((resolve) => {
        addEventListener("pointerup", async (event) => {
          const times = [];
          for (const goal of [seen, done]) {
            while (share(from, to, color()) < goal && performance.now() - event.timeStamp < 5000) await frame();
            times.push(performance.now() - event.timeStamp);
          }
          resolve(times);
        }, { once: true, capture: true });
      });
    },
  };
  return true;
})()"""


class Taps(msgspec.Struct, frozen=True):
    """Milliseconds from a tap to a change that is seen and one that is done: medians and 95th percentiles."""

    morph: float
    taps: int
    seen_p50: float
    seen_p95: float
    done_p50: float
    done_p95: float


class PageReport(msgspec.Struct, frozen=True):
    """``fps`` of the stream while the page shows the preview alone, and ``fps_wall`` with the wall of styles open."""

    size: str
    taps: tuple[Taps, ...]
    fps: float
    fps_wall: float
    latency_ms: float


def measure_page(model: Model, size: str, count: int, morphs: Sequence[float], stretch: float = STRETCH) -> PageReport:
    """Tap ``count`` times for each of ``morphs`` seconds; then count frames for four times ``stretch`` seconds.

    Raises `LivestyleError`.
    """
    if count < 2:
        raise ConfigError(f"{count} taps are too few: give at least 2")
    styles = _choose_styles(model)
    with _run_live(size, styles[0]) as url, Chromium(url) as page:
        _wait(page, "document.getElementById('frame')?.classList.contains('live') ?? false")
        page.run(EYE)
        looks = [_look_at(page, style) for style in styles]
        colors = [look.mean(axis=0).tolist() for look in looks]
        seen = max(FAINTEST, MARGIN * _wander(looks))
        if seen > MARGIN * STEADY:
            raise BackendError(f"{styles[0]} and {styles[1]} are too much alike here to tell a change from movement")
        taps = tuple(_tap(page, styles, colors, seen, morph, count) for morph in morphs)
        alone, walled = _count_frames(page, stretch)
        latency = page.run("fetch('/api/state').then((a) => a.json()).then((s) => s.report.latency_ms.p50)")
    return PageReport(size, taps, alone, walled, float(latency))


def _choose_styles(model: Model) -> tuple[str, str]:
    """The two styles that lie furthest apart in the mean colour of their thumbnails."""
    import cv2

    colors = {}
    for style in model.styles:
        picture = cv2.imdecode(np.frombuffer(model.read_thumbnail(style), np.uint8), cv2.IMREAD_COLOR)
        colors[style] = np.asarray(picture, np.float32).mean(axis=(0, 1))
    pairs = ((one, other) for one in colors for other in colors if one < other)
    return max(pairs, key=lambda pair: float(np.linalg.norm(colors[pair[0]] - colors[pair[1]])))


@contextlib.contextmanager
def _run_live(size: str, style: str) -> Iterator[str]:
    """A ``livestyle live`` of the scene; gives the address of its page."""
    command = [sys.executable, "-m", "livestyle", "live", "--source", "scene", "--sink", "web", "--port", "0"]
    live = subprocess.Popen([*command, "--size", size, "--style", style], stderr=subprocess.PIPE, text=True)
    assert live.stderr is not None
    try:
        address = next((line.split()[1] for line in live.stderr if line.startswith("page: ")), None)
        if address is None:
            raise BackendError("'livestyle live' ended before it showed a page")
        yield address
    finally:
        live.terminate()  # not Ctrl-C, which a shell has its background jobs ignore
        live.communicate(timeout=PATIENCE)


def _wait(page: Chromium, condition: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while page.run(condition) is not True:
        if time.monotonic() > deadline:
            raise BackendError(f"the page never came to {condition}")
        time.sleep(0.05)


def _look_at(page: Chromium, style: str) -> NDArray[np.float64]:
    """Mean colours, (`LOOKS`, 3), of the preview in a style."""
    page.tap(f"[data-style={style}]")
    time.sleep(2 * REST)
    return np.asarray(page.run(f"eye.look({LOOKS})"), np.float64)


def _wander(looks: list[NDArray[np.float64]]) -> float:
    """How far either style's pictures go from its mean, in shares of the way to the other."""
    here, there = (look.mean(axis=0) for look in looks)
    way = (there - here) / float((there - here) @ (there - here))
    return max(float(np.abs((look - look.mean(axis=0)) @ way).max()) for look in looks)


def _tap(
    page: Chromium, styles: tuple[str, str], colors: list[list[float]], seen_at: float, morph: float, count: int
) -> Taps:
    _command(page, f"morph {morph:g}")
    times = []
    for number in range(count):
        to = number % 2
        page.run(f"eye.wait({colors[1 - to]}, {colors[to]}, {seen_at}, {DONE})")
        page.tap(f"[data-style={styles[to]}]")
        times.append(page.run("change"))
        time.sleep(REST + 0.033 * (number % 7) / 7)  # not in step with the stream's frames
    seen, done = np.asarray(times).T
    at = [round(float(np.percentile(each, share)), 1) for each in (seen, done) for share in (50, 95)]
    return Taps(morph, count, *at)


def _command(page: Chromium, command: str) -> None:
    body = f"JSON.stringify({{command: '{command}'}})"
    page.run(f"fetch('/api/command', {{method: 'POST', body: {body}}}).then((a) => a.ok)")


def _count_frames(page: Chromium, stretch: float) -> tuple[float, float]:
    """Frames a second without and with the wall, each in two stretches in turn: the machine's mood hits both."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for walled in (False, True, False, True):
        if (page.run("document.getElementById('wall-open').getAttribute('aria-pressed')") == "true") != walled:
            page.tap("#wall-open")
            time.sleep(3.0)  # compiled by then, and the page drawn anew
        before, begun = _frames(page), time.monotonic()
        time.sleep(stretch)
        rates[walled].append((_frames(page) - before) / (time.monotonic() - begun))
    return round(float(np.mean(rates[False])), 2), round(float(np.mean(rates[True])), 2)


def _frames(page: Chromium) -> int:
    return int(page.run("fetch('/api/state').then((a) => a.json()).then((s) => s.report.frames_out)"))


def print_page(report: PageReport, console: Console) -> None:
    """The report as a table."""
    table = Table(title=f"from tap to preview at {report.size}, ms")
    for heading in ("morph, s", "taps", "seen: p50", "p95", "done: p50", "p95"):
        table.add_column(heading, justify="right")
    for taps in report.taps:
        cells = (taps.morph, taps.taps, taps.seen_p50, taps.seen_p95, taps.done_p50, taps.done_p95)
        table.add_row(*(f"{cell:g}" for cell in cells))
    console.print(table)
    console.print(
        f"{report.fps:g} frames a second, {report.fps_wall:g} with the wall of styles open; "
        f"latency to the page's sink {report.latency_ms:g} ms"
    )
