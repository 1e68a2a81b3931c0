"""`livestyle evaluate stability` on a small clip: what it measures, what it writes, what it refuses."""

from fractions import Fraction
from math import isnan
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from textures import make_texture

from livestyle.artifacts import load_model
from livestyle.cli import main
from livestyle.errors import ConfigError
from livestyle.evaluate.drift import evaluate_drift
from livestyle.evaluate.footage import fit_frame, open_footage
from livestyle.evaluate.occlusion import TILE, cut_occlusion, find_occlusion
from livestyle.evaluate.stability import Pair, hidden_pixels
from livestyle.evaluate.steadiness import ALONE, INPUT, OURS, evaluate_stability
from livestyle.media import Frame, StreamInfo
from livestyle.sinks import open_sink

FRAMES = 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A texture that drifts by a pixel and a half a frame."""
    path = tmp_path_factory.mktemp("clips") / "drift.mp4"
    plane = cv2.resize(make_texture(240, 120, seed=3), (480, 240), interpolation=cv2.INTER_CUBIC)
    sink = open_sink(str(path), StreamInfo(160, 96, Fraction(30), live=False))
    for n in range(FRAMES):
        shift = np.array([[1.0, 0.0, -40 - 1.5 * n], [0.0, 1.0, -30.0]])
        pixels = cv2.warpAffine(plane, shift, (160, 96)).astype(np.uint8)
        sink.write(Frame(pixels, n, n, Fraction(1, 30), n / 30))
    sink.close()
    return path


def test_a_clip_is_measured(clip: Path, tmp_path: Path) -> None:
    model = load_model()
    rows = evaluate_stability(str(clip), model=model, out=tmp_path, count=FRAMES, styles=(model.styles[0],))
    assert [row.method for row in rows] == [INPUT, ALONE, OURS]
    floor, alone, ours = rows
    assert floor.e_warp[0] < alone.e_warp[0]
    assert ours.removed[0] > 0.5
    assert ours.e_warp[0] < alone.e_warp[0]
    assert len(ours.over_time) == FRAMES - 1
    assert np.mean(ours.over_time) == pytest.approx(ours.e_warp[0])
    assert ours.distance > 0
    assert isnan(alone.distance)
    assert isnan(ours.style_loss)
    text = (tmp_path / "stability.md").read_text()
    assert f"{ours.e_warp[0]:.5f}" in text
    assert cv2.imread(str(tmp_path / "stability.png")).shape[0] > 100
    with av.open(str(tmp_path / "stability.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES
    assert cv2.imread(str(tmp_path / "occlusion.png")).shape[0] > 4 * TILE


def test_the_place_that_comes_into_view_is_found() -> None:
    """What the boat of the rendered scene uncovers, whose occlusions are exact."""
    (clip,) = open_footage("scene", 12)
    frame, top, left = find_occlusion(clip)
    place = (slice(top, top + TILE), slice(left, left + TILE))
    assert clip.hidden[frame - 1][place].mean() > 2 * clip.hidden[frame - 1].mean()
    ((name, tile),) = cut_occlusion(clip, [("input", clip.frames)], (1,))[0]
    assert name == "input"
    assert np.array_equal(tile, clip.frames[frame + 1][place])


def test_clips_of_different_small_sizes_share_a_sheet(clip: Path, tmp_path: Path) -> None:
    small = tmp_path / "clips" / "small.mp4"
    small.parent.mkdir()
    sink = open_sink(str(small), StreamInfo(128, 80, Fraction(30), live=False))
    for n in range(FRAMES):
        sink.write(Frame(make_texture(128, 80, seed=n).astype(np.uint8), n, n, Fraction(1, 30), n / 30))
    sink.close()
    (small.parent / clip.name).write_bytes(clip.read_bytes())
    evaluate_stability(str(small.parent), model=load_model(), out=tmp_path / "out", count=FRAMES, styles=("scream",))
    assert cv2.imread(str(tmp_path / "out" / "occlusion.png")).shape[0] > 8 * TILE


def test_the_verb_prints_a_table(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--frames", str(FRAMES), "--style", "scream", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "stability", str(clip.parent), *arguments])
    assert exit_.value.code == 0
    assert "drift: scream" in capsys.readouterr().out
    assert (tmp_path / "out" / "stability.md").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"count": 3}, "at least 7"),
        ({"styles": ("screem",)}, "did you mean 'scream'"),
        ({"noise": 5.0}, "for the scene"),
        ({"every": 0}, "at least 1"),
        ({"lite": True}, "--paintings"),
    ],
)
def test_bad_input(clip: Path, tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        evaluate_stability(str(clip), model=load_model(), out=tmp_path, **{"count": FRAMES, **changes})  # type: ignore[arg-type]


def test_a_folder_without_videos(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no videos"):
        open_footage(str(tmp_path), FRAMES)


@pytest.mark.parametrize(
    ("size", "fitted"), [((640, 640), (640, 360)), ((1920, 1080), (640, 360)), ((160, 96), (160, 88))]
)
def test_the_middle_is_taken(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit_frame(np.zeros((size[1], size[0], 3), np.uint8)).shape == (fitted[1], fitted[0], 3)


def test_the_scene_tells_what_it_uncovers() -> None:
    (scene,) = open_footage("scene", 7)
    assert len(scene.hidden) == 6
    assert 0 < np.mean(scene.hidden) < 0.05


def test_what_leaves_the_picture_is_not_hidden() -> None:
    flow = np.full((20, 30, 2), (5.0, 0.0), np.float32)
    visible = np.ones((20, 30), bool)
    visible[:, 25:] = False
    visible[5:9, 5:9] = False
    hidden = hidden_pixels(Pair(flow, visible))
    assert hidden[5:9, 5:9].all()
    assert hidden.sum() == 16


def test_dropped_frames_are_skipped_and_their_motion_is_longer() -> None:
    (whole,), (dropped,) = open_footage("scene", 13), open_footage("scene", 7, every=2)
    assert all(np.array_equal(a, b) for a, b in zip(whole.frames[::2], dropped.frames, strict=True))
    length = [np.abs(clip.pairs[1][0].flow).mean() for clip in (whole, dropped)]
    assert length[1] == pytest.approx(2 * length[0], rel=0.1)


def test_a_still_scene_neither_flickers_nor_drifts(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate_drift(load_model(), style="scream", frames=140)
    assert found.ratio < 1 / 3
    assert found.shift < 1.0
    with pytest.raises(ConfigError, match="at least 130"):
        evaluate_drift(load_model(), frames=20)
