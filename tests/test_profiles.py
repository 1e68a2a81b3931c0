"""Profile ``studio``: the published shape behind the same code, from training to a painted picture."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from textures import make_frame, make_texture

from livestyle.artifacts import Model, load_model
from livestyle.backends import open_backend
from livestyle.cli import main
from livestyle.controls import Controls
from livestyle.errors import ConfigError, ModelError
from livestyle.live.stylizer import Stylizer
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.graphs import GRAPHS, make_examples
from livestyle.model.profiles import PROFILES, STUDIO, Profile, find_profile
from livestyle.train.trainer import Run, TrainConfig

SIZE = (104, 72)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    photos, paintings = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("paintings")
    for index in range(2):
        cv2.imwrite(str(photos / f"{index}.png"), make_texture(120, 96, index))
    cv2.imwrite(str(paintings / "reed.png"), make_texture(80, 96, 10))
    return photos, paintings


@pytest.fixture(scope="module")
def engines(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that holds a ``studio`` one, after four steps of training."""
    base = tmp_path_factory.mktemp("base")
    photos, paintings = map(str, folders)
    learn = ["train", "--profile", "studio", "--photos", photos, "--paintings", paintings]
    for arguments in (
        [*learn, "--steps", "4", "--batch", "1", "--crop", "64", "--out", str(base / "run")],
        ["export", str(base / "run"), "--out", str(base / "engines" / "studio")],
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 0
    return base / "engines"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_profile_is_what_it_says(profile: Profile) -> None:
    network = StyleBankNetwork(["reed"], profile)
    side = 2 * profile.multiple * profile.stride
    features = network.encoder(torch.rand(1, 3, side, side))
    assert features.shape == (1, profile.channels, side // profile.stride, side // profile.stride)
    assert float(features.detach().min()) >= 0.0
    painted = network.paint(torch.rand(1, 3, side, side), ["reed"])
    assert painted.shape == (1, 3, side, side)
    assert find_profile(profile.name) is profile


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_the_border_reaches_no_further_than_the_profile_says(profile: Profile) -> None:
    """The same picture, cut narrower: what lies more than ``reach`` pixels inside is painted from the same pixels."""
    torch.manual_seed(0)
    network = StyleBankNetwork([], profile).eval()
    wide = torch.rand(1, 3, 160, 160)
    cut = 2 * profile.multiple
    with torch.no_grad():
        whole = network.reconstruct(wide)[..., cut:-cut, cut:-cut]
        part = network.reconstruct(wide[..., cut:-cut, cut:-cut])
    inside = slice(profile.reach, -profile.reach)
    assert torch.allclose(whole[..., inside, inside], part[..., inside, inside], atol=1e-5)
    assert not torch.allclose(whole, part, atol=1e-5)


def test_an_unknown_profile() -> None:
    with pytest.raises(ConfigError, match="did you mean 'studio'"):
        find_profile("studi")
    with pytest.raises(ConfigError, match="known: live"):
        load_model("nowhere")


def test_signals_keep_their_size_through_the_published_shape() -> None:
    torch.manual_seed(1)
    network = StyleBankNetwork([], STUDIO)
    with torch.no_grad():
        features = network.encoder(torch.rand(1, 3, 64, 64))
        picture = network.decoder(features)
    assert 0.1 < float(features.std()) < 10.0
    assert math.isfinite(float(picture.std()))
    assert 0.02 < float(picture.std()) < 0.49


@pytest.mark.slow
def test_studio_is_trained_exported_and_painted_with(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVESTYLE_ENGINES", str(engines))
    model = load_model("studio")
    assert (model.manifest.profile, model.manifest.channels) == ("studio", 128)
    assert model.bank_bytes("reed") == pytest.approx(590_000, rel=0.01)
    frame = make_frame(make_texture(96, 64, 1))
    pictures = [
        Stylizer(model, backend=name, precision="f32").paint(frame, Controls((("reed", 1.0),))).pixels.astype(int)
        for name in ("reference", "openvino")
    ]
    assert pictures[0].shape == (64, 96, 3)
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    with pytest.raises(ConfigError, match="known: studio"):
        load_model()


@pytest.mark.slow
@pytest.mark.parametrize("graph", GRAPHS)
def test_studio_graphs_equal_the_reference(engines: Path, graph: str) -> None:
    model = Model(engines / "studio")
    arrays = make_examples(*SIZE, torch.Generator().manual_seed(0), STUDIO)[graph]
    outputs = []
    for name in ("reference", "openvino"):
        backend = open_backend(name, model, *SIZE, precision="f32")
        given = {key: backend.upload(value.numpy()) for key, value in arrays.items()}
        outputs.append(backend.download(backend.load(graph)(**given)[GRAPHS[graph].output]).astype(np.float64))
    assert np.abs(outputs[0] - outputs[1]).max() <= (1.0 if graph == "decode" else 1e-3)


@pytest.mark.slow
def test_a_picture_is_painted_by_profile(
    engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVESTYLE_ENGINES", str(engines))
    cv2.imwrite(str(tmp_path / "photo.png"), make_texture(96, 64, 1))
    for profile, code in (("studio", 0), ("live", 2)):
        with pytest.raises(SystemExit) as exit_:
            main(["stylize", str(tmp_path / "photo.png"), str(tmp_path / f"{profile}.png"), "--profile", profile])
        assert (exit_.value.code or 0) == code
    assert (tmp_path / "studio.png").is_file()
    assert "unknown profile 'live'" in capsys.readouterr().err


@pytest.mark.slow
def test_profiles_are_not_mixed(engines: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos, paintings = map(str, folders)
    live = TrainConfig(photos=photos, styles=paintings, names=("reed",), steps=1)
    with pytest.raises(ConfigError, match="of another profile than 'live'"):
        Run(tmp_path / "new", live, vgg=None, initial=engines / "studio")
    with pytest.raises(ConfigError, match="is of profile studio"):
        Run(engines.parent / "run", live, vgg=None, initial=None)
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.safetensors").write_bytes((engines / "studio" / "banks" / "reed.safetensors").read_bytes())
    model = Model(load_model().folder, own)
    with pytest.raises(ConfigError, match="unknown style 'mine'"):
        model.read_kernel("mine")
    (own / "mine.safetensors").unlink()
    with pytest.raises(ModelError, match="no model in"):
        Model(own)
