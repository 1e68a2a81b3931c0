"""The article's two experiments, on a few small frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from textures import make_texture

from livestyle.artifacts import load_model
from livestyle.errors import ConfigError
from livestyle.evaluate import composition, transfer
from livestyle.evaluate.composition import LEVELS, evaluate_composition, load_networks, resample, run_network
from livestyle.evaluate.footage import Footage
from livestyle.evaluate.johnson import JohnsonNetwork
from livestyle.evaluate.stability import Pair
from livestyle.evaluate.steadiness import ALONE
from livestyle.evaluate.transfer import SHIPPED, UNTRAINED, evaluate_transfer
from livestyle.model.motion import MotionNetworks
from livestyle.train.checkpoint import save_checkpoint

FRAMES = 7


@pytest.fixture(autouse=True)
def footage(monkeypatch: pytest.MonkeyPatch) -> Footage:
    """A noisy still plane, small enough to be painted at nine levels."""
    random = np.random.default_rng(0)
    base = make_texture(96, 64, 3).astype(float) * 0.8 + 20
    frames = [np.clip(base + random.normal(0, 4, base.shape), 0, 255).astype(np.uint8) for _ in range(FRAMES)]
    still = Pair(np.zeros((64, 96, 2), np.float32), np.ones((64, 96), bool))
    hidden = [np.zeros((64, 96), bool) for _ in range(FRAMES - 1)]
    hidden[4][20:40, 30:50] = True
    clip = Footage("still", frames, {step: [still] * (FRAMES - step) for step in (1, 5)}, hidden)
    for module in (composition, transfer):
        monkeypatch.setattr(module, "open_footage", lambda *_: [clip])
    return clip


@pytest.mark.parametrize("level", ["", *LEVELS])
def test_the_levels_make_up_the_network(level: str) -> None:
    network, _ = load_networks(load_model())
    picture = torch.rand(1, 3, 64, 96)
    seen: list[torch.Size] = []

    def look(here: torch.Tensor) -> torch.Tensor:
        seen.append(here.shape)
        return here

    with torch.inference_mode():
        painted = run_network(network, picture, "scream", level, look)
        assert torch.allclose(painted, network.paint(picture, ["scream"]), atol=1e-5)
    assert len(seen) == (1 if level else 0)


def test_resampling_moves_by_the_flow_at_any_size() -> None:
    picture = torch.rand(1, 2, 32, 48)
    flow = torch.zeros(1, 2, 8, 12)
    flow[:, 0] = 1.0  # of a quarter of the size: 4 pixels
    assert torch.allclose(resample(picture, flow)[..., :-6], picture[..., 4:-2], atol=1e-4)


def test_every_level_is_measured(tmp_path: Path) -> None:
    rows = evaluate_composition("still", model=load_model(), out=tmp_path, styles=("scream",))
    by_level = {row.method: row for row in rows}
    assert set(LEVELS) < set(by_level)
    assert by_level["output image"].e_warp[0] < 0.4 * by_level[ALONE].e_warp[0]
    assert all(by_level[level].distance > 0 for level in LEVELS)
    assert "decoder, half size" in (tmp_path / "composition.md").read_text()
    assert cv2.imread(str(tmp_path / "composition.png")) is not None


def write_run(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    never = MotionNetworks()
    torch.nn.init.constant_(never.mask.decide.bias, -20.0)  # type: ignore[arg-type]
    save_checkpoint(folder / "checkpoint.pt", {"motion": never.state_dict(), "config": {"names": names}})
    return folder


def test_masks_are_tried_on_every_painter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = JohnsonNetwork()
    layers = [*network.first, *network.residuals, *network.last]
    tensors = [tensor for layer in layers for tensor in (layer.weight.permute(2, 3, 1, 0), layer.shift, layer.scale)]
    np.savez(tmp_path / "scream.npz", **{f"Variable_{n}" if n else "Variable": t for n, t in enumerate(tensors)})
    run = write_run(tmp_path / "never", ["udnie"])
    rows = evaluate_transfer("still", [run], model=load_model(), out=tmp_path, styles=("scream",), johnson=tmp_path)
    by_name = {row.method: row for row in rows}
    for painter in ("livestyle", "Johnson"):
        alone = by_name[f"{painter}, frame by frame"].e_warp[0]
        assert by_name[f"{painter}, mask: {UNTRAINED}"].e_warp[0] < 0.4 * alone
        assert by_name[f"{painter}, mask: {SHIPPED}"].e_warp[0] < 0.8 * alone
        assert by_name[f"{painter}, mask: never (udnie)"].e_warp[0] == pytest.approx(alone, rel=0.02)
    assert "never (udnie)" in (tmp_path / "transfer.md").read_text()


def test_another_kind_of_run_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.pt", {"network": {}, "config": {}})
    with pytest.raises(ConfigError, match="train-motion"):
        evaluate_transfer("still", [tmp_path], model=load_model(), out=tmp_path)
