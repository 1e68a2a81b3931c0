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
from rich.console import Console

from livestyle.analogy.color_fit import STEEPEST, fit_table
from livestyle.artifacts import Thumbnails, load_model
from livestyle.config import LiveConfig
from livestyle.control.state import describe_change, read_state
from livestyle.control.web import WebServer
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import BackendError, ConfigError, ModelError, SinkError, SourceError
from livestyle.evaluate.stability import scene_pairs, warp_error
from livestyle.launch import launch
from livestyle.live.look import Grader, LookThumbnails, apply_colors, grade, spread_table
from livestyle.live.stats import Stats
from livestyle.live.styling import Brush
from livestyle.looks import Looks, Table, format_cube, read_cube
from livestyle.media import Frame, Pixels
from livestyle.pictures import read_picture, write_picture
from livestyle.sinks.web import PreviewSink
from livestyle.sources.scene import SceneSource
from livestyle.styles import list_styles
from livestyle.stylize import make_job, stylize

PLAIN = Controls((("one", 1.0),))


def make_table(nodes: int = 5, change: float = 0.2) -> Table:
    """A warm look: red up, blue down, a little less contrast."""
    levels = np.linspace(0.0, 1.0, nodes, dtype=np.float32)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    table = np.stack([red * (1.0 - change) + change, green, blue * (1.0 - change)], axis=-1)
    return np.asarray(table, np.float32)


