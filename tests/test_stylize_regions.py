"""``livestyle stylize`` with regions and the source's colours: what the files show, and what bad masks say."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip
from textures import make_texture

from livestyle.artifacts import load_model
from livestyle.cli import main
from livestyle.pictures import read_mask, read_picture, write_picture

STYLES = load_model().styles
SIZE = (160, 96)


@pytest.fixture(autouse=True)
def given_picture(own_folder: None, own_log: None) -> None:
    """A working folder of the test's own with a picture in it, and the log as it was."""
    write_picture(Path("in.png"), make_texture(*SIZE, seed=1))


def run(*arguments: str, verb: str = "stylize") -> int:
    with pytest.raises(SystemExit) as exit_:
        main([verb, *arguments])
    return int(exit_.value.code or 0)


def paint(*arguments: str) -> np.ndarray:
    assert run("in.png", "out.png", *arguments) == 0
    return read_picture(Path("out.png")).astype(int)


def gap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def test_a_mask_picture_says_where_a_style_shows() -> None:
    mask = np.zeros((480, 800), np.uint8)  # of another size
    mask[:, 500:] = 255
    cv2.imwrite("here.png", mask)
    one, other = paint("--style", STYLES[0]), paint("--style", STYLES[1])
    both = paint("--style", STYLES[0], "--region", f"here.png={STYLES[1]}")
    assert gap(both[:, :80], one[:, :80]) < 0.1 * gap(other[:, :80], one[:, :80])
    assert gap(both[:, 120:], other[:, 120:]) < 0.1 * gap(other[:, 120:], one[:, 120:])


def test_shapes_and_pictures_together_in_their_order() -> None:
    cv2.imwrite("everywhere.jpg", np.full((8, 8), 255, np.uint8))
    regions = ["--region", f"left={STYLES[1]}", "--region", f"0,0,1,0.5={STYLES[0]}:0.5,{STYLES[1]}:0.5"]
    several = paint("--style", STYLES[0], *regions)
    assert gap(several, paint("--style", STYLES[0])) > 1.0
    covered = paint("--style", STYLES[0], *regions, "--region", f"everywhere.jpg={STYLES[-1]}")
    assert gap(covered, paint("--style", STYLES[-1])) < 0.5


def test_kept_colours_of_a_grey_picture_are_grey() -> None:
    grey = np.repeat(make_texture(*SIZE, seed=1)[..., :1], 3, axis=2)
    write_picture(Path("in.png"), grey)
    assert np.ptp(paint("--keep-colors"), axis=2).max() <= 2
    assert np.ptp(paint(), axis=2).max() > 20


def test_a_video_is_painted_in_regions() -> None:
    make_clip(Path("in.mp4"), frames=6)
    assert run("in.mp4", "frames/", "--style", STYLES[0], "--region", f"right={STYLES[1]}", "--keep-colors") == 0
    assert len(list(Path("frames").iterdir())) == 6


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("missing.png=", "cannot open missing.png: no such file"),
        ("folder/=", "folder is a folder"),
        ("text.png=", "not a picture"),
        ("lft=", "did you mean 'left'"),
        ("0.5,0.5,0.6,0.1=", "leaves the picture"),
    ],
)
def test_a_bad_mask_is_one_line(capfd: pytest.CaptureFixture[str], region: str, words: str) -> None:
    Path("text.png").write_text("no picture")
    Path("folder").mkdir()
    assert run("in.png", "out.png", "--region", region + STYLES[0]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert words in err
    assert not Path("out.png").exists()


@pytest.mark.parametrize(("region", "words"), [("left=udnei", "did you mean"), ("left", "MASK=STYLE"), ("=", "mask")])
def test_a_bad_region_is_one_line(capfd: pytest.CaptureFixture[str], region: str, words: str) -> None:
    assert run("in.png", "out.png", "--region", region) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_a_mask_is_bright_or_opaque() -> None:
    mask = np.zeros((10, 12), np.uint8)
    mask[:, 6:] = 255
    cv2.imwrite("grey.png", mask)
    cut_out = np.dstack([make_texture(12, 10, seed=1), mask])
    cv2.imwrite("cut out.png", cut_out)
    cv2.imwrite("solid.png", np.dstack([mask, mask, mask, np.full_like(mask, 255)]))
    cv2.imwrite("deep.png", mask.astype(np.uint16) * 257)
    for name in ("grey.png", "cut out.png", "solid.png", "deep.png"):
        read = read_mask(Path(name))
        assert read.dtype == np.float32
        assert np.array_equal(read, mask / np.float32(255)), name


def test_live_takes_the_same_regions(capfd: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite("mask.png", np.full((8, 8), 255, np.uint8))
    options = ["--source", "scene", "--sink", "null", "--size", "160x96", "--frames", "5", "--keep-colors"]
    options += ["--morph", "0", "--region", f"left={STYLES[1]}", "--region", f"mask.png={STYLES[2]}"]
    assert run(*options, verb="live") == 0, capfd.readouterr().err
    assert "unpainted" not in capfd.readouterr().err
    assert run(*options, "--region", f"missing.png={STYLES[1]}", verb="live") == 2
    assert "cannot open missing.png" in capfd.readouterr().err
