"""How pairs of colours become a table, and a pair of photos a look."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from color_tables import make_table

from livestyle.analogy.color_fit import STEEPEST, fit_table
from livestyle.errors import ConfigError, SinkError, SourceError
from livestyle.evaluate.stability import scene_pairs, warp_error
from livestyle.live.look import apply_colors, grade, spread_table
from livestyle.looks import Looks
from livestyle.pictures import read_picture, write_picture
from livestyle.sources.scene import SceneSource

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
