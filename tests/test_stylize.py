"""``livestyle stylize`` through the command line: pictures, videos, folders, bad input, Ctrl-C, the bar."""

import contextlib
import logging
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import ClipWriter, make_clip

from livestyle.artifacts import find_engines, load_model
from livestyle.cli import main
from livestyle.pictures import read_picture, write_picture

BOUND = 90  # s, hang bound of a whole run on a busy machine
CODE = "import sys; from livestyle.cli import main; main(sys.argv[1:])"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> Iterator[None]:
    """A cache and a working folder of the test's own, and the log as it was."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("livestyle")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = handlers, level, propagate


def run(*arguments: str) -> int:
    """The exit code of ``livestyle stylize`` with these arguments."""
    with pytest.raises(SystemExit) as exit_:
        main(["stylize", *arguments])
    return int(exit_.value.code or 0)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a run that fails with nothing but one line on stderr, and the line."""
    code = run(*arguments)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return code, err


def texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def picture(name: str, width: int = 96, height: int = 64) -> str:
    write_picture(Path(name), texture(width, height))
    return name


def images(path: Path | str) -> list[tuple[Fraction, np.ndarray]]:
    """(seconds, RGB) of every frame of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in frames]


def sound(path: Path | str) -> list[tuple[float, bytes]]:
    """(seconds, data) of every packet of sound that is heard (an encoder's first one lies before 0)."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        heard = [packet for packet in packets if packet.pts >= 0]
        return [(round(float(packet.pts * packet.time_base), 4), bytes(packet)) for packet in heard]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


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
    scene = texture(96, 64)
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
        frame = av.VideoFrame.from_ndarray(texture(65, 47), format="rgb24").reformat(format="bgr0")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert run("in.mkv", "frames/") == run("in.mkv", "out.mp4") == 0
    assert read_picture(Path("frames/000000.png")).shape == (47, 65, 3)
    assert images("out.mp4")[0][1].shape == (48, 66, 3)  # H.264 halves the colours: one row and column repeated


def test_input_that_cannot_be_painted(clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("text.mp4").write_text("this is no video\n" * 100)
    Path("text.jpg").write_text("this is no picture\n" * 100)
    Path("empty.mp4").touch()
    Path("empty.png").touch()
    Path("folder").mkdir()
    Path("cut.jpg").write_bytes(Path(picture("whole.jpg")).read_bytes()[:-500])
    Path("cut.mp4").write_bytes(clip.read_bytes()[:2000])
    for given, out, code, words in (
        ("missing.png", "out.png", 2, "missing.png: no such file"),
        ("folder", "out.png", 2, "folder is a folder"),
        ("text.mp4", "out.mp4", 1, "not a video"),
        ("text.mp4", "out.png", 1, "not a video"),
        ("text.jpg", "out.png", 1, "neither a picture nor a video"),
        ("empty.mp4", "out.mp4", 2, "0 bytes"),
        ("empty.png", "out.png", 2, "0 bytes"),
        ("cut.jpg", "out.png", 2, "cut off"),
        ("cut.mp4", "out.mp4", 1, "cut off"),
    ):
        assert words in (told := refused(capfd, given, out))[1], told
        assert told[0] == code, told
    assert not list(Path().glob("out*"))


def test_options_and_outputs_that_make_no_sense(clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = picture("in.png")
    Path("folder").mkdir()
    os.link(given, "link.png")
    shutil.copy(clip, "in.mp4")
    for arguments, code, words in (
        ((given, "out.png", "--style", "udni"), 2, "did you mean 'udnie'"),
        ((given, "out.png", "--strength", "1.5"), 2, "outside 0 to 1"),
        ((given, "out.png", "--strength", "nan"), 2, "outside 0 to 1"),
        ((given, "out.png", "--size", "0x5"), 2, "WIDTHxHEIGHT"),
        ((given, "out.png", "--size", "20000x20000"), 2, "give --size 6324x6324 or smaller"),
        ((given, "out.png", "--backend", "opnvino"), 2, "did you mean 'openvino'"),
        ((given, "out.png", "--precision", "f8"), 2, "f8"),
        ((given, "out.xyz"), 2, ".png, .jpg, .jpeg, .webp, .mp4, .mkv, .mov, .flv, or a folder ending in /"),
        ((given, "out"), 2, "folder ending in /"),
        ((given, "out.mp4"), 2, "is a picture"),
        (("in.mp4", "out.png"), 2, "is a video"),
        (("in.mp4", "folder"), 2, "write folder/"),
        ((given, "in.png/"), 2, "not a folder"),
        ((given, "./in.png"), 2, "overwrite the input"),
        ((given, "link.png"), 2, "overwrite the input"),
        (("in.mp4", "in.mp4"), 2, "overwrite the input"),
        ((given, "none/out.png"), 1, "there is no folder none"),
        (("in.mp4", "none/out.mp4"), 1, "there is no folder none"),
        (("in.mp4", "none/frames/"), 1, "there is no folder none"),
    ):
        assert words in (told := refused(capfd, *arguments))[1], told
        assert told[0] == code, told
    assert sorted(os.listdir()) == ["folder", "in.mp4", "in.png", "link.png"]
    assert os.listdir("folder") == []


def test_damaged_weights_are_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engines = tmp_path / "engines"
    shutil.copytree(find_engines(), engines)
    monkeypatch.setattr("livestyle.artifacts.find_engines", lambda: engines)
    given = picture("in.png")
    assert run(given, "out.png", "--style", "scream") == 0
    for name in ("banks/scream.safetensors", "decode.onnx"):
        whole = (engines / "live" / name).read_bytes()
        (engines / "live" / name).write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        code, told = refused(capfd, given, "other.png", "--style", "scream")
        assert (code, Path("other.png").exists()) == (1, False)
        assert name in told
        assert "damaged" in told
        (engines / "live" / name).write_bytes(whole)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own; skips where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("out", ["out.png", "out.mp4", "frames/"])
def test_a_read_only_folder(clip: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, out: str) -> None:
    given = str(clip) if out != "out.png" else picture("in.png")
    with mounted(tmp_path / "ro", "ro,size=64k") as folder:
        code, told = refused(capfd, given, f"{folder}/{out}")
        assert os.listdir(folder) == []
    assert code == 1
    assert "cannot write" in told


@pytest.mark.parametrize("out", ["out.png", "out.mkv", "frames/"])
def test_a_full_disk(capfd: pytest.CaptureFixture[str], tmp_path: Path, out: str) -> None:
    given = picture("in.png", 640, 480)
    if out != "out.png":
        with av.open("in.mkv", "w") as container:
            stream = container.add_stream("ffv1", rate=30)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "bgr0"
            for seed in range(12):
                frame = av.VideoFrame.from_ndarray(texture(320, 240, seed), format="rgb24")
                container.mux(stream.encode(frame.reformat(format="bgr0")))
            container.mux(stream.encode(None))
        given = "in.mkv"
    with mounted(tmp_path / "small", "size=32k") as folder:
        code, told = refused(capfd, given, f"{folder}/{out}")
        assert not list(folder.rglob(".*.part"))
    assert code == 1
    assert "no space left" in told or "disk is full" in told, told


def start(*arguments: str, stderr: int) -> "subprocess.Popen[bytes]":
    """``livestyle stylize`` in a process of its own, which hears Ctrl-C even if this one was told not to."""
    command = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler); " + CODE, "stylize"]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=stderr)


@pytest.mark.parametrize("out", ["out.mp4", "frames/"])
def test_ctrl_c_leaves_what_was_painted(out: str) -> None:
    make_clip(Path("in.mp4"), 1500, (320, 240))
    process = start("in.mp4", out, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + BOUND
        while not _grown(out):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=BOUND)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert told.decode().startswith("livestyle: stopped after ")
    assert told.decode().endswith(f"what was painted is in {out}\n")
    assert told.count(b"\n") == 1
    count = int(told.split()[3])
    kept = len(images(out)) if out == "out.mp4" else len(os.listdir(out))
    assert 0 < count <= kept <= count + 1 < 1500  # the signal may fall between a frame's writing and its counting
    assert all(".part" not in name for name in os.listdir())


def _grown(out: str) -> bool:
    if out.endswith("/"):
        return Path(out, "000003.png").exists()
    part = Path("out.part.mp4")
    return part.exists() and part.stat().st_size > 4000


def test_the_bar_shows_on_a_terminal_with_the_time_left(clip: Path) -> None:
    ours, theirs = pty.openpty()
    os.environ["TERM"] = os.environ.get("TERM", "xterm")
    process = start(str(clip), "out.mp4", stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while data := os.read(ours, 4096):
                shown += data
        assert process.wait(BOUND) == 0
    finally:
        os.close(ours)
        process.kill()
        process.wait()
    assert b"painting" in shown
    assert b"/20" in shown
    assert b"0:00:" in shown
