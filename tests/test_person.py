"""The masks ``person`` and ``background``: on a drawn person, whose place is known, in files and frame by frame."""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from figure import draw_figure, draw_wall
from numpy.typing import NDArray

from livestyle.artifacts import find_engines, load_model
from livestyle.backends import open_person
from livestyle.cli import main
from livestyle.controls import ControlBoard, Controls, Region, parse_region
from livestyle.errors import ConfigError, ModelError
from livestyle.live.flow import FlowEstimator
from livestyle.live.person import EDGE, PersonMasks, find_edges, stretch
from livestyle.live.regions import Grid, Moment
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.pictures import read_picture, write_picture
from livestyle.sinks import open_sink

STYLES = ("scream", "great_wave", "starry_night")  # far apart on a bare wall
ASKED = [Region("person", ((STYLES[0], 1.0),))]
SIZE = (320, 180)
GRID = Grid(84, 49, 4, 8)  # of such a picture, with its margin
pytestmark = pytest.mark.usefixtures("own_folder", "own_log")


@pytest.fixture
def masks() -> PersonMasks:
    masks = PersonMasks(open_person)
    masks.prepare(ASKED)
    return masks


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["stylize", *arguments])
    return int(exit_.value.code or 0)


def paint(*arguments: str) -> NDArray[np.int64]:
    assert run("in.png", "out.png", *arguments) == 0
    return read_picture(Path("out.png")).astype(int)


def gap(one: NDArray[np.int64], other: NDArray[np.int64], where: NDArray[np.bool_]) -> float:
    return float(np.abs(one - other)[where].mean())


