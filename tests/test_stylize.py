"""``livestyle stylize`` through the command line: pictures, videos and folders, their sizes, times and sound."""

import os
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import ClipWriter, make_clip
from stylize_runs import distance, images, picture, run, sound
from textures import make_texture

from livestyle.artifacts import load_model
from livestyle.pictures import read_picture

pytestmark = pytest.mark.usefixtures("cache", "own_folder", "own_log")


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (641, 359)])
def test_a_picture_keeps_its_size_and_is_painted(size: tuple[int, int]) -> None:
    assert run(picture("in.png", *size), "out.png") == 0
    painted = read_picture(Path("out.png"))
    assert painted.shape == (size[1], size[0], 3)
    if size != (1, 1):
        assert distance(painted, read_picture(Path("in.png"))) > 5.0


def test_twelve_megapixels() -> None:
    assert run(picture("in.jpg", 4000, 3000), "out.jpg") == 0
    assert read_picture(Path("out.jpg")).shape == (3000, 4000, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_ending_chooses_the_format_and_the_content_the_kind(suffix: str) -> None:
    os.rename(picture("in.png"), "in.mp4")
    assert run("in.mp4", f"out{suffix}") == 0
    start = Path(f"out{suffix}").read_bytes()[:12]
    assert {".png": start[1:4] == b"PNG", ".jpg": start[:2] == b"\xff\xd8", ".webp": start[8:] == b"WEBP"}[suffix]


def test_styles_mixes_and_strength_show() -> None:
    given = picture("in.png")
    for name, options in {
        "scream": ["--style", "scream"],
        "udnie": ["--style", "udnie"],
        "half": ["--style", "scream:0.5,udnie:0.5"],
        "none": ["--style", "scream", "--strength", "0.0"],
        "none2": ["--style", "udnie", "--strength", "0.0"],
        "default": [],
        "named": ["--style", load_model().default_style],
        "f32": ["--style", "scream", "--backend", "openvino", "--precision", "f32"],
    }.items():
        assert run(given, f"{name}.png", *options) == 0
    names = ("scream", "udnie", "half", "none", "none2", "default", "named", "f32")
    scream, udnie, half, none, none2, default, named, f32 = (read_picture(Path(f"{name}.png")) for name in names)
    assert distance(scream, udnie) > 5.0
    assert 0.0 < distance(half, scream) < distance(udnie, scream)
    assert distance(none, scream) > 5.0
    assert np.array_equal(none, none2)
    assert np.array_equal(default, named)
    assert distance(f32, scream) < 2.0


def test_a_size_is_kept_exactly_with_bars_where_the_shape_differs() -> None:
    given = picture("in.png", 96, 64)
    assert run(given, "out.png", "--size", "48x48") == 0
    assert read_picture(Path("out.png")).shape == (48, 48, 3)
    assert run(given, "out.png", "--size", "49x33") == 0
    assert read_picture(Path("out.png")).shape == (33, 49, 3)


def test_an_output_size_is_painted_small_and_enlarged() -> None:
    given = picture("in.png", 192, 128)
    assert run(given, "large.png", "--size", "96x64", "--output-size", "384x256") == 0
    large = read_picture(Path("large.png"))
    assert large.shape == (256, 384, 3)
    assert run(given, "small.png", "--size", "96x64") == 0
    back = np.asarray(cv2.resize(large, (96, 64), interpolation=cv2.INTER_AREA), np.uint8)
    small = read_picture(Path("small.png"))
    assert distance(back, small) < 0.7 * distance(back, np.roll(small, 16, axis=1))


def test_a_video_takes_an_output_size(clip: Path) -> None:
    assert run(str(clip), "out.mp4", "--size", "64x48", "--output-size", "128x96") == 0
    with av.open("out.mp4") as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (128, 96)


def test_a_picture_into_a_folder() -> None:
    assert run(picture("in.png"), "one/") == 0
    assert os.listdir("one") == ["000000.png"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 20, (96, 64))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_video_keeps_every_frame_its_times_and_its_sound(clip: Path, suffix: str) -> None:
    assert run(str(clip), f"out{suffix}") == 0
    given, painted = images(clip), images(f"out{suffix}")
    assert len(painted) == len(given) == 20
    tolerance = 0.0006 if suffix == ".mkv" else 0.00002  # Matroska counts milliseconds
    assert all(abs(float(a - b)) <= tolerance for (a, _), (b, _) in zip(given, painted, strict=True))
    assert painted[0][1].shape == (64, 96, 3)
    before, after = sound(clip), sound(f"out{suffix}")
    assert [data for _, data in after] == [data for _, data in before]
    assert all(abs(a - b) < 0.002 for (a, _), (b, _) in zip(before, after, strict=True))
    assert os.listdir() == [f"out{suffix}"]


def test_uneven_times_are_kept() -> None:
    moments = [Fraction(0), Fraction(1, 30), Fraction(1, 10), Fraction(1, 2), Fraction(11, 20)]
    writer = ClipWriter(Path("in.mp4"), (64, 48), sound=False)
    for number, moment in enumerate(moments):
        writer.write(number, moment)
    writer.close()
    assert run("in.mp4", "out.mp4") == 0
    assert [float(at) for at, _ in images("out.mp4")] == pytest.approx([float(moment) for moment in moments], abs=2e-5)


def test_a_video_into_a_folder_and_the_pictures_left_there(clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(str(clip), "frames/") == 0
    assert sorted(os.listdir("frames")) == [f"{number:06d}.png" for number in range(20)]
    assert capfd.readouterr().err == ""
    short = make_clip(Path("short.mp4"), 3, (96, 64))
    assert run(str(short), "frames/", "--style", "udnie") == 0
    assert "earlier run, from 000003.png on" in capfd.readouterr().err


def test_coherence_steadies_noise_and_can_be_turned_off() -> None:
    scene = make_texture(96, 64, seed=0)
    noise = np.random.default_rng(1)
    with av.open("in.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
        for _ in range(8):
            grainy = np.clip(scene + noise.normal(0, 6, scene.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grainy, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode(None))
    assert run("in.mkv", "on/") == run("in.mkv", "off/", "--no-coherence") == 0
    flicker = {}
    for name in ("on", "off"):
        painted = [read_picture(Path(name, f"{number:06d}.png")) for number in range(8)]
        flicker[name] = float(np.mean([distance(a, b) for a, b in pairwise(painted[2:])]))
    assert flicker["on"] < 0.95 * flicker["off"]


@pytest.mark.parametrize("name", ["camera", "scene", "a:b.jpg"])
def test_a_video_under_a_misleading_name(clip: Path, name: str) -> None:
    shutil.copy(clip, name)
    assert run(name, "out.mp4", "--size", "32x32") == 0
    assert images("out.mp4")[0][1].shape == (32, 32, 3)


def test_odd_video_loses_no_pixel() -> None:
    with av.open("in.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 65, 47, "bgr0"
        frame = av.VideoFrame.from_ndarray(make_texture(65, 47, seed=0), format="rgb24").reformat(format="bgr0")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert run("in.mkv", "frames/") == run("in.mkv", "out.mp4") == 0
    assert read_picture(Path("frames/000000.png")).shape == (47, 65, 3)
    assert images("out.mp4")[0][1].shape == (48, 66, 3)  # H.264 halves the colours: one row and column repeated
