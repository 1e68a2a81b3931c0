"""``livestyle stylize`` given what cannot be painted, a full disk or Ctrl-C, and the bar that shows how far it is."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from clips import make_clip
from stylize_runs import images, picture, refused, run
from textures import make_texture

from livestyle.artifacts import find_engines

BOUND = 90  # s, hang bound of a whole run on a busy machine
CODE = "import sys; from livestyle.cli import main; main(sys.argv[1:])"
pytestmark = pytest.mark.usefixtures("cache", "own_folder", "own_log")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 20, (96, 64))


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
                frame = av.VideoFrame.from_ndarray(make_texture(320, 240, seed), format="rgb24")
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
