"""The rendered scene: deterministic, smooth, any size, and its flow and occlusion are true of its own pictures."""

import threading
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest

from livestyle.errors import ConfigError, SourceError
from livestyle.media import Source
from livestyle.sources.scene import SceneSource


@pytest.fixture(scope="module")
def scene() -> SceneSource:
    return SceneSource(320, 180, live=False)


def fetched(pixels: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Another frame's pixels brought to where the flow starts, float."""
    x = (flow[..., 0] + np.arange(flow.shape[1])).astype(np.float32)
    y = (flow[..., 1] + np.arange(flow.shape[0])[:, None]).astype(np.float32)
    return cv2.remap(pixels.astype(np.float32), x, y, cv2.INTER_LINEAR)


def test_is_a_source_and_counts_its_frames() -> None:
    with SceneSource(64, 48, Fraction(30000, 1001), live=False, frames=3) as scene:
        source: Source = scene
        assert source.info.fps == Fraction(30000, 1001)
        assert source.info.frames == 3
        frames = [source.read() for _ in range(4)]
    assert frames[3] is None
    first = frames[1]
    assert first is not None
    assert (first.index, first.pts, first.time_base) == (1, 1, Fraction(1001, 30000))
    assert first.pixels.shape == (48, 64, 3)
    assert first.pixels.dtype == np.uint8
    assert not first.pixels.flags.writeable


def test_same_seed_same_pictures_other_seed_others(scene: SceneSource) -> None:
    again = SceneSource(320, 180, live=False)
    for index in (0, 7, 1000):
        assert np.array_equal(scene.scene_frame(index), again.scene_frame(index))
    other = SceneSource(320, 180, live=False, seed=4)
    assert np.abs(scene.scene_frame(0).astype(int) - other.scene_frame(0)).mean() > 5


def test_noise_is_gaussian_deterministic_and_fresh_in_every_frame(scene: SceneSource) -> None:
    noisy = SceneSource(320, 180, live=False, noise=4.0)
    clean = scene.scene_frame(5).astype(float)
    grain = noisy.scene_frame(5) - clean
    inner = (clean > 20) & (clean < 235)
    assert grain[inner].std() == pytest.approx(4.0, rel=0.05)
    assert np.array_equal(noisy.scene_frame(5), noisy.scene_frame(5))
    other = noisy.scene_frame(6) - scene.scene_frame(6).astype(float)
    assert abs(np.corrcoef(grain.ravel(), other.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(("width", "height"), [(8, 8), (16, 16), (641, 359), (360, 640), (1000, 16), (3840, 2160)])
def test_any_size_is_filled_to_its_edges(width: int, height: int) -> None:
    scene = SceneSource(width, height, live=False)
    for index in (0, 31 * 30):
        picture = scene.scene_frame(index)
        assert picture.shape == (height, width, 3)
        edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert edges.max(axis=1).min() > 15  # black would be an unpainted place


def test_never_empty_and_never_jumps_over_minutes(scene: SceneSource) -> None:
    for second in range(0, 600, 7):
        first, then = (scene.scene_frame(second * 30 + step).astype(int) for step in (0, 1))
        assert first.max(axis=2).min() > 5
        assert np.abs(first - then).mean() < 12


def test_flow_to_itself_is_zero_and_everything_is_visible(scene: SceneSource) -> None:
    flow, visible = scene.scene_flow(12, 12)
    assert flow.shape == (180, 320, 2)
    assert flow.dtype == np.float32
    assert np.abs(flow).max() < 1e-3
    assert visible.mean() > 0.95  # rounding may push border pixels out


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0), (100, 105), (700, 690), (3000, 3040)])
def test_flow_brings_the_other_frame_into_place(scene: SceneSource, first: int, second: int) -> None:
    flow, visible = scene.scene_flow(first, second)
    here, there = scene.scene_frame(first).astype(np.float32), scene.scene_frame(second)
    apart = np.abs(fetched(there, flow) - here).mean(axis=2)
    wrong = np.abs(fetched(there, -flow) - here).mean(axis=2)
    still = np.abs(there - here).mean(axis=2)
    assert np.median(apart[visible]) < 3
    assert apart[visible].mean() < 0.6 * still[visible].mean()
    assert apart[visible].mean() < 0.4 * wrong[visible].mean()
    assert apart[~visible].mean() > 3 * apart[visible].mean()


def test_flow_there_and_back_agrees_where_visible(scene: SceneSource) -> None:
    there, visible = scene.scene_flow(50, 56)
    back, _ = scene.scene_flow(56, 50)
    x = (there[..., 0] + np.arange(320)).astype(np.float32)
    y = (there[..., 1] + np.arange(180)[:, None]).astype(np.float32)
    returned = np.linalg.norm(there + cv2.remap(back, x, y, cv2.INTER_LINEAR), axis=2)
    assert returned[visible].max() < 0.01
    assert returned[~visible].mean() > 100 * returned[visible].mean()


def test_things_hide_and_leave(scene: SceneSource) -> None:
    _, near = scene.scene_flow(0, 1)
    _, far = scene.scene_flow(0, 60)
    assert 0.001 < (~near).mean() < 0.1
    assert (~far).mean() > 2 * (~near).mean()


def test_a_frame_shows_its_moment_whatever_the_rate(scene: SceneSource) -> None:
    fast = SceneSource(320, 180, 60, live=False)
    assert np.array_equal(scene.scene_frame(10), fast.scene_frame(20))


def test_live_frames_come_in_time_and_late_readers_miss_some() -> None:
    with SceneSource(64, 36, 20, live=True) as scene:
        started = time.monotonic()
        indices = [frame.index for _ in range(5) if (frame := scene.read())]
        assert time.monotonic() - started >= indices[-1] / 20 - 0.001
        assert indices == sorted(set(indices))
        until = time.monotonic() + 0.3
        while time.monotonic() < until:  # a reader that is busy with something else
            scene.scene_frame(0)
        late = scene.read()
        assert late is not None
        assert late.index > indices[-1] + 2


def test_interrupt_ends_a_waiting_read() -> None:
    scene = SceneSource(64, 36, Fraction(1, 10), live=True)
    assert scene.read() is not None
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(scene.read()), name="reader")
    reader.start()
    scene.interrupt()
    reader.join(1.0)
    assert not reader.is_alive()
    assert got == [None]
    assert scene.read() is None


def test_closes_twice_and_refuses_to_read_afterwards() -> None:
    scene = SceneSource(64, 36)
    scene.close()
    scene.close()
    with pytest.raises(SourceError, match="closed"):
        scene.read()


@pytest.mark.parametrize(
    "wrong", [{"width": 4}, {"height": 9000}, {"fps": 0}, {"fps": 5000}, {"seed": -1}, {"noise": -1.0}, {"frames": -1}]
)
def test_what_cannot_be_shown_is_refused_in_one_line(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as refused:
        SceneSource(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
