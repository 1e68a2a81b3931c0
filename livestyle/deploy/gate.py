"""The gate in front of whole numbers: what they change in the picture and in its steadiness, style by style."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np

from livestyle.artifacts import VARIANTS, GraphEntry, Model, hash_file, write_whole
from livestyle.controls import Controls
from livestyle.evaluate.stability import errors, scene_pairs
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels
from livestyle.sources.scene import SceneSource

LEAST_MEAN = 32.0  # dB over all styles
LEAST_WORST = 29.0  # dB of any style
LEAST_BARE = 36.0  # dB of the auto-encoded picture, which has no strokes for errors to hide in
MOST_FLICKER = 1.05  # mean E_warp over all styles, over that of float32
MOST_WORST = 1.1  # the same of any style, beyond what nobody sees: the E_warp of the steadiest is 0.000007
UNSEEN = 2 * (0.5 / 255) ** 2  # two frames, each half a grey level off
SCENE_SIZE = (320, 184)
SCENE_FRAMES = 12
INFINITE = 99.0  # dB of equal pictures


class StyleQuality(msgspec.Struct, frozen=True):
    """One style against float32: mean PSNR over pictures in dB, and E_warp on the rendered scene, both ways."""

    psnr: float
    e_warp: float
    e_warp_f32: float

    @property
    def flicker(self) -> float:
        """E_warp over that of float32."""
        return self.e_warp / self.e_warp_f32


@dataclass(frozen=True)
class Verdict:
    """All styles of one variant, and the mean PSNR of the auto-encoded pictures (strength 0) in dB."""

    styles: Mapping[str, StyleQuality]
    bare: float

    @property
    def psnr_mean(self) -> float:
        return float(np.mean([quality.psnr for quality in self.styles.values()]))

    @property
    def psnr_worst(self) -> float:
        return min(quality.psnr for quality in self.styles.values())

    @property
    def flicker_mean(self) -> float:
        """Mean E_warp over that of float32."""
        qualities = self.styles.values()
        return sum(quality.e_warp for quality in qualities) / sum(quality.e_warp_f32 for quality in qualities)

    @property
    def flicker_worst(self) -> float:
        return max(quality.flicker for quality in self.styles.values())

    @property
    def passed(self) -> bool:
        sharp = self.psnr_mean >= LEAST_MEAN and self.psnr_worst >= LEAST_WORST
        steady = all(of.e_warp <= MOST_WORST * of.e_warp_f32 + UNSEEN for of in self.styles.values())
        return sharp and self.bare >= LEAST_BARE and steady and self.flicker_mean <= MOST_FLICKER


def measure_psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal to noise of two pictures in dB, `INFINITE` for equal ones."""
    squared = float(((one.astype(np.float64) - other) ** 2).mean())
    return INFINITE if squared == 0 else float(10 * np.log10(255.0**2 / squared))


class Gate:
    """Knows what float32 paints: ``pictures`` one by one and the moving scene, in every style of the model."""

    def __init__(self, model: Model, pictures: Sequence[Pixels]) -> None:
        self._model = model
        self._pictures = pictures
        with SceneSource(*SCENE_SIZE, live=False) as scene:
            self._video = [scene.scene_frame(index) for index in range(SCENE_FRAMES)]
            self._pairs = list(scene_pairs(scene, range(SCENE_FRAMES), 1))
        self._stills, self._bare, videos = self._paint(model, "f32")
        self._flicker = [error.e_warp for error in errors(videos, self._pairs, 1)]

    def judge(self, files: Mapping[str, bytes]) -> Verdict:
        """The same with the graphs of ``files`` (ONNX by name of the graph) in the model."""
        with tempfile.TemporaryDirectory(prefix="livestyle-") as scratch:
            stills, bare, videos = self._paint(_put_in(self._model, files, Path(scratch)), "int8")
        flicker = [error.e_warp for error in errors(videos, self._pairs, 1)]
        styles: dict[str, StyleQuality] = {}
        for number, style in enumerate(self._model.manifest.banks):
            psnr = _mean_psnr(stills[number], self._stills[number])
            both = (float(f"{e[number]:.4g}") for e in (flicker, self._flicker))
            styles[style] = StyleQuality(round(psnr, 2), *both)
        return Verdict(styles, round(_mean_psnr(bare, self._bare), 2))

    def _paint(self, model: Model, precision: str) -> tuple[list[list[Pixels]], list[Pixels], list[list[Pixels]]]:
        """By style: the stills, and the frames of the scene; between them the stills auto-encoded."""
        stylizer = Stylizer(model, precision=precision)
        none = Controls(((next(iter(model.manifest.banks)), 1.0),), strength=0.0, coherence=False)
        bare = [stylizer.paint(_frame(p, i), none).pixels for i, p in enumerate(self._pictures)]
        stills, videos = [], []
        for style in model.manifest.banks:
            alone, moving = Controls(((style, 1.0),), coherence=False), Controls(((style, 1.0),))
            stills.append([stylizer.paint(_frame(p, i), alone).pixels for i, p in enumerate(self._pictures)])
            stylizer.reset()
            videos.append([stylizer.paint(_frame(p, i), moving).pixels for i, p in enumerate(self._video)])
        stylizer.close()
        return stills, bare, videos


def _mean_psnr(pictures: Sequence[Pixels], others: Sequence[Pixels]) -> float:
    return float(np.mean([measure_psnr(one, other) for one, other in zip(pictures, others, strict=True)]))


def _put_in(model: Model, files: Mapping[str, bytes], scratch: Path) -> Model:
    """A copy of the model with the files under every variant's name, so that this processor takes them."""
    folder = Path(shutil.copytree(model.folder, scratch / "model"))
    entries: dict[str, GraphEntry] = {}
    for graph, data in files.items():
        path = folder / f"candidate-{graph}.onnx"
        write_whole(path, data)
        plain = model.manifest.graphs[graph]
        entries[graph] = GraphEntry(path.name, hash_file(path), plain.inputs, plain.output)
    manifest = msgspec.structs.replace(model.manifest, variants=dict.fromkeys(VARIANTS, entries))
    write_whole(folder / "manifest.json", msgspec.json.encode(manifest))
    return Model(folder)


def _frame(pixels: Pixels, index: int) -> Frame:
    return Frame(pixels, index, index, Fraction(1, 30), 0.0)
