"""Paints frames: encode once, carry the past along, then a bank and the decoder for whatever style is asked.

All state is here and explicit: the last frame's features, what its motion is judged on, and its settled picture. It is
dropped on a cut, on another size and by `reset`; the picture also when the styles jump.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np

from livestyle.artifacts import Model
from livestyle.backends import Backend, Graph, Handle, open_backend
from livestyle.controls import Controls, Mix, find_name
from livestyle.live.colors import keep_colors
from livestyle.live.flow import Floats, FlowEstimator, Motion, View
from livestyle.live.learned_flow import CARDS, FLOWS, LearnedFlow
from livestyle.live.regions import Grid, Layer, MaskSource, Moment, RegionMap
from livestyle.live.settle import Moved, Settled, Settler, hold_still, look_distance
from livestyle.media import Frame, Pixels


class Stylizer:
    """Turns source frames into painted frames of the same size. Used by one thread."""

    def __init__(
        self,
        model: Model,
        *,
        backend: str = "auto",
        precision: str = "auto",
        flow: str = "auto",
        masks: Mapping[str, MaskSource] | None = None,
    ) -> None:
        """``backend`` and ``precision`` as in `open_backend`; nothing is compiled before `prepare`.

        ``flow`` is who finds the motion: ``dis``, the search on the processor, or ``learned``, the model's own network;
        ``auto`` is the latter on a graphics card. Raises `ConfigError` for another word.
        ``masks`` gives the masks that regions may name beside shapes: each is asked with the source's frame and what
        is known of its motion, and answers float32 (H, W) in [0, 1], 1 inside the region.
        """
        self._model = model
        self._backend_name = backend
        self._precision = precision
        self._backend: Backend | None = None
        self._graphs: dict[str, Graph] = {}
        self._paint_whole: Graph | None = None  # bank and decode joined, for a picture without regions
        self._size = (0, 0)
        self._learns = {"auto": backend in CARDS, "dis": False, "learned": True}[find_name(flow, FLOWS, "flow")]
        self._learned: LearnedFlow | None = None  # finds the motion in place of the search
        self._flow = FlowEstimator(model.manifest.margin // model.manifest.stride)
        self._seen: Frame | None = None
        self._before: Frame | None = None  # the one seen before that
        self._features: Handle = None
        self._view: View | None = None
        self._motion: Motion | None = None
        self._since_search = 0
        self.motion_every = 1  # in how many frames motion is searched once; between, it is taken to go on as it was
        self._settler = Settler(model.manifest.margin)
        self._beside = ThreadPoolExecutor(1, "settle")  # moves the last picture while the mask is computed
        self._moved: Future[Moved] | None = None  # the last frame's picture, where things are in this one
        self._mask: Floats | None = None  # how much of the last frame still holds in this one; None after a cut
        self._past: tuple[Settled, Controls] | None = None  # the last frame's picture, and how it was painted
        self._settled: tuple[Settled, Controls] | None = None  # this frame's
        self._regions = RegionMap(masks or {})
        self._kernels: dict[Mix, dict[str, Handle]] = {}
        self._stages: dict[str, float] = {}
        self.encodes = 0

    @property
    def styles(self) -> list[str]:
        """Names of the styles that can be asked for."""
        return self._model.styles

    @property
    def stages(self) -> Mapping[str, float]:
        """Milliseconds of each stage that the last `paint` ran."""
        return self._stages

    def prepare(self, width: int, height: int) -> None:
        """Compile for a picture size, so that the first frame is not late. Raises `BackendError` or `ModelError`."""
        for _ in self.compile(width, height):
            pass

    def compile(self, width: int, height: int) -> Iterator[str]:
        """`prepare` one graph at a time, with the graph's name after each, for a thread that others must not notice."""
        facts = self._model.manifest
        padded = tuple(-(-(side + 2 * facts.margin) // facts.multiple) * facts.multiple for side in (width, height))
        if padded == self._size:
            return
        self.close()
        self._backend = open_backend(self._backend_name, self._model, padded[0], padded[1], self._precision)
        for name in self._model.manifest.graphs:
            if name != "flow" or self._learns:
                self._graphs[name] = self._backend.load(name)
                yield name
        if self._learns:
            self._learned = LearnedFlow(self._backend, self._graphs["flow"])
        self._paint_whole = self._backend.join(self._graphs["bank"], self._graphs["decode"])
        yield "bank and decode"
        self._size = (padded[0], padded[1])

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        """Paint a frame; index, pts and time of capture stay. The same frame object again encodes nothing."""
        self._stages = {}
        height, width = frame.pixels.shape[:2]
        self.prepare(width, height)
        assert self._backend is not None
        if frame is not self._seen:
            self._take(frame, controls.coherence)
        layers = self._split(frame, controls)
        started = time.perf_counter()
        picture = self._backend.download(self._apply_banks(layers, controls))[0]
        started = self._clock("bank+decode", started)
        margin = self._model.manifest.margin
        picture = self._settle(picture[margin : margin + height, margin : margin + width], controls)
        pixels = np.ascontiguousarray(picture)
        started = self._clock("settle", started)
        if controls.keep_colors:
            pixels = keep_colors(pixels, frame.pixels)
            self._clock("colors", started)
        return replace(frame, pixels=pixels)

    def _take(self, frame: Frame, coherent: bool) -> None:
        """Bring the state from the last frame to this one."""
        assert self._backend is not None
        if self._seen is not None and self._seen.pixels.shape != frame.pixels.shape:
            self.reset()
        started = time.perf_counter()
        pixels = _pad(frame.pixels, self._model.manifest.margin, self._size)
        features = self._graphs["encode"](pixels=self._backend.upload(pixels[None]))["features"]
        self.encodes += 1
        started = self._clock("encode", started)
        view = self._flow.view(pixels)
        self._past, self._mask, self._moved = self._settled, None, None
        if not coherent:
            self._forget_motion()
        elif self._view is not None:
            motion, on_backend = self._move(self._view, view)
            cut = self._flow.is_cut(self._view, view, motion)
            started = self._clock("motion", started)
            if cut:
                self._forget_motion()
            else:
                if self._past is not None:
                    self._moved = self._beside.submit(self._settler.move, self._past[0], motion.flow)
                mask = self._graphs["mask"](features=features, past=self._features, motion=on_backend)["mask"]
                self._mask = hold_still(self._backend.download(mask)[0, 0].astype(np.float32, copy=False), motion.flow)
                if self._moved is not None:
                    self._moved.exception()  # no result yet: for two cores, painting beside it is more than they have
                self._clock("mask", started)
        self._before, self._seen, self._features, self._view = self._seen, frame, features, view

    def _move(self, previous: View, current: View) -> tuple[Motion, Handle]:
        """Motion between two frames, and the same on the backend."""
        assert self._backend is not None
        self._since_search += 1
        if self._motion is not None and self._since_search < self.motion_every:
            self._motion = self._flow.go_on(self._motion, previous, current)
        else:
            self._since_search = 0
            if self._learned is not None:
                self._motion, handle = self._learned.motion(previous, current)
                return self._motion, handle
            self._motion = self._flow.motion(previous, current)
        flow, confidence = self._motion.flow, self._motion.confidence
        return self._motion, self._backend.upload(np.stack([flow[..., 0], flow[..., 1], confidence])[None])

    def _forget_motion(self) -> None:
        self._motion = None
        if self._learned is not None:
            self._learned.forget()

    def _settle(self, picture: Pixels, controls: Controls) -> Pixels:
        """The painted picture, steadied by the last frame's where there is one in the same styles."""
        settled = Settled(picture, picture)
        if self._mask is not None and self._moved is not None and self._past is not None:
            apart = look_distance(self._past[1], controls)
            if apart < 1.0:
                mask = self._mask * np.float32(1.0 - apart) if apart else self._mask
                settled = self._settler.mix(picture, self._moved.result(), mask)
        self._settled = settled, controls
        return settled.shown

    def _split(self, frame: Frame, controls: Controls) -> Sequence[Layer]:
        """Where which mix shows."""
        facts = self._model.manifest
        grid = Grid(self._size[0] // facts.stride, self._size[1] // facts.stride, facts.stride, facts.margin)
        started = time.perf_counter()
        layers = self._regions.split(controls, Moment(frame, grid, self._before, self._motion))
        if controls.regions:
            self._clock("regions", started)
        return layers

    def _apply_banks(self, layers: Sequence[Layer], controls: Controls) -> Handle:
        """The painted picture: each mix in use painted once, and laid over the others where its regions are."""
        assert self._backend is not None
        assert self._paint_whole is not None
        self._kernels = {layer.mix: self._choose_kernel(layer.mix) for layer in layers}
        strength = self._backend.upload(np.array([controls.strength], np.float32))
        if len(layers) == 1:
            kernel = self._kernels[layers[0].mix]
            return self._paint_whole(features=self._features, strength=strength, **kernel)["picture"]
        painted: Handle = None
        for layer in layers:
            kernel = self._kernels[layer.mix]
            above = self._graphs["bank"](features=self._features, strength=strength, **kernel)["painted"]
            if layer.cover is None:
                painted = above
            else:
                mask = self._backend.upload(layer.cover)
                painted = self._graphs["compose"](below=painted, above=above, mask=mask)["painted"]
        return self._graphs["decode"](painted=painted)["picture"]

    def _choose_kernel(self, mix: Mix) -> dict[str, Handle]:
        """The kernel of a mix on the backend; a switch is this look-up and nothing else."""
        assert self._backend is not None
        if mix in self._kernels:
            return self._kernels[mix]
        kernel = self._model.mix_kernels(mix)
        return {"weight": self._backend.upload(kernel.weight), "bias": self._backend.upload(kernel.bias)}

    def reset(self) -> None:
        """Forget the past: after a seek, a stall or another source."""
        self._before, self._seen, self._features, self._view = None, None, None, None
        self._forget_motion()
        self._mask, self._moved, self._past, self._settled = None, None, None, None

    def close(self) -> None:
        """Release the backend. May be called twice; `paint` opens it again."""
        self._beside.shutdown()
        self._beside = ThreadPoolExecutor(1, "settle")  # without a thread until there is something to move
        self.reset()
        self._kernels, self._graphs, self._paint_whole, self._size = {}, {}, None, (0, 0)
        self._learned = None
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _clock(self, stage: str, started: float) -> float:
        now = time.perf_counter()
        self._stages[stage] = (now - started) * 1e3
        return now


def _pad(pixels: Pixels, margin: int, size: tuple[int, int]) -> Pixels:
    """Extend to the compiled size (width, height), ``margin`` on the left and top, by mirroring: no seam shows."""
    height, width = pixels.shape[:2]
    right, below = size[0] - width - margin, size[1] - height - margin
    return cv2.copyMakeBorder(pixels, margin, below, margin, right, cv2.BORDER_REFLECT_101).astype(np.uint8, copy=False)
