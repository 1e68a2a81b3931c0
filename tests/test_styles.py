"""``livestyle styles``: the table, its JSON, and the contact sheet."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from livestyle.artifacts import Kernel, load_model
from livestyle.cli import main
from livestyle.contact_sheet import ACROSS as STYLES
from livestyle.contact_sheet import CAPTION, COLUMN, GAP, HEAD, MARGIN, PAPER, TALLEST
from livestyle.elements import ACROSS, DOWN, IMPULSE, SCALE, SHOWN, answer_impulses, paint_elements
from livestyle.pictures import read_picture, write_picture


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch, own_log: None, tmp_path: Path) -> None:
    """A cache and a working folder of the test's own, and the log as it was."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of ``livestyle styles``."""
    with pytest.raises(SystemExit) as exit_:
        main(["styles", *arguments])
    return int(exit_.value.code or 0), *capfd.readouterr()


def cell(sheet: np.ndarray, column: int, top: int, width: int, height: int) -> np.ndarray:
    left = MARGIN + column * (COLUMN + GAP)
    return sheet[top : top + height, left : left + width]


def test_the_table_names_every_style(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["NAME", "PROFILE", "BYTES"]
    assert [line.split()[0] for line in lines[1:]] == load_model().styles


def test_json_has_name_profile_and_bytes(capfd: pytest.CaptureFixture[str]) -> None:
    model = load_model()
    code, out, _ = run(capfd, "--json")
    assert code == 0
    expected = [{"name": name, "profile": "live", "bytes": model.bank_bytes(name)} for name in model.styles]
    assert json.loads(out) == expected


def test_the_sheet_shows_the_scene_when_no_picture_is_given(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "--sheet", "sheet.png") == (0, "", "")
    sheet = read_picture(Path("sheet.png"))
    styles = len(load_model().styles)
    height = COLUMN * 9 // 16
    band = 2 * MARGIN + HEAD + 3 * (height + CAPTION) + 2 * GAP
    assert sheet.shape[1] == 2 * MARGIN + (1 + STYLES) * COLUMN + STYLES * GAP
    assert sheet.shape[0] == -(-styles // STYLES) * band
    for edge in (sheet[: MARGIN // 2], sheet[-MARGIN:], sheet[:, :MARGIN], sheet[:, -MARGIN:]):
        assert (edge == PAPER).all()
    for first in range(0, styles, STYLES):
        part = sheet[first // STYLES * band :][:band]
        for column in range(1 + min(STYLES, styles - first)):
            label = part[MARGIN : MARGIN + HEAD, MARGIN + column * (COLUMN + GAP) :][:, :COLUMN]
            assert (label != PAPER).any()
            for row in range(3):
                top = MARGIN + HEAD + row * (height + CAPTION + GAP)
                assert cell(part, column, top, COLUMN, height).std() > 2  # the palest style has 3


def test_the_sheet_shows_each_picture_beside_its_paintings(capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (TALLEST, COLUMN, 3), np.uint8)
    wide, tall = noise[:300], noise[:, :100]
    write_picture(Path("wide.png"), wide)
    write_picture(Path("tall, with a name that is far too long for the column that it stands in ü.png"), tall)
    code, out, err = run(capfd, "--sheet", "sheet.png", "wide.png", *map(str, Path().glob("tall*")), "--json")
    assert (code, err) == (0, "")
    assert len(json.loads(out)) == len(load_model().styles)
    sheet = read_picture(Path("sheet.png"))
    below = MARGIN + HEAD + 300 + CAPTION + GAP
    assert np.array_equal(cell(sheet, 0, MARGIN + HEAD, COLUMN, 300), wide)
    assert np.array_equal(cell(sheet, 0, below, 100, TALLEST), tall)
    assert (cell(sheet, 1, MARGIN + HEAD, COLUMN, 300) != wide).any()
    assert (cell(sheet, 0, below, COLUMN, TALLEST)[:, 100:] == PAPER).all()
    assert (sheet[below + TALLEST : below + TALLEST + CAPTION, MARGIN + COLUMN :] == PAPER).all()


def test_the_elements_are_what_each_bank_answers_to_an_impulse() -> None:
    random = np.random.default_rng(0)
    kernel = Kernel(random.random((5, 5, 3, 3), np.float32), random.random(5, np.float32))
    got = answer_impulses(kernel, 2, 3, 8)
    impulses = np.zeros((5, 16, 24), np.float32)
    for feature in range(5):
        impulses[feature, feature // 3 * 8 + 4, feature % 3 * 8 + 4] = IMPULSE
    for channel in range(5):
        parts = [cv2.filter2D(impulses[n], -1, kernel.weight[channel, n]) for n in range(5)]
        assert np.allclose(got[channel], np.sum(parts, axis=0) + kernel.bias[channel], atol=1e-5)


def test_every_style_has_elements_of_its_own() -> None:
    model = load_model()
    for style in model.styles[:2]:
        elements = paint_elements(model, style)
        assert sorted(element.feature for element in elements) == list(range(model.manifest.channels))
        strengths = [element.strength for element in elements]
        assert strengths == sorted(strengths, reverse=True)
        assert strengths[0] > 5.0
        shown = elements[0].difference
        middle, edge = np.abs(shown[12:20, 12:20]).mean(), np.abs(shown[:2]).mean()
        assert middle > 1.3 * edge  # a stroke, and it lies in the middle
    one, other = (paint_elements(model, style)[0].pixels.astype(int) for style in model.styles[:2])
    assert np.abs(one - other).mean() > 5


def test_the_sheet_of_elements(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "--elements", "elements.png") == (0, "", "")
    sheet = read_picture(Path("elements.png"))
    cell = SHOWN * load_model().manifest.stride * SCALE
    assert sheet.shape[1] == 2 * MARGIN + ACROSS * (cell + GAP) - GAP
    painted = (sheet != PAPER).all(axis=2).sum()
    assert painted > 0.95 * len(load_model().styles) * ACROSS * DOWN * cell**2
    code, _, err = run(capfd, "--elements", "none/elements.png")
    assert (code, err.count("\n")) == (1, 1)


def test_what_goes_wrong_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    write_picture(Path("a.png"), np.zeros((8, 8, 3), np.uint8))
    Path("text.png").write_text("no picture")
    for arguments, code, words in (
        (["a.png"], 2, "--sheet OUT.png"),
        (["--sheet", "sheet.mp4"], 2, "known are .png"),
        (["--sheet", "none/sheet.png"], 1, "there is no folder none"),
        (["--sheet", "sheet.png", "text.png"], 2, "not a picture"),
        (["--sheet", "sheet.png", "missing.png"], 2, "no such file"),
        (["--sheet", "a.png", "a.png"], 2, "would overwrite"),
    ):
        got, out, err = run(capfd, *arguments)
        assert (got, out, err.count("\n")) == (code, "", 1), err
        assert words in err
    assert not Path("sheet.png").exists()
