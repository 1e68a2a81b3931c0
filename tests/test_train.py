"""Training: losses with known answers, runs that resume exactly, and bad input in one line.

The judge is the real VGG-16; photos and paintings are drawn by the test and runs are a few steps long.
"""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch
from disks import full_disk
from textures import make_frame, make_texture

from livestyle.artifacts import Model
from livestyle.controls import Controls
from livestyle.deploy.export import export_run
from livestyle.errors import ConfigError, ModelError
from livestyle.live.stylizer import Stylizer
from livestyle.model.bank import StyleBankNetwork, apply_bank
from livestyle.model.profiles import LIVE, STUDIO, Profile
from livestyle.train.checkpoint import load_checkpoint, save_checkpoint
from livestyle.train.data import Crops, load_photos, split_photos
from livestyle.train.dormant import SELDOM, measure_openness, revive
from livestyle.train.losses import STYLE_TAPS, gram, measure_content, measure_grid, measure_style
from livestyle.train.soap import Soap
from livestyle.train.stylebank import balance_gradient, measure_gradient, measure_reconstruction, shared_parameters
from livestyle.train.trainer import Run, TrainConfig, plot_curves, train
from livestyle.train.vgg import VGG16, load_vgg


@pytest.fixture(scope="module")
def vgg() -> VGG16:
    return load_vgg()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    photos, paintings = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("paintings")
    for index in range(3):
        cv2.imwrite(str(photos / f"{index}.png"), make_texture(120, 96, index))
    for index, name in enumerate(("reed", "stone")):
        cv2.imwrite(str(paintings / f"{name}.png"), make_texture(80, 96, 10 + index))
    return photos, paintings


def make_config(folders: tuple[Path, Path], **changes: object) -> TrainConfig:
    photos, paintings = folders
    settings = {"photos": str(photos), "styles": str(paintings), "names": ("reed", "stone"), "steps": 6, "batch": 2}
    return TrainConfig(**{**settings, "crop": 64, "sample_every": 3, **changes})  # type: ignore[arg-type]


def test_gram_is_per_picture() -> None:
    features = torch.rand(3, 5, 4, 6)
    batch = gram(features)
    assert batch.shape == (3, 5, 5)
    for n in range(3):
        flat = features[n].reshape(5, 24)
        assert torch.allclose(batch[n], flat @ flat.T / (5 * 24), atol=1e-6)


def test_losses_are_zero_for_the_thing_itself_and_one_for_nothing(vgg: VGG16) -> None:
    picture = torch.rand(1, 3, 64, 64)
    features = vgg(picture, STYLE_TAPS)
    targets = {tap: gram(features[tap]) for tap in STYLE_TAPS}
    assert float(measure_content(features["relu3_3"], features["relu3_3"])) == 0.0
    assert float(measure_style(features, targets)) == 0.0
    nothing = {tap: torch.zeros_like(value) for tap, value in features.items()}
    assert float(measure_content(nothing["relu3_3"], features["relu3_3"])) == pytest.approx(1.0)
    assert float(measure_style(nothing, targets)) == pytest.approx(len(STYLE_TAPS))


def test_grid_tells_a_checkerboard_from_strokes() -> None:
    strokes = torch.from_numpy(make_texture(128, 128, 5)).permute(2, 0, 1)[None] / 255.0
    board = strokes.clone()
    board[..., ::2, ::2] += 0.05
    assert float(measure_grid(board)) > 10 * float(measure_grid(strokes))


def test_vgg_is_the_original(vgg: VGG16) -> None:
    first = vgg.convolutions[0].bias
    assert first is not None
    assert first[:3].tolist() == pytest.approx([0.73429835, 0.09340367, 0.06775674])
    assert vgg.names[-1] == "relu5_3"


def test_auto_encoder_gradient_is_balanced() -> None:
    network = StyleBankNetwork(["reed"])
    loss, _ = measure_reconstruction(network, torch.rand(2, 3, 32, 32), ["reed"] * 2, torch.rand(2, 1, 1, 1))
    loss.backward()
    balance_gradient(network, 0.125, 2.0)
    assert measure_gradient(shared_parameters(network)) == pytest.approx(0.25, rel=1e-3)
    assert all(parameter.grad is None for parameter in network.bank.parameters())


def test_between_the_branches_is_what_the_bank_graph_gives_at_that_strength() -> None:
    network = StyleBankNetwork(["reed", "stone"])
    crops = torch.rand(2, 3, 32, 32)
    strengths = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        got = network.dissolve(crops, ["reed", "stone"], strengths.view(2, 1, 1, 1))
        for n, style in enumerate(("reed", "stone")):
            kernel = network.bank.weights[style], network.bank.biases[style]
            mixed = apply_bank(network.encoder(crops[n : n + 1]), *kernel, strengths[n : n + 1])
            torch.testing.assert_close(got[n : n + 1], network.decoder(mixed), atol=1e-5, rtol=0.0)


