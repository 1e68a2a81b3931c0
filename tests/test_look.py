"""Colour looks: files, the table on live pictures, the control, and how a pair of photos becomes one."""

import json
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import Browser
from color_tables import make_table
from rich.console import Console

from livestyle.artifacts import Thumbnails, load_model
from livestyle.config import LiveConfig
from livestyle.control.state import describe_change, read_state
from livestyle.control.web import WebServer
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import BackendError, ConfigError, ModelError
from livestyle.launch import launch
from livestyle.live.look import Grader, LookThumbnails, apply_colors, grade, spread_table
from livestyle.live.stats import Stats
from livestyle.live.styling import Brush
from livestyle.looks import Looks, format_cube, read_cube
from livestyle.media import Frame, Pixels
from livestyle.pictures import read_picture, write_picture
from livestyle.sinks.web import PreviewSink
from livestyle.sources.scene import SceneSource
from livestyle.styles import list_styles
from livestyle.stylize import make_job, stylize

PLAIN = Controls((("one", 1.0),))


def make_picture(seed: int = 0, size: tuple[int, int] = (48, 64)) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def make_frame(pixels: Pixels, index: int = 0) -> Frame:
    return Frame(pixels, index, index, Fraction(1, 30), time.monotonic())


class Painter:
    """Inverts pictures, or fails."""

    styles = ("one",)

    def __init__(self) -> None:
        self.stages = {"bank": 1.0}
        self.painted = 0
        self.failing = False

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        if self.failing:
            raise BackendError("no more memory")
        self.painted += 1
        return replace(frame, pixels=255 - frame.pixels)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


# Files


@pytest.mark.parametrize("nodes", [2, 9, 33])
def test_a_file_gives_back_the_table(tmp_path: Path, nodes: int):
    table = np.random.default_rng(nodes).random((nodes, nodes, nodes, 3), np.float32)
    path = tmp_path / "look.cube"
    path.write_text(format_cube(table, "any"))
    assert np.abs(read_cube(path) - table).max() < 1e-5


def test_a_file_of_another_program_is_read(tmp_path: Path):
    corners = [f"{red} {green} {blue}" for blue in (0, 1) for green in (0, "1e0") for red in (-0.1, 1.2)]
    head = [
        "# made elsewhere",
        'TITLE "Blue hour, 50 %"',
        "DOMAIN_MIN 0 0 0",
        "DOMAIN_MAX 1.0 1.0 1.0",
        "LUT_3D_SIZE 2",
    ]
    path = tmp_path / "look.cube"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*head, "", *corners, ""]).encode())
    picture = make_picture()
    assert (grade(read_cube(path), picture) == picture).all()  # red changes fastest, and what is beyond 0..1 is cut


def replaced(old: str, new: str) -> bytes:
    return format_cube(make_table(2), "x").replace(old, new, 1).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\xff\xfe",
        b"hello world",
        replaced("LUT_3D_SIZE 2\n", ""),
        replaced("LUT_3D_SIZE 2", "LUT_1D_SIZE 2"),
        replaced("LUT_3D_SIZE 2", "LUT_3D_SIZE 1"),
        replaced("LUT_3D_SIZE 2", "LUT_3D_SIZE 66"),
        replaced("LUT_3D_SIZE 2", "LUT_3D_SIZE two"),
        replaced("LUT_3D_SIZE 2", "LUT_3D_SIZE 3"),
        replaced("LUT_3D_SIZE 2", "DOMAIN_MAX 4 4 4\nLUT_3D_SIZE 2"),
        b"LUT_3D_SIZE 2\n",
        replaced("0.20000", "nan"),
        replaced("0.20000", "0.2.0"),
        replaced("0.20000 ", ""),
        format_cube(make_table(2), "x").encode()[:-30],
    ],
)
def test_a_damaged_file_is_refused_and_left_out(looks: Looks, data: bytes, caplog: pytest.LogCaptureFixture):
    looks.path("broken").write_bytes(data)
    with pytest.raises(ModelError, match=r"broken\.cube"):
        looks.read("broken")
    assert looks.names() == ["warm"] == looks.names()
    assert [record.message.count("broken.cube") for record in caplog.records] == [1]  # told once


