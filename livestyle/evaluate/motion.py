"""``livestyle evaluate motion``: the flow network beside the search on the processor, where motion is known exactly.

Errors are end-point errors in feature pixels, four pixels of a picture at the live profile, where nothing is hidden.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livestyle.artifacts import Model
from livestyle.backends import open_backend
from livestyle.errors import ConfigError
from livestyle.evaluate.footage import follow
from livestyle.evaluate.report import make_folder, write_text
from livestyle.live.flow import Floats, FlowEstimator, Motion, View
from livestyle.live.learned_flow import LearnedFlow
from livestyle.pictures import read_picture
from livestyle.sources.scene import SceneSource
from livestyle.train.data import PHOTO_SIDE, list_pictures, resize_short_side, split_photos
from livestyle.train.flow import Example, Examples, make_example
from livestyle.train.sequences import Moving

SEED = 1000  # of examples that no run has seen: the photos are those held out
SIZE = (640, 360)  # of the scene
STARTS, GAPS, NOISES = (10, 300, 500), (1, 3), (0.0, 6.0)  # of the scene: first frames, frames between, sigma
METHODS = (STILL, DIS, FRESH, LEARNED) = ("nothing moves", "DIS", "network, first frame", "network")
SHOWN, HIDDEN = 0.98, 0.02  # share of a feature pixel that was visible before


@dataclass(frozen=True, slots=True)
class MotionRow:
    """One method on one kind of picture: end-point errors in feature pixels, the mean confidence of what was seen
    before and of what was hidden (NaN where a method has none), and milliseconds a frame.
    """

    pictures: str
    method: str
    median: float
    mean: float
    worst_tenth: float
    seen: float
    hidden: float
    ms: float


class Tally:
    """What one method found on one kind of picture."""

    def __init__(self) -> None:
        self.errors: list[Floats] = []
        self.seen: list[Floats] = []
        self.hidden: list[Floats] = []
        self.ms: list[float] = []

    def add(self, found: Motion, truth: Floats, share: Floats, ms: float) -> None:
        """``truth`` (h, w, 2) and ``share`` (h, w) as in `Example`."""
        self.errors.append(np.linalg.norm(found.flow - truth, axis=2)[share > SHOWN])
        self.seen.append(found.confidence[share > SHOWN])
        self.hidden.append(found.confidence[share < HIDDEN])
        self.ms.append(ms)

    def row(self, pictures: str, method: str) -> MotionRow:
        """The figures."""
        errors = np.concatenate(self.errors)
        return MotionRow(
            pictures,
            method,
            float(np.median(errors)),
            float(errors.mean()),
            float(np.quantile(errors, 0.9)),
            float(np.concatenate(self.seen).mean()),
            float(np.concatenate(self.hidden).mean()),
            statistics.median(self.ms),
        )


def evaluate_motion(photos: Path, *, model: Model, out: Path, count: int, backend: str = "openvino") -> list[MotionRow]:
    """Measure on ``count`` layered sequences of photos held out and on the scene; writes ``motion.md`` into ``out``.

    Raises `ConfigError` when no photo was held out, and as `open_backend` does.
    """
    _, held = split_photos(list_pictures(photos))
    if not held:
        raise ConfigError(f"{photos} has too few pictures to hold any out: 64 at least")
    make_folder(out)
    pictures = [resize_short_side(read_picture(path), PHOTO_SIDE) for path in held[:: max(1, len(held) // count)]]
    layers = Examples(pictures, SEED)
    rows = measure_examples(
        "layered photos", [layers.draw_photos(n) for n in follow(range(count), "photos")], model, backend
    )
    for noise in NOISES:
        name = f"scene, noise {noise:g}"
        rows += measure_examples(name, list(draw_scenes(noise)), model, backend)
    write_text(out / "motion.md", format_motion(rows))
    return rows


def draw_scenes(noise: float) -> Iterator[Example]:
    """Examples of the rendered scene that is measured, whole."""
    scene, views = SceneSource(*SIZE, live=False, noise=noise), FlowEstimator()
    for start in STARTS:
        for gap in GAPS:
            frames = [scene.scene_frame(start + n) for n in range(2 * gap + 1)]

            def motion(here: int, there: int, start: int = start) -> tuple[Floats, np.ndarray]:
                return scene.scene_flow(start + here, start + there)

            yield make_example(Moving(frames, motion), gap, views)


def measure_examples(pictures: str, examples: Sequence[Example], model: Model, backend: str) -> list[MotionRow]:
    """The rows of examples of one size, judged on the second pair of each."""
    facts = model.manifest
    height, width = examples[0].lumas.shape[1:]
    runner = open_backend(backend, model, width * facts.stride, height * facts.stride)
    search, learned = FlowEstimator(facts.margin // facts.stride), LearnedFlow(runner, runner.load("flow"))
    tallies = {method: Tally() for method in METHODS}
    colours = np.zeros((0, 3), np.float32)
    for example in examples:
        first, second, third = (View(luma, colours) for luma in example.lumas)
        truth, share = example.flows[1].transpose(1, 2, 0), example.shares[1]
        learned.forget()
        still = Motion(np.zeros_like(truth), np.full(share.shape, np.nan, np.float32))
        tallies[STILL].add(still, truth, share, 0.0)
        for method, guess in ((FRESH, False), (LEARNED, True)):
            learned.forget()
            if guess:
                learned.motion(first, second)
            started = time.perf_counter()
            found, _ = learned.motion(second, third)
            tallies[method].add(found, truth, share, (time.perf_counter() - started) * 1e3)
        started = time.perf_counter()
        found = search.motion(second, third)
        tallies[DIS].add(found, truth, share, (time.perf_counter() - started) * 1e3)
    runner.close()
    return [tally.row(pictures, method) for method, tally in tallies.items()]


def format_motion(rows: Sequence[MotionRow]) -> str:
    """The table."""
    lines = [
        "| pictures | motion by | median error | mean | worst tenth above | trusts seen | trusts hidden | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        errors = f"{row.median:.3f} | {row.mean:.3f} | {row.worst_tenth:.3f}"
        lines.append(f"| {row.pictures} | {row.method} | {errors} | {row.seen:.2f} | {row.hidden:.2f} | {row.ms:.1f} |")
    return "\n".join(lines) + "\n"