def test_what_lies_between_is_measured_against_the_same_share_of_photo_and_painting() -> None:
    network = StyleBankNetwork(["reed"])
    crops = torch.rand(2, 3, 32, 32)
    strengths = torch.rand(2, 1, 1, 1)
    _, terms = measure_reconstruction(network, crops, ["reed"] * 2, strengths)
    with torch.no_grad():
        wanted = (1.0 - strengths) * crops + strengths * network.paint(crops, ["reed"] * 2)
        got = network.dissolve(crops, ["reed"] * 2, strengths)
        alone = network.reconstruct(crops)
    assert float(terms["between"]) == pytest.approx(float((got - wanted).square().mean()), rel=1e-4)
    assert float(terms["reconstruction"]) == pytest.approx(float((alone - crops).square().mean()), rel=1e-4)


def test_hold_out_is_every_eighth_and_only_of_many() -> None:
    many = [Path(f"{i:03}.jpg") for i in range(80)]
    training, held_out = split_photos(many)
    assert held_out == many[::8]
    assert sorted([*training, *held_out]) == many
    assert split_photos(many[:20]) == (many[:20], [])


def test_crops_are_the_same_for_the_same_seed(folders: tuple[Path, Path]) -> None:
    photos = load_photos(sorted(folders[0].iterdir()))
    first, second = (Crops(photos, np.random.default_rng(3)).draw(3, 64) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (3, 3, 64, 64)


def test_a_ring_round_a_crop_is_the_photo_and_mirrored_beyond_it(folders: tuple[Path, Path]) -> None:
    ramp = np.broadcast_to(np.arange(384, dtype=np.float32)[None, :, None] * (255.0 / 383.0), (384, 384, 3))
    photos = [ramp.astype(np.uint8)]
    bare = Crops(photos, np.random.default_rng(3)).draw(4, 128)
    ringed = Crops(photos, np.random.default_rng(3)).draw(4, 128, ring=24)
    assert ringed.shape == (4, 3, 176, 176)
    assert (ringed[..., 24:-24, 24:-24] - bare).abs().max() < 0.02  # the same place at the same scale
    steps = (bare[..., 1:] - bare[..., :-1]).mean(dim=(1, 2, 3)).abs()
    ring = (ringed[..., 1:24] - ringed[..., :23]).mean(dim=(1, 2)).abs()
    assert torch.allclose(ring.median(dim=1).values, steps, atol=2e-3)  # it goes on, or comes back, as steeply


@pytest.mark.parametrize("profile", [LIVE, STUDIO])
def test_dormant_channels_begin_anew_and_others_stay(profile: Profile) -> None:
    torch.manual_seed(1)
    network = StyleBankNetwork(["reed", "foam"], profile)
    optimizer = Soap(network.parameters(), lr=1e-3)
    photos = list(torch.rand(2, 1, 3, 96, 96))
    for _ in range(2):  # the first gradient only begins the state
        network.paint(photos[0], ["reed"]).sum().backward()
        optimizer.step()
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    for name in profile.rectified:
        network.get_submodule(name).get_parameter("bias").data[:5] = -100.0  # closed, whatever comes in
    assert all(int((share < SELDOM).sum()) >= 5 for share in measure_openness(network, photos).values())
    assert revive(network, optimizer, photos, torch.Generator().manual_seed(1)) >= 5 * len(profile.rectified)
    anew = {id(network.get_submodule(name).get_parameter("weight")) for name in profile.rectified}
    assert not anew & {id(parameter) for parameter in optimizer.state}
    assert optimizer.state[network.bank.weights["reed"]]["steps"] == 1
    opened = measure_openness(network, photos)
    for name in profile.rectified:
        assert int((opened[name][:5] > 0.05).sum()) >= 4, name
        there = network.get_submodule(name).get_parameter("weight")[5:]
        same = (there == before[f"{name}.weight"][5:]).flatten(1).all(dim=1)
        assert same.float().mean() > 0.8, name
    assert revive(network, optimizer, photos, torch.Generator().manual_seed(2)) <= 2 * len(profile.rectified)


def test_a_painting_may_weigh_more_and_must_be_one_of_the_run(folders: tuple[Path, Path]) -> None:
    config = make_config(folders)
    name = config.names[0]
    assert msgspec.structs.replace(config, painting_weights={name: 2.0}).painting_weights == {name: 2.0}
    with pytest.raises(ConfigError, match=name):
        msgspec.convert(
            {**msgspec.to_builtins(config), "painting_weights": {name + "x": 2.0}}, TrainConfig, strict=False
        )


@pytest.mark.parametrize("text", ["bricks", "bricks:", "bricks:0", "bricks:much", ":2", "bricks:inf"])
def test_a_painting_weight_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "livestyle", "train", "--out", str(tmp_path), "--painting-weight", text],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "STYLE:WEIGHT" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_a_run_stopped_and_resumed_is_the_run_not_stopped(folders: tuple[Path, Path], tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole", make_config(folders), vgg=None, initial=None)
    whole.train()
    first = Run(tmp_path / "parts", make_config(folders), vgg=None, initial=None)
    while first.step < 3:
        first._advance()
    first.save()
    second = Run(tmp_path / "parts", make_config(folders), vgg=None, initial=None)
    assert second.step == 3
    second.train()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    assert sorted(p.name for p in (tmp_path / "whole" / "samples").iterdir()) == ["000003.png", "000006.png"]


@pytest.mark.slow
def test_a_run_becomes_a_model_that_paints(folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos, paintings = folders
    settings = {"photos": str(photos), "styles": str(paintings), "steps": 40, "batch": 2, "crop": 64}
    train(tmp_path / "run", settings, resume=False, start=None, vgg=None)
    with open(tmp_path / "run" / "loss.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["style"]) < float(rows[0]["style"])
    assert (tmp_path / "run" / "loss.png").stat().st_size > 1000
    _, manifest = export_run(tmp_path / "run", tmp_path / "model")
    assert list(manifest.banks) == ["reed", "stone"]
    assert b"livestyle/model" not in (tmp_path / "model" / "encode.onnx").read_bytes()  # torch's stack traces
    again = Run(tmp_path / "again", make_config(folders), vgg=None, initial=tmp_path / "model").network.state_dict()
    trained = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["network"]
    assert all(torch.equal(again[name], trained[name]) for name in trained)
    facts = msgspec.structs.replace(manifest, default="stone")
    (tmp_path / "model" / "manifest.json").write_bytes(msgspec.json.encode(facts))
    assert export_run(tmp_path / "run", tmp_path / "model")[1].default == "stone"
    frame = make_frame(make_texture(96, 64, 1))
    painted = Stylizer(Model(tmp_path / "model")).paint(frame, Controls((("stone", 1.0),)))
    assert painted.pixels.shape == frame.pixels.shape
    with pytest.raises(ConfigError, match="--resume"):
        train(tmp_path / "run", settings, resume=False, start=None, vgg=None)


def test_curves_of_a_run_that_began_without_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_text("step,minutes,content\n20,0.1,1.5\n40,0.2,1.4,0.01\n")
    plot_curves(tmp_path / "loss.csv", tmp_path / "loss.png")
    picture = cv2.imread(str(tmp_path / "loss.png"))
    assert picture is not None
    assert picture.std() > 1.0


def test_a_run_of_other_styles_is_not_resumed(folders: tuple[Path, Path], tmp_path: Path) -> None:
    Run(tmp_path, make_config(folders), vgg=None, initial=None).save()
    with pytest.raises(ConfigError, match="trains reed, stone"):
        Run(tmp_path, make_config(folders, names=("reed",)), vgg=None, initial=None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": ("reet",)}, "did you mean 'reed'"),
        ({"photos": "/nowhere"}, "not a folder"),
        ({"crop": 65}, "multiple of 8"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_bad_settings(folders: tuple[Path, Path], tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Run(tmp_path, make_config(folders, **changes), vgg=None, initial=None)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run to resume"):
        train(tmp_path, {}, resume=True, start=None, vgg=None)


def test_missing_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--photos and --paintings"):
        train(tmp_path, {}, resume=False, start=None, vgg=None)


def test_no_pictures_in_the_folder(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ConfigError, match="no pictures in"):
        Run(tmp_path / "run", make_config(folders, photos=str(tmp_path)), vgg=None, initial=None)


def test_a_tiny_painting(folders: tuple[Path, Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "dot.png"), make_texture(20, 20, 1))
    with pytest.raises(ConfigError, match="at least 64x64"):
        Run(tmp_path / "run", make_config(folders, styles=str(tmp_path), names=("dot",)), vgg=None, initial=None)


def test_a_corrupt_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ModelError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    with full_disk(tmp_path) as disk:
        path = disk / "checkpoint.pt"
        save_checkpoint(path, {"step": 1})
        with pytest.raises(ConfigError, match="previous checkpoint is untouched"):
            save_checkpoint(path, {"step": 2, "data": torch.rand(3_000_000)})
        assert load_checkpoint(path) == {"step": 1}
        assert [entry.name for entry in disk.iterdir()] == ["checkpoint.pt"]


def test_vgg_from_a_file_that_is_something_else(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "vgg.pth")
    with pytest.raises(ModelError, match="not a VGG-16 checkpoint"):
        load_vgg(tmp_path / "vgg.pth")
    with pytest.raises(ConfigError, match="give --vgg FILE"):
        load_vgg(tmp_path / "missing.pth")
