"""Training the mask: sequences whose motion is exact, losses that know a ghost, runs that resume and are exported."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from textures import make_frame, make_texture

from livestyle.artifacts import Model, find_engines
from livestyle.controls import Controls
from livestyle.deploy.export import export_run
from livestyle.errors import ConfigError, ModelError
from livestyle.evaluate.stability import sampled
from livestyle.live.stylizer import Stylizer
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.flow import FlowNetwork
from livestyle.model.motion import MaskNetwork, MotionNetworks
from livestyle.train.flow import Examples, measure_flow, turn
from livestyle.train.motion import MotionConfig, MotionRun, measure_sequence, train_motion
from livestyle.train.sequences import Moving, draw_layers, follow_layers

SHIPPED = find_engines() / "live"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), make_texture(420, 400, index))
    return folder


def make_config(photos: Path, **changes: object) -> MotionConfig:
    settings = {"photos": str(photos), "start": str(SHIPPED), "names": ("scream",), "crop": 96}
    settings |= {"flow_steps": 2, "steps": 3}
    return MotionConfig(**{**settings, **changes})  # type: ignore[arg-type]


def draw(seed: int, count: int = 4) -> Moving:
    pictures = [make_texture(420, 400, index) for index in range(4)]
    return draw_layers(pictures, 96, count, np.random.default_rng(seed))


def test_the_motion_of_layers_is_exact() -> None:
    apart, unmoved = [], []
    for seed in range(8):
        moving = draw(seed)
        flow, visible = moving.motion(3, 0)
        inner = visible & ~cv2.dilate((~visible).astype(np.uint8), np.ones((5, 5))).astype(bool)
        assert flow.shape == (96, 96, 2)
        fetched = sampled(moving.frames[0].astype(np.float32), flow)
        apart.append(np.abs(fetched - moving.frames[3])[inner].mean())
        unmoved.append(np.abs(moving.frames[0].astype(float) - moving.frames[3])[inner].mean())
    assert np.mean(apart) < 0.4 * np.mean(unmoved)  # what is left is noise and light


def test_what_a_layer_covers_is_hidden() -> None:
    here, there = np.zeros((2, 20, 30), np.int32)
    here[5:10, 5:10] = 1
    there[5:10, 15:20] = 1
    shift = np.array([[1.0, 0.0, 10.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    flow, visible = follow_layers(here, there, [np.eye(3), shift])
    assert (flow[here == 1] == (10, 0)).all()
    assert (flow[here == 0] == 0).all()
    assert visible[5:10, 5:10].all()
    assert not visible[5:10, 15:20].any()
    assert visible.sum() == 20 * 30 - 25
    assert not follow_layers(here, there, [shift, shift])[1][:, 20:].any()  # has left the picture


def test_sequences_are_the_same_for_the_same_seed() -> None:
    first, second = draw(5), draw(5)
    assert all(np.array_equal(a, b) for a, b in zip(first.frames, second.frames, strict=True))
    assert not np.array_equal(first.frames[0], draw(6).frames[0])


def test_keeping_the_past_pays_where_it_is_the_same_and_costs_where_it_is_hidden() -> None:
    torch.manual_seed(0)
    network = StyleBankNetwork(["any"]).eval()
    always, never = (MaskNetwork().requires_grad_(False) for _ in range(2))
    torch.nn.init.constant_(never.decide.bias, -20.0)  # type: ignore[arg-type]
    base = make_texture(96, 96, 1).astype(float) * 0.8 + 20
    random = np.random.default_rng(0)
    noisy = [np.clip(base + random.normal(0, 12, base.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    still = (np.zeros((96, 96, 2), np.float32), np.ones((96, 96), bool))
    kept, renewed = (
        measure_sequence(network, mask, Moving(noisy, lambda *_: still), "any") for mask in (always, never)
    )
    assert float(kept["coherence"]) < 0.8 * float(renewed["coherence"])
    assert float(kept["long"]) < 0.8 * float(renewed["long"])
    gone = (still[0], np.zeros((96, 96), bool))
    kept, renewed = (measure_sequence(network, mask, Moving(noisy, lambda *_: gone), "any") for mask in (always, never))
    assert float(kept["occlusion"]) > 100 * float(renewed["occlusion"])


def test_the_examples_of_the_flow_are_exact_however_they_are_turned() -> None:
    examples = Examples([make_texture(420, 400, index) for index in range(3)], seed=4)
    for number in range(8):
        example = turn(examples.draw(number), number & 1, number & 2, number & 4)
        for n in (0, 1):
            here, there = (example.lumas[k].astype(np.float32) for k in (n + 1, n))
            apart = np.abs(sampled(there, example.flows[n].transpose(1, 2, 0)) - here)[example.shares[n] > 0.98]
            assert np.median(apart) < 8.0, number  # light and noise


def test_the_error_of_the_flow_knows_where_things_went() -> None:
    torch.manual_seed(0)
    batch = Examples([make_texture(420, 400, index) for index in range(3)], seed=4).batch(0, np.random.default_rng(0))
    zero = FlowNetwork().requires_grad_(False)
    torch.nn.init.constant_(zero.calm, 30.0)  # takes every step away
    losses = measure_flow(zero, batch)
    lengths = np.concatenate([np.linalg.norm(each.flows, axis=1)[each.shares > 0.98] for each in batch])
    assert float(losses["error"]) == pytest.approx(lengths.mean(), rel=0.3)
    assert float(measure_flow(FlowNetwork().requires_grad_(False), batch)["error"]) < 0.8 * float(losses["error"])


@pytest.mark.slow
def test_a_run_learns_to_tell_and_goes_on_exactly(photos: Path, tmp_path: Path) -> None:
    whole = MotionRun(tmp_path / "whole", make_config(photos))
    untrained = {name: value.clone() for name, value in whole.motion.state_dict().items()}
    whole.train()
    changed = {name for name, value in whole.motion.state_dict().items() if not torch.equal(value, untrained[name])}
    assert {name.partition(".")[0] for name in changed} == {"flow", "mask"}
    first = MotionRun(tmp_path / "parts", make_config(photos))
    first.advance()
    first.save()
    second = MotionRun(tmp_path / "parts", make_config(photos))  # in the middle of the flow
    assert second.step == 1
    for _ in range(2):
        second.advance()
    second.save()
    third = MotionRun(tmp_path / "parts", make_config(photos))  # in the middle of the mask
    third.train()
    for name, value in whole.motion.state_dict().items():
        assert torch.equal(value, third.motion.state_dict()[name]), name
    with pytest.raises(ConfigError, match="--resume"):
        train_motion(tmp_path / "whole", {}, resume=False)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # exporting the flow takes 35 s of one core; the default would not do on a crowded machine
def test_a_trained_mask_gets_into_the_model(photos: Path, tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "model"
    settings = {"photos": str(photos), "start": str(SHIPPED), "flow_steps": 1, "steps": 2, "names": ["scream"]}
    train_motion(run, settings, resume=False)
    shutil.copytree(SHIPPED, folder)
    before = Model(folder).manifest
    export_run(run, folder)
    model = Model(folder)
    assert model.manifest.motion_sha256 != before.motion_sha256
    assert model.manifest.graphs["flow"] != before.graphs["flow"]
    trained = {"names": ["scream"], "flow_steps": 1, "steps": 2, "seed": 1, "step": 3}
    assert model.manifest.training["motion"] == trained
    assert model.manifest.banks == before.banks
    fast, slow = (Stylizer(model, backend=name, precision="f32") for name in ("openvino", "reference"))
    for n in range(3):
        frame = make_frame(np.roll(make_texture(160, 96, seed=4), 3 * n, axis=1), n)
        pictures = [each.paint(frame, Controls((("scream", 1.0),))).pixels.astype(int) for each in (fast, slow)]
        assert np.abs(pictures[0] - pictures[1]).max() <= 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "--start and --photos"),
        ({"start": str(SHIPPED), "names": ["screem"]}, "did you mean 'scream'"),
        ({"start": str(SHIPPED), "photos": "/nowhere"}, "not a folder"),
        ({"start": str(SHIPPED), "photos": "/nowhere", "steps": -1}, "at least 0"),
        ({"start": str(SHIPPED), "photos": "/nowhere", "flow_steps": -1}, "at least 0"),
    ],
)
def test_bad_settings(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        train_motion(tmp_path / "run", settings, resume=False)
    with pytest.raises(ConfigError, match="no run to resume"):
        train_motion(tmp_path / "other", settings, resume=True)


def test_a_mask_for_another_network_is_refused(photos: Path, tmp_path: Path) -> None:
    run = MotionRun(tmp_path / "run", make_config(photos))
    run.motion = MotionNetworks(channels=12)
    run.step = run.config.flow_steps + 1  # the mask has been trained too
    run.save()
    shutil.copytree(SHIPPED, tmp_path / "model")
    with pytest.raises(ModelError, match="another network"):
        export_run(tmp_path / "run", tmp_path / "model")


def test_a_flow_alone_serves_a_network_of_any_width(photos: Path, tmp_path: Path) -> None:
    run = MotionRun(tmp_path / "run", make_config(photos))
    run.motion = MotionNetworks(channels=12)
    run.save()
    shutil.copytree(SHIPPED, tmp_path / "model")
    export_run(tmp_path / "run", tmp_path / "model")
    new, old = (safetensors.torch.load_file(Model(folder).motion_path()) for folder in (tmp_path / "model", SHIPPED))
    same = {name: torch.equal(new[name], old[name]) for name in old}
    assert all(same[name] for name in same if name.startswith("mask."))
    assert not same["flow.look.weight"]