def test_looks_come_and_go_while_it_runs(looks: Looks):
    assert Looks(looks.folder / "nowhere").names() == []
    first = looks.read("warm")
    assert looks.read("warm") is first
    looks.path("cold").write_text(format_cube(make_table(3, -0.1), "cold"))
    assert looks.names() == ["cold", "warm"]
    looks.path("warm").unlink()
    assert looks.names() == ["cold"]
    with pytest.raises(ConfigError, match="did you mean 'cold'"):
        looks.read("colt")


@pytest.mark.parametrize("name", ["", "3d", "off", "None", "a/b", "../x", "x" * 41, "Scream", "WARM"])
def test_a_name_that_cannot_be_used_is_refused(looks: Looks, name: str):
    with pytest.raises(ConfigError):
        looks.check_new(name, ["scream"])
    looks.check_new("fine-1", ["scream"])


# The table on pictures


@pytest.mark.parametrize("nodes", [2, 9, 17, 64])
def test_the_spread_table_is_the_interpolated_one(nodes: int):
    table = np.random.default_rng(nodes).random((nodes, nodes, nodes, 3), np.float32)
    picture = make_picture(nodes)
    quick, exact = apply_colors(spread_table(table), picture), grade(table, picture)
    assert np.abs(quick.astype(int) - exact).max() <= 1
    assert (quick != exact).mean() < 0.01  # where rounding falls the other way


def test_the_plain_table_changes_nothing():
    picture = make_picture()
    assert (apply_colors(spread_table(make_table(17, 0.0)), picture) == picture).all()


def test_a_look_is_laid_over_the_painting_or_over_the_source_alone(looks: Looks):
    painter, picture = Painter(), make_picture()
    grader = Grader(painter, looks)
    table = looks.read("warm")
    plain = grader.paint(make_frame(picture), PLAIN)
    assert (plain.pixels == 255 - picture).all()
    assert set(grader.stages) == {"bank"}
    both = grader.paint(make_frame(picture), replace(PLAIN, look="warm"))
    assert np.abs(both.pixels.astype(int) - grade(table, 255 - picture)).max() <= 1
    assert set(grader.stages) == {"bank", "look"}
    alone = grader.paint(make_frame(picture, 7), replace(PLAIN, look="warm", bypass=True))
    assert np.abs(alone.pixels.astype(int) - grade(table, picture)).max() <= 1
    assert (painter.painted, alone.index, set(grader.stages)) == (2, 7, {"look"})


def test_a_look_without_its_file(looks: Looks, caplog: pytest.LogCaptureFixture):
    grader, picture = Grader(Painter(), looks), make_picture()
    warm = replace(PLAIN, look="warm", bypass=True)
    before = grader.paint(make_frame(picture), warm).pixels
    looks.path("warm").write_text("no look any more")
    assert (grader.paint(make_frame(picture), warm).pixels == before).all()  # stays as it was
    lost = grader.paint(make_frame(picture), replace(warm, look="lost"))
    lost = grader.paint(make_frame(picture), replace(warm, look="lost"))
    assert (lost.pixels == picture).all()
    assert len([record for record in caplog.records if "lost" in record.message]) == 1
    looks.path("warm").write_text(format_cube(make_table(5, 0.5), "made again"))
    again = grader.paint(make_frame(picture), warm).pixels
    assert np.abs(again.astype(int) - grade(make_table(5, 0.5), picture)).max() <= 1


def test_a_bypassed_stream_shows_its_look_and_survives_a_failing_painter(looks: Looks):
    painter, picture, lines = Painter(), make_picture(), []
    stats = Stats()
    brush = Brush(Grader(painter, looks), stats, lines.append)
    frame = make_frame(picture)
    painter.failing = True
    assert brush.paint(frame, replace(PLAIN, bypass=True)) is frame
    assert (brush.paint(frame, replace(PLAIN, bypass=True, look="warm")).pixels != picture).any()
    assert "look" in stats.report()["stages_ms"]
    assert not lines
    assert brush.paint(frame, replace(PLAIN, look="warm")) is frame
    assert len(lines) == 1


# The control


