"""``livestyle add-style``: one new bank on a frozen network, kept apart from what is shipped, there at once.

The judge is the real VGG-16 and the network the shipped one; crops are small and runs a few steps long.
"""

import json
import signal
import urllib.request
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch
from disks import full_disk
from test_cli_live import BOUND, run, start, wait_line
from textures import make_frame, make_texture

from livestyle.artifacts import Model, Thumbnails, find_engines, hash_file, read_bank, write_bank
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import ConfigError, LivestyleError, SourceError
from livestyle.live.stylizer import Stylizer
from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource
from livestyle.train import content, own_style
from livestyle.train.content import capture_frames, gather_photos, read_folder
from livestyle.train.data import PHOTO_SIDE, STYLE_SIDE, load_style, to_tensor
from livestyle.train.own_style import Newcomer, add_style
from livestyle.train.vgg import VGG16, load_vgg

SHIPPED = find_engines() / "live"


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_style, "BATCH", 1)
    monkeypatch.setattr(own_style, "CROP", 64)
    monkeypatch.setattr(content, "SCENES", 1)


@pytest.fixture(scope="module")
def vgg() -> VGG16:
    return load_vgg()


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(SHIPPED, tmp_path / "own")


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    return write(tmp_path / "reed.png", make_texture(120, 96, 4))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    write(tmp_path / "photos" / "a.png", make_texture(200, 160, 1))
    return tmp_path / "photos"


def write(path: Path, picture: Pixels) -> Path:
    assert cv2.imwrite(str(path), picture)
    return path


def add(model: Model, painting: Path, photos: Path, name: str = "reed", **changes: object) -> list[str]:
    """What was said."""
    said: list[str] = []
    settings = {"minutes": 1e-6, "photos": photos, "resume": False, "vgg": None, "say": said.append}
    add_style(model, name, painting, **{**settings, **changes})  # type: ignore[arg-type]
    return said


def write_own(model: Model, name: str, **changes: str) -> None:
    """A bank of the user's, as good as the first one that is shipped."""
    facts = {"profile": "live", "autoencoder": model.manifest.autoencoder_sha256, **changes}
    write_bank(model.own.path(name), model.read_kernel(model.styles[0]), facts)
    model.own.path(name).with_suffix(".jpg").write_bytes(b"jpeg")