def moments(pictures: Sequence[Pixels]) -> Iterator[Moment]:
    """The pictures as a stream, with the motion between them as the stylizer has it."""
    flow = FlowEstimator(GRID.margin // GRID.stride)
    before = None
    for index, pixels in enumerate(pictures):
        padded = cv2.copyMakeBorder(pixels, 8, 8, 8, 8, cv2.BORDER_REFLECT_101)
        motion = None if before is None else flow.estimate(before[1], padded)
        frame = Frame(pixels, index, index, Fraction(1, 30), 0.0)
        yield Moment(frame, GRID, before and before[0], motion)
        before = frame, padded


def coarse(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mask over features."""
    return cv2.resize(mask, (SIZE[0] // 4, SIZE[1] // 4), interpolation=cv2.INTER_AREA).astype(np.float32)


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


# Pictures and videos.


def test_person_and_background_are_painted_each_in_their_style_below_what_comes_later() -> None:
    pixels, mask = draw_figure(*SIZE, 130)
    write_picture(Path("in.png"), pixels)
    first, second, third = (paint("--style", style) for style in STYLES[:3])
    ring = np.ones((25, 25), np.uint8)  # the decoder's strokes reach over a border
    inside, outside = cv2.erode(mask, ring) > 0.99, cv2.dilate(mask, ring) < 0.01
    columns = np.broadcast_to(np.arange(SIZE[0]), mask.shape)
    assert min((inside & (columns < 140)).mean(), outside.mean()) > 0.02
    person = paint("--style", STYLES[0], "--region", f"person={STYLES[1]}")
    assert gap(person, second, inside) < 0.1 * gap(first, second, inside)
    assert gap(person, first, outside) < 0.1 * gap(first, second, outside)
    all_three = ["--region", f"background={STYLES[1]}", "--region", f"person={STYLES[2]}"]
    layered = paint("--style", STYLES[0], *all_three, "--region", f"0.5,0,0.5,1={STYLES[0]}")
    left, right = columns < 140, columns > 180
    assert gap(layered, third, inside & left) < 0.25 * gap(second, third, inside & left)
    assert gap(layered, second, outside & left) < 0.25 * gap(second, third, outside & left)
    assert gap(layered, first, right) < 0.25 * gap(second, first, right)


def test_a_picture_without_people_stays_as_it_is() -> None:
    write_picture(Path("in.png"), draw_wall(*SIZE))
    plain, other = paint("--style", STYLES[0]), paint("--style", STYLES[1])
    assert np.array_equal(paint("--style", STYLES[0], "--region", f"person={STYLES[1]}"), plain)
    everywhere = np.ones(plain.shape[:2], bool)
    background = paint("--style", STYLES[0], "--region", f"background={STYLES[1]}")
    assert gap(background, other, everywhere) < 0.01 * gap(plain, other, everywhere)


def test_a_person_is_followed_through_a_video() -> None:
    places = [100 + 8 * number for number in range(8)]
    info = StreamInfo(*SIZE, Fraction(25), live=False)
    sink = open_sink("in.mp4", info)
    for number, x in enumerate(places):
        sink.write(Frame(draw_figure(*SIZE, x)[0], number, number, Fraction(1, 25), 0.0))
    sink.close()
    for folder, style, region in (("first/", 0, ""), ("second/", 1, ""), ("both/", 0, f"person={STYLES[1]}")):
        asked = ["--region", region] if region else []
        assert run("in.mp4", folder, "--style", STYLES[style], "--no-coherence", *asked) == 0
    for number, x in enumerate(places):
        first, second, both = (
            read_picture(Path(folder) / f"{number:06d}.png").astype(int) for folder in ("first", "second", "both")
        )
        ring = np.ones((31, 31), np.uint8)
        mask = draw_figure(*SIZE, x)[1]
        inside, outside = cv2.erode(mask, ring) > 0.99, cv2.dilate(mask, ring) < 0.01
        assert gap(both, second, inside) < 0.15 * gap(first, second, inside)
        assert gap(both, first, outside) < 0.15 * gap(first, second, outside)


# Frame by frame.


def test_the_mask_moves_with_the_person_also_where_the_network_is_left_out() -> None:
    network, looks = open_person(), []

    def count(pixels: Pixels) -> NDArray[np.float32]:
        looks.append(pixels)
        return network(pixels)

    masks = PersonMasks(lambda: count)
    masks.prepare(ASKED)
    drawn = [draw_figure(*SIZE, 90 + 7 * number) for number in range(9)]
    for number, moment in enumerate(moments([pixels for pixels, _ in drawn])):
        mask = masks.person(moment)
        truth = coarse(drawn[number][1])
        held = coarse(drawn[number - 1][1]) if number else truth
        assert len(looks) == number // 2 + 1
        assert overlap(mask, truth) > 0.93
        assert number == 0 or overlap(mask, truth) > overlap(mask, held) + 0.02
        assert np.allclose(masks.background(moment), 1.0 - mask)
    assert len(looks) == 5


def test_without_motion_every_frame_is_looked_at(masks: PersonMasks) -> None:
    for number in range(4):
        pixels, truth = draw_figure(*SIZE, 90 + 20 * number)
        frame = Frame(pixels, number, number, Fraction(1, 30), 0.0)
        assert overlap(masks.person(Moment(frame, GRID)), coarse(truth)) > 0.93


def test_noise_moves_the_border_of_one_who_stands_still_less_than_the_network_does(masks: PersonMasks) -> None:
    random = np.random.default_rng(1)
    still = draw_figure(*SIZE, 150)[0]
    noisy = [np.clip(still + random.normal(0, 4, still.shape), 0, 255).astype(np.uint8) for _ in range(12)]
    network = open_person()
    bare = [network(cv2.resize(pixels, (256, 144), interpolation=cv2.INTER_AREA)) for pixels in noisy]
    found = [masks.person(moment) for moment in moments(noisy)]
    assert unrest(found[4:]) < 0.5 * unrest([coarse(mask) for mask in bare[4:]])


def unrest(masks: Sequence[NDArray[np.float32]]) -> float:
    return float(np.mean([np.abs(one - other).mean() for one, other in pairwise(masks)]))


def test_nobody_is_nobody_in_every_frame(masks: PersonMasks) -> None:
    random = np.random.default_rng(2)
    wall = draw_wall(*SIZE)
    noisy = [np.clip(wall + random.normal(0, 6, wall.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    for moment in moments(noisy):
        assert not masks.person(moment).any()
        assert masks.background(moment).min() == 1.0


def test_a_frozen_frame_keeps_its_mask(masks: PersonMasks) -> None:
    moment = next(moments([draw_figure(*SIZE, 150)[0]]))
    assert masks.person(moment) is masks.person(moment)
    assert masks.background(moment) is masks.background(moment)


def test_another_size_is_looked_at_anew(masks: PersonMasks) -> None:
    for size in (SIZE, (192, 108), (1280, 720), (214, 122)):
        pixels, truth = draw_figure(*size, size[0] * 0.4)
        grid = Grid(-(-(size[0] + 16) // 8) * 2, -(-(size[1] + 16) // 8) * 2, 4, 8)
        mask = masks.person(Moment(Frame(pixels, 0, 0, Fraction(1, 30), 0.0), grid))
        assert mask.shape == (round(size[1] / 4), round(size[0] / 4))
        same = cv2.resize(truth, mask.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        assert overlap(mask, same) > 0.93


@pytest.mark.parametrize("size", [(160, 90), (400, 225)])  # also finer than the filter is computed at
def test_edges_are_taken_from_the_picture(size: tuple[int, int]) -> None:
    pixels, truth = draw_figure(*size, size[0] * 0.5)
    blurred = cv2.GaussianBlur(truth, (0, 0), size[0] / 80).astype(np.float32)
    moved = np.roll(truth, size[0] // 160, axis=1)
    for mask in (blurred, moved):
        error = np.abs(stretch(mask, EDGE) - truth).mean()
        assert np.abs(stretch(find_edges(mask, pixels), EDGE) - truth).mean() < 0.5 * error


# A stream that already runs.


def test_a_stream_goes_on_while_the_network_is_opened(no_threads_left: None) -> None:
    may_open = threading.Event()

    def open_late() -> object:
        may_open.wait(60)
        return open_person()

    masks = PersonMasks(open_late)  # type: ignore[arg-type]
    stream = moments([draw_figure(*SIZE, 150)[0]] * 500)
    for _ in range(5):
        moment = next(stream)
        assert not masks.person(moment).any()
        assert not masks.background(moment).any()
    may_open.set()
    for moment in stream:
        if masks.person(moment).any():
            break
        may_open.wait(0.02) and threading.Event().wait(0.05)
    assert masks.person(moment).mean() > 0.1
    assert masks.background(moment).mean() > 0.1


def test_a_stream_goes_on_without_the_network(caplog: pytest.LogCaptureFixture, no_threads_left: None) -> None:
    def fail() -> object:
        raise ModelError("it is not there")

    stylizer = Stylizer(load_model(), masks=PersonMasks(fail).sources())  # type: ignore[arg-type]
    controls = Controls(((STYLES[0], 1.0),))
    asking = Controls(((STYLES[0], 1.0),), regions=(Region("person", ((STYLES[1], 1.0),)),))
    pixels = draw_figure(*SIZE, 150)[0]
    logger = logging.getLogger("livestyle")
    logger.propagate = True
    shown = [
        stylizer.paint(Frame(pixels, number, number, Fraction(1, 30), 0.0), asking if number else controls).pixels
        for number in range(4)
    ]
    stylizer.close()
    for thread in threading.enumerate():
        if thread.name == "person":
            thread.join()
    assert all(np.abs(picture.astype(int) - shown[0]).mean() < 2 for picture in shown)
    assert [record.getMessage() for record in caplog.records] == ["people are not found: it is not there"]


# What a user may ask for, and what is said when it cannot be.


def test_the_command_takes_person_and_background() -> None:
    board = ControlBoard(Controls(((STYLES[0], 1.0),)), STYLES, tuple(PersonMasks(open_person).sources()))
    board.run(f"region person={STYLES[1]}")
    board.run(f"region background={STYLES[2]}")
    assert [region.mask for region in board.controls.regions] == ["person", "background"]
    board.run("region person=off")
    assert [region.mask for region in board.controls.regions] == ["background"]
    with pytest.raises(ConfigError, match="did you mean 'person'"):
        parse_region(f"persn={STYLES[0]}", STYLES, board.masks)


@pytest.mark.parametrize(("damage", "words"), [("missing", "reinstall livestyle"), ("changed", "damaged")])
def test_a_missing_or_damaged_network_is_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str, words: str
) -> None:
    write_picture(Path("in.png"), draw_figure(*SIZE, 150)[0])
    engines = tmp_path / "engines"
    engines.mkdir()
    os.symlink(find_engines() / "live", engines / "live")
    if damage == "changed":
        (engines / "person").mkdir()
        (engines / "person" / "person.json").write_bytes((find_engines() / "person" / "person.json").read_bytes())
        (engines / "person" / "segment.onnx").write_bytes(b"no network")
    monkeypatch.setenv("LIVESTYLE_ENGINES", str(engines))
    assert run("in.png", "out.png", "--region", f"person={STYLES[0]}") == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert words in err
    assert "person" in err
    assert not Path("out.png").exists()
    assert run("in.png", "out.png", "--region", f"left={STYLES[0]}") == 0  # nobody asked for people