def test_the_command_chooses_a_look(looks: Looks):
    board = ControlBoard(PLAIN, ("one",), looks=looks.names)
    before = board.controls
    after = board.run("look warm")
    assert (after.look, describe_change(before, after)) == ("warm", "look warm")
    state = read_state(board, dict)
    assert (state["controls"]["look"], state["looks"]) == ("warm", ["warm"])  # type: ignore[index]
    with pytest.raises(ConfigError, match="did you mean 'warm'"):
        board.run("look warn")
    assert board.controls.look == "warm"
    assert board.run("look off").look == ""


def test_thumbnails_show_looks_beside_styles(looks: Looks):
    model = load_model()
    thumbnails = LookThumbnails(looks, Thumbnails(model))
    assert sorted(thumbnails) == sorted([*model.styles, "look/warm"])
    assert len(thumbnails) == len(model.styles) + 1
    assert thumbnails[model.styles[0]] == model.read_thumbnail(model.styles[0])
    shown = cv2.imdecode(np.frombuffer(thumbnails["look/warm"], np.uint8), cv2.IMREAD_COLOR).astype(int)
    with SceneSource(640, 360, live=False) as scene:
        plain = scene.scene_frame(0)[:, 140:500].mean(axis=(0, 1))
    assert shown[..., 2].mean() > plain[0] + 10
    for unknown in ("look/cold", "look/../warm", "look", "nothing"):
        assert thumbnails.get(unknown) is None


def test_looks_are_listed_with_the_styles(looks: Looks):
    rows = list_styles(load_model())
    assert [row["name"] for row in rows if row["profile"] != "look"] == load_model().styles
    assert rows[-1] == {"name": "warm", "profile": "look", "bytes": looks.path("warm").stat().st_size}


def test_a_picture_and_a_stream_in_a_look_alone(looks: Looks, tmp_path: Path):
    picture, given, result = make_picture(), tmp_path / "in.png", tmp_path / "out.png"
    write_picture(given, picture)
    model = load_model()
    assert stylize(model, given, str(result), make_job(model, "none", look="warm")) == 1
    assert np.abs(read_picture(result).astype(int) - grade(looks.read("warm"), picture)).max() <= 1
    report = tmp_path / "report.json"
    settings = LiveConfig(
        source="scene", sinks=("null",), style="none", look="warm", size=(64, 48), frames=5, report=report
    )
    launch(settings, Console(quiet=True))
    stages = json.loads(report.read_text())["stages_ms"]
    assert "look" in stages
    assert "encode" not in stages


def test_an_unknown_and_a_damaged_look_are_told_at_the_start(looks: Looks):
    model = load_model()
    looks.path("broken").write_text("nothing")
    with pytest.raises(ConfigError, match="did you mean 'warm'"):
        make_job(model, None, look="worm")
    with pytest.raises(ModelError, match=r"broken\.cube"):
        make_job(model, None, look="broken")
    with pytest.raises(ModelError, match=r"broken\.cube"):
        launch(LiveConfig(source="scene", sinks=("null",), look="broken", frames=1))


@pytest.mark.slow
def test_the_page_shows_looks_and_chooses_one(looks: Looks, tmp_path: Path):
    board = ControlBoard(Controls((("scream", 1.0),)), ("scream", "udnie"), looks=looks.names)
    preview = PreviewSink()
    pressed = "return document.querySelector('[data-look=warm]').getAttribute('aria-pressed')"
    thumbnails = LookThumbnails(looks, {})
    with (
        WebServer(board, preview, dict, port=0, thumbnails=thumbnails) as server,
        Browser(tmp_path / "chromium") as page,
    ):
        page.open(server.url)
        page.wait("return document.querySelectorAll('[data-look]').length === 1")
        page.wait("const i = document.querySelector('[data-look] img'); return i && i.naturalWidth === 160")
        page.click("[data-look=warm]")
        page.wait(pressed + " === 'true'")
        assert board.controls.look == "warm"
        page.click("[data-look=warm]")
        page.wait(pressed + " === 'false'")
        assert board.controls.look == ""
        looks.path("cold").write_text(format_cube(make_table(3, -0.1), "cold"))  # made while it runs
        page.wait("return document.querySelectorAll('[data-look]').length === 2")
        for path in looks.folder.iterdir():
            path.unlink()
        page.wait("return document.getElementById('looks-section').hidden")
    preview.close()