def make_picture(seed: int = 0, size: tuple[int, int] = (48, 64)) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def make_frame(pixels: Pixels, index: int = 0) -> Frame:
    return Frame(pixels, index, index, Fraction(1, 30), time.monotonic())


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    """The user's looks, in a new home: one, ``warm``."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    looks = Looks()
    assert tmp_path in looks.folder.parents
    looks.folder.mkdir(parents=True)
    looks.path("warm").write_text(format_cube(make_table(), "warm"))
    return looks


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


# From pairs of colours to a table


def scene_colors(seed: int = 0) -> np.ndarray:
    with SceneSource(160, 96, 30, live=False, seed=seed) as scene:
        return scene.scene_frame(100).reshape(-1, 3) / 255.0


def warm(colors: np.ndarray) -> np.ndarray:
    return np.stack([colors[:, 0] ** 0.8, 0.05 + 0.9 * colors[:, 1], colors[:, 2] ** 1.3], axis=1)


def test_the_table_is_found_although_a_quarter_of_the_pairs_is_wrong():
    colors, rng = scene_colors(), np.random.default_rng(0)
    after = warm(colors) + rng.normal(0.0, 0.03, colors.shape)
    wrong = rng.random(len(colors)) < 0.25
    after[wrong] = rng.random((int(wrong.sum()), 3))
    table = fit_table(colors, after).table
    pixels = np.rint(colors * 255.0).astype(np.uint8)[None]
    error = np.abs(grade(table, pixels)[0] / 255.0 - warm(colors)).mean()
    assert error < 0.2 * np.abs(colors - warm(colors)).mean()


def test_equal_colours_give_the_plain_table():
    colors = scene_colors()
    assert np.abs(fit_table(colors, colors).table - make_table(9, 0.0)).max() < 1e-6


@pytest.mark.parametrize("after", ["one colour", "noise", "inverted"])
def test_a_table_never_enlarges_differences_beyond_the_limit(after: str):
    colors = scene_colors()
    pairs = {
        "one colour": np.full_like(colors, 0.5),
        "noise": np.random.default_rng(1).random(colors.shape),
        "inverted": 1.0 - colors,
    }
    fit = fit_table(colors, pairs[after])
    assert np.isfinite(fit.table).all()
    assert fit.steepest <= STEEPEST
    greys = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    graded = grade(fit.table, greys)[0].astype(int)
    assert np.abs(np.diff(graded, axis=0)).max() <= np.ceil(STEEPEST * np.sqrt(3.0))  # no bands
    assert (np.diff(graded @ [0.299, 0.587, 0.114]) >= -2.0).all()  # greys keep their order


def test_a_single_colour_moves_its_neighbours_and_leaves_far_ones():
    table = fit_table(np.full((50, 3), 0.25), np.full((50, 3), [0.45, 0.25, 0.25])).table
    levels = np.array([[[64, 64, 64], [74, 60, 64]]], np.uint8)
    assert np.abs(grade(table, levels)[0, 0].astype(int) - [115, 64, 64]).max() <= 3
    assert grade(table, levels)[0, 1, 0] > 100


def test_video_in_a_look_is_as_steady_as_the_source():
    colors = scene_colors()
    fit = fit_table(colors, warm(colors))
    spread = spread_table(fit.table)
    indices = range(60, 66)
    with SceneSource(160, 96, 30, live=False, noise=4.0) as scene:
        frames = [np.array(scene.scene_frame(index)) for index in indices]
        rng = np.random.default_rng(3)
        noisy = [np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
        pairs = list(scene_pairs(scene, indices, 1))
    flows, visible = [pair.flow for pair in pairs], [pair.visible for pair in pairs]
    source = warp_error(noisy, flows, visible, 1)
    graded = warp_error([apply_colors(spread, frame) for frame in noisy], flows, visible, 1)
    assert 0.0 < graded < 1.5 * source


# From two photos to a look


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    """A small picture of the scene, and another moment of it in other colours."""
    paths = tmp_path / "a.png", tmp_path / "b.png"
    with SceneSource(64, 48, 30, live=False) as scene:
        write_picture(paths[0], np.array(scene.scene_frame(0)))
        moment = np.array(scene.scene_frame(20))
    recoloured = warm(moment.reshape(-1, 3) / 255.0).reshape(moment.shape)
    write_picture(paths[1], np.rint(np.clip(recoloured, 0, 1) * 255).astype(np.uint8))
    return paths


def test_two_photos_make_a_look(looks: Looks, photos: tuple[Path, Path], tmp_path: Path):
    pytest.importorskip("torch")
    from livestyle.analogy.look import make_look

    lines: list[str] = []
    sheet = tmp_path / "sheet.png"
    path = make_look("warmer", str(photos[0]), photos[1], sheet=sheet, say=lines.append)
    assert path == looks.path("warmer")
    assert path.stat().st_size < 30_000
    assert len(lines) == 1
    picture = read_picture(photos[0])
    wanted = warm(picture.reshape(-1, 3) / 255.0) * 255.0
    before = np.abs(picture.reshape(-1, 3) - wanted).mean()
    after = np.abs(grade(looks.read("warmer"), picture).reshape(-1, 3) - wanted).mean()
    assert after < 0.6 * before
    assert read_picture(sheet).shape == (48, 4 * 64 + 3 * 8, 3)
    with pytest.raises(ConfigError, match="you have a look 'warmer'"):
        make_look("Warmer", str(photos[0]), photos[1], say=lines.append)
    with pytest.raises(ConfigError, match="'scream' is a style"):
        make_look("scream", str(photos[0]), photos[1], say=lines.append)


@pytest.mark.parametrize("kind", ["identical", "grey", "alpha", "blank"])
def test_odd_pictures_make_a_look_too(looks: Looks, photos: tuple[Path, Path], kind: str):
    pytest.importorskip("torch")
    from livestyle.analogy.look import make_look

    a, b = photos
    picture = cv2.imread(str(a))
    odd = {
        "identical": picture,
        "grey": cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY),
        "alpha": cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA),
        "blank": np.full((40, 40, 3), 90, np.uint8),
    }
    cv2.imwrite(str(b), odd[kind])
    lines: list[str] = []
    make_look("odd", str(a), b, say=lines.append)
    table = looks.read("odd")
    graded = grade(table, read_picture(a)).astype(int)
    if kind in ("identical", "alpha"):
        assert np.abs(graded - read_picture(a)).mean() < 3.0
        assert "next to nothing" in lines[0]
    if kind in ("grey", "blank"):
        spread = np.ptp(graded, axis=2).mean()  # what is left is fine detail, which stays the photo's own
        assert spread < 0.7 * np.ptp(read_picture(a).astype(int), axis=2).mean()


@pytest.mark.parametrize("size", [(1, 1), (15, 200), (20, 8000)])
def test_pictures_too_small_to_match_are_refused(looks: Looks, photos: tuple[Path, Path], size: tuple[int, int]):
    pytest.importorskip("torch")
    from livestyle.analogy.look import make_look

    cv2.imwrite(str(photos[1]), np.zeros((*size, 3), np.uint8))
    with pytest.raises(ConfigError, match=f"{size[1]}×{size[0]} pixels"):
        make_look("small", "scene", photos[1], say=lambda line: None)
    assert looks.names() == ["warm"]


def test_a_look_that_cannot_be_made_leaves_nothing(
    looks: Looks, photos: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("torch")
    from livestyle.analogy.look import make_look
    from livestyle.sources import camera

    monkeypatch.setattr(camera, "list_cameras", list)
    with pytest.raises(SourceError, match="no camera"):
        make_look("none-there", "camera", photos[1], say=lambda line: None)
    with pytest.raises(ConfigError, match="cannot open"):
        make_look("missing", str(tmp_path / "missing.png"), photos[1], say=lambda line: None)
    with pytest.raises(SinkError, match="there is no folder"):
        make_look("lost", str(photos[0]), photos[1], sheet=tmp_path / "no" / "x.png", say=lambda line: None)
    assert [path.name for path in looks.folder.iterdir()] == ["warm.cube"]