def hash_shipped() -> dict[str, str]:
    return {path.name: hash_file(path) for path in sorted(SHIPPED.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_only_the_new_bank_learns(model: Model, painting: Path, vgg: VGG16) -> None:
    photos = [make_texture(400, PHOTO_SIDE, seed) for seed in range(3)]
    newcomer = Newcomer(model, "reed", load_style(painting), photos, vgg)
    assert newcomer.nearest in model.styles
    first = newcomer.kernel()
    assert np.array_equal(first.weight, model.read_kernel(newcomer.nearest).weight)
    before = {name: value.clone() for name, value in newcomer.network.state_dict().items()}
    crops = torch.stack([to_tensor(photo[:256, :256]) for photo in photos])
    losses = []
    for _ in range(2):
        newcomer._take(newcomer.kernel())
        with torch.no_grad():
            painted = newcomer.network.paint(crops, ["reed"] * 3)
            losses.append(float(newcomer._judge.compare(painted, crops, ["reed"] * 3)[1].mean()))
        for step in range(40):
            newcomer.advance(step / 60)
    changed = {name for name, value in newcomer.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"bank.weights.reed", "bank.biases.reed"}
    assert losses[1] < 0.98 * losses[0]


def test_a_new_style_is_balanced_as_the_one_it_begins_as(model: Model, painting: Path, vgg: VGG16) -> None:
    arguments = (model, "reed", load_style(painting), [make_texture(200, 160, 1)], vgg)
    newcomer = Newcomer(*arguments)
    training = msgspec.convert(model.manifest.training, own_style.Weights)
    assert training.painting_weights, "the shipped network was trained with some"
    own = training.painting_weights.get(newcomer.nearest, 1.0)
    assert newcomer.style_weight == pytest.approx(training.style_weight * own)
    assert Newcomer(*arguments, 0.5).style_weight == 0.5


@pytest.mark.slow
def test_a_style_is_added_beside_what_is_shipped(model: Model, painting: Path, photos: Path) -> None:
    before = hash_shipped()
    others = {style: model.read_kernel(style).weight.copy() for style in model.styles}
    said = add(model, painting, photos)
    assert "1 photos" in said[0]
    assert model.styles[-1] == "reed"
    assert model.bank_bytes("reed") <= 160_000
    assert model.read_thumbnail("reed")[:2] == b"\xff\xd8"
    assert hash_shipped() == before
    assert all(np.array_equal(model.read_kernel(style).weight, weight) for style, weight in others.items())
    frame = make_frame(make_texture(96, 64, 1))
    painter = Stylizer(Model(SHIPPED, model.own.folder))
    pictures = [painter.paint(frame, Controls(((style, 1.0),))).pixels for style in ("reed", model.styles[0])]
    assert not np.array_equal(*pictures)


@pytest.mark.slow
def test_an_interrupted_style_can_be_used_and_gone_on_with(
    model: Model, painting: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = own_style._save
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def save_and_interrupt(*arguments: object) -> None:
        monkeypatch.setattr(own_style, "_save", save)
        save(*arguments)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(own_style, "_save", save_and_interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            add(model, painting, photos, minutes=60.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.read_kernel("reed").bias.shape == (model.manifest.channels,)
    state = own_style.load_checkpoint(model.own.path("reed").with_suffix(".pt"))
    assert state["step"] == 1
    with pytest.raises(ConfigError, match="another painting"):
        add(model, write(photos / "b.png", make_texture(80, 80, 9)), photos, resume=True, minutes=60.0)
    with pytest.raises(ConfigError, match="give more --minutes"):
        add(model, painting, photos, resume=True, minutes=state["minutes"])
    add(model, painting, photos, resume=True, minutes=state["minutes"] + 1e-6)
    assert own_style.load_checkpoint(model.own.path("reed").with_suffix(".pt"))["step"] == 2


@pytest.mark.slow
def test_a_resumed_style_draws_what_the_stopped_one_would_have(model: Model, painting: Path, vgg: VGG16) -> None:
    photos = [make_texture(400, PHOTO_SIDE, 1)]
    whole, stopped, resumed = (Newcomer(model, "reed", load_style(painting), photos, vgg) for _ in range(3))
    for step in range(4):
        whole.advance(step / 4)
    for step in range(2):
        stopped.advance(step / 4)
    resumed.resume(stopped.state())
    for step in range(2, 4):
        resumed.advance(step / 4)
    assert np.array_equal(whole.kernel().weight, resumed.kernel().weight)


def test_a_full_disk_leaves_the_last_bank(painting: Path, vgg: VGG16, tmp_path: Path) -> None:
    with full_disk(tmp_path) as disk:
        model = Model(SHIPPED, disk)
        newcomer = Newcomer(model, "reed", load_style(painting), [make_texture(400, PHOTO_SIDE, 1)], vgg)
        facts = {"profile": "live", "autoencoder": model.manifest.autoencoder_sha256, "painting": ""}
        write_bank(model.own.path("reed"), newcomer.kernel(), facts)
        (disk / "more").write_bytes(bytes(180_000))
        with pytest.raises(LivestyleError, match="cannot write"):
            own_style._save(newcomer, model.own.path("reed"), facts)
        kept = read_bank(model.own.path("reed"), "live", model.manifest.channels)
        assert np.array_equal(kept.weight, newcomer.kernel().weight)
        assert {path.name for path in disk.iterdir()} <= {"more", "reed.safetensors", "reed.jpg"}


def test_styles_come_and_go_while_a_stream_runs(model: Model) -> None:
    shipped = model.styles
    board = ControlBoard(Controls(((shipped[0], 1.0),)), lambda: model.styles)
    thumbnails = Thumbnails(model)
    with pytest.raises(ConfigError, match="unknown style 'mine'"):
        board.run("style mine")
    write_own(model, "mine")
    assert board.run("style mine").style == "mine"
    assert board.run(f"style {len(shipped) + 1}").style == "mine"
    assert thumbnails["mine"] == b"jpeg"
    assert list(thumbnails) == [*shipped, "mine"]
    assert np.array_equal(model.read_kernel("mine").weight, model.read_kernel(shipped[0]).weight)
    other = model.read_kernel(shipped[1])
    write_bank(model.own.path("mine"), other, {"profile": "live", "autoencoder": model.manifest.autoencoder_sha256})
    assert np.array_equal(model.read_kernel("mine").weight, other.weight)
    model.own.remove("mine")
    assert model.styles == shipped
    assert np.array_equal(model.read_kernel("mine").weight, other.weight)  # what is on the screen stays there
    assert board.run("next").style == shipped[0]
    with pytest.raises(ConfigError, match="unknown style 'mine'"):
        board.run("style mine")


@pytest.mark.slow
def test_a_running_livestyle_has_an_added_style_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    process = start("live", "--source", "scene", "--sink", "web", "--port", "0", "--size", "160x96")
    try:
        url = wait_line(process, r"page: (http://\S+)").group(1)
        model = Model(SHIPPED)
        assert model.own.folder == tmp_path / "data" / "livestyle" / "banks" / "live"
        write_own(model, "mine")
        assert run("ctl", "--pid", str(process.pid), "style", "mine") == 0
        assert json.loads(capsys.readouterr().out)["controls"]["style"] == "mine"
        with urllib.request.urlopen(f"{url}/api/state", timeout=BOUND) as answer:
            state = json.load(answer)
        assert state["styles"][-1] == "mine"
        assert "mine" in state["thumbnails"]
        with urllib.request.urlopen(f"{url}/thumbnails/mine", timeout=BOUND) as answer:
            assert answer.read() == b"jpeg"
        assert run("remove-style", "mine") == 0
        assert not list(model.own.folder.iterdir())
        assert run("remove-style", "udnie") == 2
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"profile": "studio"}, "profile 'studio', not 'live'"),
        ({"autoencoder": "0"}, "another version of the network"),
    ],
)
def test_a_bank_of_something_else_is_left_out_and_told_once(
    model: Model, caplog: pytest.LogCaptureFixture, changes: dict[str, str], says: str
) -> None:
    write_own(model, "mine", **changes)
    own_style._check_name(model, "mine", resume=False)  # so it may be replaced
    shipped = list(model.manifest.banks)
    assert model.styles == shipped
    assert model.styles == shipped
    assert [says in record.message for record in caplog.records] == [True]


def test_a_file_that_is_no_bank_and_a_shipped_name_are_left_out(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    write_own(model, model.styles[1])
    model.own.path("broken").write_bytes(b"no")
    assert model.styles == list(model.manifest.banks)
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("3", {}, "cannot be a style's name"),
        ("a,b", {}, "cannot be a style's name"),
        ("../up", {}, "cannot be a style's name"),
        ("Udnie", {}, "'udnie' is a style that comes with livestyle"),
        ("Mine", {}, "you have a style 'mine'"),
        ("reed", {"minutes": 0.0}, "above 0"),
        ("reed", {"minutes": float("nan")}, "above 0"),
        ("reed", {"resume": True}, "no style 'reed' of yours"),
    ],
)
def test_bad_settings(
    model: Model, painting: Path, photos: Path, name: str, changes: dict[str, object], says: str
) -> None:
    write_own(model, "mine")
    with pytest.raises(ConfigError, match=says):
        add(model, painting, photos, name, **changes)


