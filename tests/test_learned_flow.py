"""The flow network that is shipped: known motion is found, the last answer helps, and the painter uses it."""

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
import pytest
from textures import make_frame, make_texture

from livestyle.artifacts import Model, load_model
from livestyle.backends import open_backend
from livestyle.controls import Controls
from livestyle.errors import ConfigError
from livestyle.evaluate.stability import sampled
from livestyle.live.flow import STRIDE, FlowEstimator, Motion
from livestyle.live.learned_flow import LearnedFlow
from livestyle.live.stylizer import Stylizer
from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource

SIZE = (640, 360)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def wide() -> Pixels:
    return SceneSource(1280, 720, live=False).scene_frame(0)


@pytest.fixture
def flow(model: Model) -> Iterator[LearnedFlow]:
    backend = open_backend("openvino", model, *SIZE)
    yield LearnedFlow(backend, backend.load("flow"))
    backend.close()


def follow(flow: LearnedFlow, *frames: Pixels) -> Motion:
    """The motion between the last two of some frames, each pair found in turn."""
    views = [FlowEstimator().view(frame) for frame in frames]
    return [flow.motion(*pair)[0] for pair in pairwise(views)][-1]


def window(picture: Pixels, x: int, y: int) -> Pixels:
    return np.ascontiguousarray(picture[y : y + 360, x : x + 640])


@pytest.mark.parametrize("shift", [(2, 1), (12, -4), (-26, 10)])
def test_a_known_shift_is_found(flow: LearnedFlow, wide: Pixels, shift: tuple[int, int]) -> None:
    x, y = shift
    motion = follow(flow, window(wide, 200, 100), window(wide, 200 + x, 100 + y))
    inner = motion.flow[12:-12, 12:-12].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx((x / STRIDE, y / STRIDE), abs=0.1)
    assert motion.confidence[12:-12, 12:-12].mean() > 0.8


def test_the_last_motion_helps(flow: LearnedFlow, wide: Pixels) -> None:
    """A pan too fast to be found at once."""
    frames = [window(wide, 20 + 96 * n, 100) for n in range(6)]
    flow.forget()
    fresh = follow(flow, *frames[-2:])
    flow.forget()
    going_on = follow(flow, *frames)
    errors = [np.linalg.norm(each.flow[12:-12, 12:-36] - (24.0, 0.0), axis=2).mean() for each in (fresh, going_on)]
    assert errors[1] < 0.7 * errors[0]


def test_a_still_picture_does_not_move(flow: LearnedFlow, wide: Pixels) -> None:
    motion = follow(flow, window(wide, 200, 100), window(wide, 200, 100))
    assert np.percentile(np.abs(motion.flow), 95) < 0.02
    assert motion.confidence[4:-4, 4:-4].mean() > 0.9
    assert motion.confidence[:2].max() == 0.0  # the margin is no part of the picture


@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_motion_of_the_scene_is_found_and_what_was_hidden_is_doubted(flow: LearnedFlow, noise: float) -> None:
    scene = SceneSource(*SIZE, live=False, noise=noise)
    for start in (40, 300):
        flow.forget()
        motion = follow(flow, *(scene.scene_frame(start + n) for n in range(0, 9, 4)))
        exact, visible = scene.scene_flow(start + 8, start + 4)
        size = exact.shape[1] // STRIDE, exact.shape[0] // STRIDE
        truth = cv2.resize(exact, size, interpolation=cv2.INTER_AREA) / STRIDE
        seen = cv2.resize(visible.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        error = np.linalg.norm(motion.flow - truth, axis=2)[seen > 0.99]
        assert np.median(error) < 0.15
        assert error.mean() < 0.5 * np.linalg.norm(truth, axis=2)[seen > 0.99].mean()
        inner = np.s_[4:-4, 4:-4]
        confidence, seen = motion.confidence[inner], seen[inner]
        assert confidence[seen > 0.99].mean() > confidence[seen < 0.2].mean() + 0.2


def test_the_painter_is_steadied_by_it(model: Model) -> None:
    texture = make_texture(400, 160, seed=3)
    random = np.random.default_rng(0)
    controls = Controls((("scream", 1.0),))
    flicker = {}
    for name, coherence in (("alone", False), ("learned", True)):
        stylizer = Stylizer(model, flow="learned", precision="f32")
        painted = []
        for n in range(6):
            frame = texture[:, 5 * n : 5 * n + 320].astype(np.float32) + 5.0 * random.standard_normal((160, 320, 3))
            frame = make_frame(np.clip(frame, 0, 255).astype(np.uint8), n)
            kind = Controls(controls.mix, coherence=coherence)
            painted.append(stylizer.paint(frame, kind).pixels.astype(np.float32))
        shift = np.full((160, 320, 2), (5.0, 0.0), np.float32)
        pairs = pairwise(painted[2:])
        flicker[name] = np.mean([np.abs(sampled(then, shift) - now)[8:-8, 8:-16].mean() for then, now in pairs])
        stylizer.close()
    assert flicker["learned"] < 0.6 * flicker["alone"]


def test_an_unknown_kind_of_flow_names_the_nearest(model: Model) -> None:
    with pytest.raises(ConfigError, match="did you mean 'learned'"):
        Stylizer(model, flow="learnt")
