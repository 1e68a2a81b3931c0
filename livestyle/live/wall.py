"""The wall: every style on the current source frame, small, painted only while somebody looks.

A round takes one encode, then a bank and a decode for each style, spread over the time of the round: at 192×108 some
2 ms a style, a tenth of one core. Its thread has the stream's own priority: with a lower one, other programs stop it
while it holds the interpreter's lock, and the stream with it (measured on a busy computer: 3 of 30 frames a second).
The main stream's stylizer knows nothing of the wall.
"""

import logging
import threading
import time
from dataclasses import replace

import cv2
import numpy as np

from livestyle.artifacts import Model
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import LivestyleError
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels
from livestyle.sinks.web import PreviewSink

log = logging.getLogger(__name__)

COLUMNS = 4  # tiles side by side; the page cuts the sheet by the same number
TILE = 192  # pixels, the longer side of a tile
ROUND = 0.4  # s, from one sheet to the next
BREATH = 0.1  # s between two graphs that are compiled beside the running stream
ATTENTION = 1.0  # s after the last request during which the wall counts as looked at
GLANCE = 0.1  # s between two looks at a source that gives nothing new


class Wall:
    """Sheets of all styles of ``model``, `COLUMNS` tiles wide, in the order of the board's styles, for `wait_newer`.

    ``sources`` holds the newest unpainted frame. The thread starts with the first request, and painting stops
    `ATTENTION` seconds after the last one. Strength and ``keep_colors`` are those of the board.
    """

    def __init__(self, model: Model, sources: PreviewSink, board: ControlBoard) -> None:
        self.tiles = 0  # painted since the start
        self._model = model
        self._sources = sources
        self._board = board
        self._sheets = PreviewSink()
        self._asked = threading.Condition()
        self._asked_at = -ATTENTION
        self._closed = False
        self._thread: threading.Thread | None = None

    def wait_newer(self, serial: int, timeout: float) -> tuple[int, Frame] | None:
        """(serial, sheet) as soon as its serial is above ``serial``; None after ``timeout`` seconds or when closed."""
        with self._asked:
            if self._closed:
                return None
            self._asked_at = time.monotonic()
            self._asked.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wall", daemon=True)
                self._thread.start()
        return self._sheets.wait_newer(serial, timeout)

    def close(self) -> None:
        """End the thread. May be called twice."""
        with self._asked:
            self._closed = True
            self._asked.notify()
        self._sheets.close()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        stylizer = Stylizer(self._model, backend="openvino")  # beside a graphics card, the processor has time for it
        try:
            self._paint_rounds(stylizer)
        except LivestyleError as error:
            log.warning("the page has no wall of styles: %s", error)
        finally:
            stylizer.close()

    def _paint_rounds(self, stylizer: Stylizer) -> None:
        painted: object = None  # what the last sheet was made of
        while self._wait_asked():
            newest = self._sources.wait_newer(0, GLANCE)
            controls = replace(self._board.controls, regions=(), coherence=False)
            wanted = newest and (newest[0], tuple(self._board.styles), controls.strength, controls.keep_colors)
            if newest is None or wanted == painted:
                self._rest(GLANCE)
                continue
            sheet = self._paint_sheet(stylizer, newest[1], controls)
            if sheet is not None:
                painted = wanted
                self._sheets.write(replace(newest[1], pixels=sheet))

    def _paint_sheet(self, stylizer: Stylizer, source: Frame, controls: Controls) -> Pixels | None:
        """All tiles of one frame; None when closed meanwhile."""
        begun = time.monotonic()
        styles = self._board.styles
        width, height = tile_size(source.pixels.shape[1], source.pixels.shape[0])
        for _ in stylizer.compile(width, height):
            self._rest(BREATH)
        shrunk = cv2.resize(source.pixels, (width, height), interpolation=cv2.INTER_AREA)
        small = replace(source, pixels=np.asarray(shrunk, np.uint8))
        sheet = np.zeros((-(-len(styles) // COLUMNS) * height, COLUMNS * width, 3), np.uint8)
        for number, style in enumerate(styles):
            row, column = divmod(number, COLUMNS)
            tile = stylizer.paint(small, replace(controls, mix=((style, 1.0),)))
            sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile.pixels
            self.tiles += 1
            if self._rest(begun + ROUND * (number + 1) / len(styles) - time.monotonic()):
                return None
        return sheet

    def _wait_asked(self) -> bool:
        """Wait until somebody looks; False when closed."""
        with self._asked:
            self._asked.wait_for(lambda: self._closed or time.monotonic() - self._asked_at < ATTENTION)
            return not self._closed

    def _rest(self, seconds: float) -> bool:
        """Wait; True when closed meanwhile."""
        with self._asked:
            return self._asked.wait_for(lambda: self._closed, max(0.0, seconds))


def tile_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a tile of a picture so large: `TILE` pixels the longer side, the shape kept."""
    scale = TILE / max(width, height)
    return max(8, round(width * scale)), max(8, round(height * scale))
