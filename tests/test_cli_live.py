"""``livestyle live``, ``ctl`` and ``doctor`` as a user meets them: exit codes, one line on stderr, report, signals."""

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from clips import make_clip

from livestyle import __version__
from livestyle.artifacts import find_engines
from livestyle.cli import main
from livestyle.config import LiveConfig
from livestyle.errors import ConfigError
from livestyle.launch import SourceChoice, plan_sinks
from livestyle.sinks.web import PreviewSink

BOUND = 60  # s, hang bound of a whole run on a busy machine
# nohup, and a shell for its background jobs, start programs with these signals ignored, and children inherit it
CODE = (
    "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from livestyle.cli import main; main(sys.argv[1:])"
)


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A runtime folder of the test's own, and the log as it was."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    logger = logging.getLogger("livestyle")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers, logger.level = handlers, level


def run(*arguments: str) -> int:
    """The exit code of the command line, in this process."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


def start(*arguments: str, code: str = CODE) -> "subprocess.Popen[str]":
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_line(process: "subprocess.Popen[str]", pattern: str) -> re.Match[str]:
    """Read stderr up to the line that matches."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError("".join(seen))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nosuch"], 2, "nosuch"),
        (["live", "--sise", "3"], 2, "--size"),
        (["live", "--fps", "abc"], 2, "not a number"),
        (["live", "--size", "12"], 2, "640x360"),
        (["live", "--frames", "0"], 2, "at least 1"),
        (["live", "--config", "/nonexistent.toml"], 2, "cannot read"),
        (["live", "--source", "scene", "--sink", "nul"], 2, "unknown sink"),
        (["live", "--source", "scene", "--sink", "null", "--style", "udne"], 2, "did you mean 'udnie'"),
        (["live", "--source", "camera:x", "--sink", "null"], 2, "camera"),
        (["live", "--source", "/nonexistent.mp4", "--sink", "null"], 1, "/nonexistent.mp4"),
        (["live", "--source", "scene", "--sink", "null", "--report", "/nonexistent/r.json"], 2, "report"),
        (["live", "--source", "scene", "--sink", "/nonexistent/out.mp4"], 1, "/nonexistent"),
        (["live", "--source", "scene", "--sink", "null", "--backend", "openvno"], 2, "did you mean 'openvino'"),
        (["ctl", "nxt"], 2, "did you mean 'next'"),
        (["ctl", "next"], 2, "no livestyle is running"),
        (["ctl"], 2, "Missing argument"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(arguments, code, says, capsys):
    assert run(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("livestyle: ")
    assert err.count("\n") == 1
    assert says in err


def test_a_traceback_only_when_asked_for(capsys):
    assert run("live", "--source", "/nonexistent.mp4", "--sink", "null", "-vv") == 1
    assert "Traceback" in capsys.readouterr().err


def test_version_and_help(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"livestyle {__version__}\n"
    assert run("live", "--help") == 0
    out = capsys.readouterr().out
    for flag in (
        "--source",
        "--sink",
        "--style",
        "--size",
        "--fps",
        "--frames",
        "--report",
        "--no-coherence",
        "--config",
    ):
        assert flag in out
    assert run() == 2


def test_doctor_shows_every_part(capsys):
    assert run("doctor") == 0
    out = capsys.readouterr().out
    parts = "camera scene stream virtualcam web rtmp null openvino live udnie hotkeys osc midi"
    for name in parts.split():
        assert name in out


def test_a_short_run_writes_its_report_without_torch(tmp_path: Path):
    report = tmp_path / "report.json"
    without_torch = "import sys; sys.modules['torch'] = None; " + CODE.removeprefix("import sys; ")
    process = start(
        *("live", "--source", "scene", "--sink", "null", "--frames", "5", "--size", "160x96", "--report", str(report)),
        code=without_torch,
    )
    _, err = process.communicate(timeout=BOUND)
    assert process.returncode == 0, err
    assert "painting failed" not in err
    figures = json.loads(report.read_text())
    assert {
        *("frames_in", "frames_out", "dropped", "repeated", "fps", "latency_ms"),
        *("stages_ms", "switches", "reconnects", "painting", "rss_mb", "source", "sinks", "timeline"),
    } == set(figures)
    assert figures["frames_out"] == 5
    assert set(figures["latency_ms"]) == {"p50", "p95"}
    assert figures["stages_ms"]["encode"]["p50"] > 0
    assert figures["sinks"] == {"null": "ok"}
    assert figures["painting"] == {"level": 0, "size": "160x96"}
    assert figures["rss_mb"] is None or 50 < figures["rss_mb"] < 2000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_run_cleanly(number: int, tmp_path: Path):
    recording, report = tmp_path / "out.mp4", tmp_path / "report.json"
    process = start(
        *("live", "--source", "scene", "--sink", str(recording), "--sink", "web", "--port", "0"),
        *("--size", "160x96", "--report", str(report)),
    )
    wait_line(process, "page: http://")
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=BOUND)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert report.exists()
    assert not list(tmp_path.glob("*.part*")), "the recording was finished"


def test_without_arguments_there_is_a_page_with_a_painted_picture():
    process = start("live", "--port", "0")
    try:
        url = wait_line(process, r"page: (http://\S+)").group(1)
        deadline = time.monotonic() + BOUND
        picture = b""
        while not picture.startswith(b"\x89PNG") and time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(f"{url}/snapshot.png") as answer:
                picture = answer.read()
        assert picture.startswith(b"\x89PNG")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=BOUND)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.communicate()


def test_a_running_stream_is_steered_and_quits(tmp_path: Path, capsys):
    config = tmp_path / "live.toml"
    config.write_text('source = "scene"\nsinks = ["web"]\nport = 0\nsize = "160x96"\nstyle = "scream"\n')
    process = start("live", "--config", str(config))
    try:
        url = wait_line(process, r"page: (http://\S+)").group(1)
        with urllib.request.urlopen(f"{url}/api/state", timeout=10) as answer:
            assert json.load(answer)["controls"]["style"] == "scream"
        assert run("ctl", "--pid", str(process.pid), "style", "udnie") == 0
        assert json.loads(capsys.readouterr().out)["controls"]["style"] == "udnie"
        assert run("ctl", "--address", "next") == 0
        assert capsys.readouterr().out.startswith(f"{url}/api/command/next?token=")
        assert run("ctl", "quit") == 0
        _, err = process.communicate(timeout=BOUND)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_told(capsys):
    process = start("live", "--source", "scene", "--sink", "web", "--port", "0", "--size", "160x96")
    try:
        port = wait_line(process, r"page: http://\S+:(\d+)").group(1)
        assert run("live", "--source", "scene", "--sink", "web", "--port", port) in (1, 2)
        err = capsys.readouterr().err
        assert port in err
        assert err.count("\n") == 1
    finally:
        process.kill()
        process.communicate()


def test_a_recording_does_not_replace_its_own_source(tmp_path: Path, capsys):
    clip = make_clip(tmp_path / "clip.mp4", frames=3)
    before = clip.read_bytes()
    assert run("live", "--source", str(clip), "--sink", f"{tmp_path}/./clip.mp4") == 2
    assert "would overwrite the source" in capsys.readouterr().err
    assert clip.read_bytes() == before


def test_a_larger_output_is_painted_small(tmp_path: Path):
    recording, report = tmp_path / "out.mp4", tmp_path / "report.json"
    process = start(
        *("live", "--source", "scene", "--sink", str(recording), "--sink", "null", "--frames", "20"),
        *("--output-size", "320x192", "--size", "160x96", "--fixed-size", "--report", str(report)),
    )
    _, err = process.communicate(timeout=BOUND)
    assert process.returncode == 0, err
    assert "320x192 painted at 160x96" in err
    assert json.loads(report.read_text())["painting"]["size"] == "160x96"
    assert probe_size(recording) == (320, 192)


def test_a_processed_file_keeps_its_rate_and_says_so(tmp_path: Path):
    clip, report = make_clip(tmp_path / "clip.mp4", frames=40), tmp_path / "report.json"
    process = start(
        *("live", "--source", str(clip), "--sink", str(tmp_path / "out.mp4"), "--fps", "10"),
        *("--report", str(report)),
    )
    _, err = process.communicate(timeout=BOUND)
    assert process.returncode == 0, err
    assert "keeps its 30 frames per second; 10 is ignored" in err
    figures = json.loads(report.read_text())
    assert figures["frames_out"] == 40
    assert figures["painting"]["level"] == 0


def probe_size(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return video.width, video.height


def test_damaged_weights_are_told_before_anything_is_shown(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    engines = Path(shutil.copytree(find_engines(), tmp_path / "engines"))
    for bank in engines.glob("live/banks/*.safetensors"):
        bank.write_bytes(bank.read_bytes()[:1000])
    monkeypatch.setattr("livestyle.artifacts.find_engines", lambda: engines)
    assert run("live", "--source", "scene", "--sink", "null", "--frames", "3", "--size", "64x48") == 1
    err = capsys.readouterr().err
    assert "is damaged" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_log_that_cannot_be_written_ends_no_stream(tmp_path: Path):
    report = tmp_path / "report.json"
    arguments = [
        "live",
        "--source",
        "scene",
        "--sink",
        "null",
        "--frames",
        "3",
        "--size",
        "64x48",
        "--report",
        str(report),
    ]
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        process = subprocess.run([sys.executable, "-c", CODE, *arguments], stderr=full, env=surroundings, timeout=BOUND)
    assert process.returncode == 0
    assert json.loads(report.read_text())["frames_out"] == 3


def test_nothing_is_told_to_anybody_and_nothing_left_at_home(tmp_path: Path):
    """OpenVINO's Python package reports every import to Google Analytics unless its telemetry is kept out."""
    code = "import livestyle, openvino, sys; sys.exit('openvino_telemetry.main' in sys.modules)"
    surroundings = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=surroundings, timeout=BOUND).returncode == 0
    assert not list(tmp_path.iterdir())


def test_auto_sinks_are_the_page_and_a_virtual_camera_if_there_is_one():
    plans = plan_sinks(("auto", "null", "null", "web"), PreviewSink())
    assert [(plan.name, plan.required, plan.realtime) for plan in plans] == [
        ("virtualcam", False, True),
        ("web", True, True),
        ("null", True, False),
    ]
    twins = plan_sinks(("rtmp://host/app/one", "rtmp://host/app/two"), PreviewSink())
    assert len({plan.name for plan in twins}) == 2
    assert plan_sinks(("auto", "virtualcam"), PreviewSink())[0].required
    with pytest.raises(ConfigError):
        plan_sinks(("nonsense",), PreviewSink())


def test_keys_of_addresses_are_not_shown():
    (plan,) = plan_sinks(("rtmp://host/app/secret",), PreviewSink())
    assert "secret" not in plan.name
    assert "secret" not in SourceChoice(LiveConfig(source="rtmp://host/app/secret?token=1")).spec
    assert SourceChoice(LiveConfig(source="clip.mp4")).spec == "clip.mp4"
