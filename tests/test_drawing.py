"""The mask that is painted on the page: what the server takes, and what becomes of it in the picture."""

import json
from dataclasses import replace

import numpy as np
import pytest
from page_stage import Stage
from stage import Dauber, Shelf, Tape
from stage import Stage as Session
from test_gallery import ask
from textures import make_frame, make_texture

from livestyle.artifacts import load_model
from livestyle.control.drawing import LONGEST
from livestyle.controls import Controls, Region
from livestyle.live.regions import DrawnMask, Grid, Moment
from livestyle.live.stylizer import Stylizer

FRAME = make_frame(make_texture(96, 64, seed=3))
MOMENT = Moment(FRAME, Grid(24, 16, 4, 0))


def test_a_mask_arrives_as_it_was_sent(stage: Stage) -> None:
    levels = bytes(range(12))
    assert ask(stage.server.url + "/api/mask?width=4&height=3", "POST", levels)[0] == 200
    assert np.allclose(stage.mask(MOMENT) * 255.0, np.arange(12).reshape(3, 4))
    side = LONGEST
    assert (
        ask(f"{stage.server.url}/api/mask?width={side}&height={side // 2}", "POST", bytes(side * side // 2))[0] == 200
    )
    assert stage.mask(MOMENT).shape == (side // 2, side)


@pytest.mark.parametrize(
    ("query", "length"),
    [
        ("width=4&height=3", 11),
        ("width=4&height=3", 13),
        ("width=4&height=3", 0),
        ("width=0&height=3", 0),
        ("width=-1&height=3", 3),
        ("width=4", 4),
        ("", 0),
        ("width=257&height=1", 257),
        ("width=9999999999&height=9999999999", 9),
        ("width=1e2&height=1", 100),
        ("width=²&height=1", 2),
        ("width=256&height=256", 200_000),
    ],
)
def test_a_mask_of_another_size_is_refused(stage: Stage, query: str, length: int) -> None:
    before = stage.mask(MOMENT)
    url = stage.server.url + "/api/mask?" + query.replace("²", "%C2%B2")
    status, _, body = ask(url, "POST", bytes(length))
    assert status in (400, 413)
    assert "\n" not in json.loads(body)["error"]
    assert stage.mask(MOMENT) is before


def test_the_region_is_painted_where_the_mask_is_drawn() -> None:
    model, mask = load_model(), DrawnMask()
    stylizer = Stylizer(model, masks={"painted": mask})
    plain = Controls(((model.styles[0], 1.0),), coherence=False)
    other = replace(plain, mix=((model.styles[1], 1.0),))
    both = replace(plain, regions=(Region("painted", other.mix),))
    one, two = (stylizer.paint(FRAME, controls).pixels.astype(int) for controls in (plain, other))
    assert np.array_equal(stylizer.paint(FRAME, both).pixels, one)  # nothing is drawn yet
    mask.draw(bytes([255, 0]), 2, 1)
    mask.draw(bytes([255] * 8 + [0] * 8), 16, 1)
    drawn = stylizer.paint(FRAME, both).pixels.astype(int)
    assert np.abs(drawn[:, :24] - two[:, :24]).mean() < 6 < np.abs(drawn[:, :24] - one[:, :24]).mean()
    assert np.abs(drawn[:, -24:] - one[:, -24:]).mean() < 6


def test_a_frozen_picture_is_painted_again_when_its_mask_changes(no_threads_left: None) -> None:
    shelf, painter = Shelf(), Dauber()
    session = Session(lambda: Tape(10_000, live=True), shelf, painter=painter).start()
    shelf.wait(lambda: len(shelf.frames) > 3)
    session.board.run("freeze on")
    seen = len(shelf.frames)
    shelf.wait(lambda: len(shelf.frames) > seen + 10)
    calls, index = len(painter.calls), painter.calls[-1][0]
    session.board.tell_mask()
    shelf.wait(lambda: len(painter.calls) > calls)
    assert painter.calls[-1][0] == index
    session.stop()


def test_source_frames_are_watched_as_their_paintings_go_out(no_threads_left: None) -> None:
    watched, shelf = [], Shelf()
    session = Session(Tape(10), shelf, watch=watched.append)
    session.play()
    assert [frame.index for frame in watched] == list(range(10))
    assert all(
        np.array_equal(255 - frame.pixels, painted.pixels) for frame, painted in zip(watched, shelf.frames, strict=True)
    )