@pytest.mark.parametrize(
    ("width", "height", "says"),
    [(200, 40, "at least 64x64"), (20_000, 70, "at most 4 times as long as wide")],
)
def test_a_painting_of_a_shape_that_cannot_be_learned(
    model: Model, tmp_path: Path, photos: Path, width: int, height: int, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        add(model, write(tmp_path / "odd.png", make_texture(width, height, 1)), photos)


def test_a_corrupt_painting(model: Model, painting: Path, photos: Path) -> None:
    painting.write_bytes(painting.read_bytes()[:500])
    with pytest.raises(ConfigError, match="cut off"):
        add(model, painting, photos)


def test_paintings_that_are_grey_transparent_or_huge(tmp_path: Path) -> None:
    grey = make_texture(100, 80, 1)[..., :1]
    assert load_style(write(tmp_path / "grey.png", grey)).shape == (1, 3, STYLE_SIDE, 480)
    clear = np.dstack([make_texture(100, 80, 1), np.zeros((80, 100), np.uint8)])
    assert float(load_style(write(tmp_path / "clear.png", clear)).min()) == 1.0
    huge = np.full((5_000, 20_000), 90, np.uint8)
    assert load_style(write(tmp_path / "huge.png", huge)).shape == (1, 3, STYLE_SIDE, 4 * STYLE_SIDE)


def test_photos_that_cannot_be_read_are_left_out(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "b.png").write_bytes(b"no picture")
    assert [photo.shape[0] for photo in read_folder(photos)] == [PHOTO_SIDE]
    assert "b.png" in caplog.text
    (photos / "a.png").unlink()
    with pytest.raises(ConfigError, match="none of the 1 pictures"):
        read_folder(photos)
    (photos / "b.png").unlink()
    with pytest.raises(ConfigError, match="no pictures in"):
        read_folder(photos)


def test_of_many_photos_the_held_out_ones_are_not_learned_on(photos: Path) -> None:
    for index in range(63):
        write(photos / f"b{index:02}.png", np.full((8, 8, 3), index, np.uint8))
    read = read_folder(photos)
    assert len(read) == 56
    assert not {int(picture[0, 0, 0]) for picture in read} & set(range(7, 63, 8))


def test_without_a_folder_and_a_camera_the_scene_is_learned_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livestyle.v4l2.DEVICES", tmp_path)
    pictures, what = gather_photos(None)
    assert [picture.shape for picture in pictures] == [(PHOTO_SIDE, 512, 3)]
    assert "no camera" in what


def test_frames_of_a_camera_are_kept_at_the_photos_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "CAMERA_FRAMES", 3)
    with SceneSource(160, 96, 1000, live=True) as camera:
        assert [frame.shape for frame in capture_frames(camera, 0.0)] == [(PHOTO_SIDE, 640, 3)] * 3
        camera.interrupt()
        with pytest.raises(SourceError, match="no picture"):
            capture_frames(camera, 0.0)
