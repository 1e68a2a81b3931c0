"""The wall of styles, with the shipped network: every style on the current frame, and nothing while nobody looks."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from textures import make_frame, make_texture
from web_rig import wait_until

from livestyle.artifacts import Model, load_model
from livestyle.controls import ControlBoard, Controls
from livestyle.live.wall import ATTENTION, COLUMNS, Wall, tile_size
from livestyle.media import Frame
from livestyle.sinks.web import PreviewSink

SIZE = (320, 180)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture
def sources() -> Iterator[PreviewSink]:
    with PreviewSink() as sink:
        sink.write(make_frame(make_texture(*SIZE, seed=1)))
        yield sink


@pytest.fixture
def board(model: Model) -> ControlBoard:
    return ControlBoard(Controls(((model.styles[0], 1.0),)), model.styles)


@pytest.fixture
def wall(model: Model, sources: PreviewSink, board: ControlBoard) -> Iterator[Wall]:
    wall = Wall(model, sources, board)
    yield wall
    wall.close()


def look(wall: Wall, serial: int = 0) -> tuple[int, Frame]:
    """The next sheet; asked for in short waits, as the page's pump does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        newer = wall.wait_newer(serial, 0.2)
        if newer is not None:
            return newer
    raise AssertionError("there was no sheet")


def cut(sheet: Frame, count: int) -> list[np.ndarray]:
    width, height = tile_size(*SIZE)
    spots = [(index // COLUMNS * height, index % COLUMNS * width) for index in range(count)]
    return [sheet.pixels[top : top + height, left : left + width].astype(int) for top, left in spots]


def test_a_sheet_holds_every_style_and_follows_the_source(
    wall: Wall, sources: PreviewSink, board: ControlBoard, model: Model
) -> None:
    serial, sheet = look(wall)
    count = len(model.styles)
    assert sheet.pixels.shape == (-(-count // COLUMNS) * 108, COLUMNS * 192, 3)
    tiles = cut(sheet, count)
    for index, tile in enumerate(tiles):
        assert tile.std() > 3
        assert all(np.abs(tile - other).mean() > 4 for other in tiles[index + 1 :])
    assert wall.wait_newer(serial, 0.6) is None  # the same frame in the same styles is not painted again
    sources.write(make_frame(make_texture(*SIZE, seed=2)))
    serial, other = look(wall, serial)
    assert np.abs(other.pixels.astype(int) - sheet.pixels).mean() > 5
    board.run("strength 0")
    serial, plain = look(wall, serial)
    first, *rest = cut(plain, count)
    assert all(np.abs(tile - first).mean() < 2 for tile in rest)  # at strength 0 all styles are the source


def test_nothing_is_painted_while_nobody_looks(wall: Wall, sources: PreviewSink) -> None:
    for seed in range(3):
        sources.write(make_frame(make_texture(*SIZE, seed=seed)))
    assert wall.tiles == 0
    assert not any(thread.name == "wall" for thread in threading.enumerate())  # nothing is even loaded
    look(wall)
    left = time.monotonic() + ATTENTION

    def is_still() -> bool:
        before = wall.tiles
        sources.write(make_frame(make_texture(*SIZE, seed=5)))
        time.sleep(0.5)
        return time.monotonic() > left and wall.tiles == before

    wait_until(is_still, 30)


def test_it_closes_at_once_and_answers_nobody_then(wall: Wall) -> None:
    look(wall)
    wall.close()
    wall.close()
    assert wall.wait_newer(0, 5.0) is None
    assert not any(thread.name == "wall" for thread in threading.enumerate())


@pytest.mark.parametrize(("size", "tile"), [((640, 360), (192, 108)), ((360, 640), (108, 192)), ((5000, 10), (192, 8))])
def test_tiles_keep_the_shape(size: tuple[int, int], tile: tuple[int, int]) -> None:
    assert tile_size(*size) == tile
