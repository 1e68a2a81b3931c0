"""``livestyle doctor``: what it says about parts that are there, missing or in use."""

import io
import os
import socket
import sys
from pathlib import Path

import pytest
from rich.console import Console

from livestyle import diagnosis, v4l2
from livestyle.diagnosis import COSTS, Row, diagnose, show_diagnosis


def rows(kind: str) -> list[Row]:
    return [row for row in diagnose() if row.kind == kind]


def test_a_port_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(diagnosis, "DEFAULT_PORT", port)
        (row,) = rows("page")
        assert not row.available
        assert f"port {port}" in row.why
        assert "--port" in row.why
    (row,) = rows("page")
    assert row.available


@pytest.mark.skipif(sys.platform != "linux", reason="cameras are listed on Linux")
def test_cameras_are_told_with_their_formats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    modes = [("YUYV", 640, 480, 30.0), ("MJPG", 640, 480, 30.0), ("MJPG", 1920, 1080, 30.0), ("Z16 ", 9, 9, 9.0)]
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    nodes = [v4l2.Node(0, "Webcam", "uvcvideo", captures=True), v4l2.Node(1, "Gone", "uvcvideo", captures=True)]
    monkeypatch.setattr(v4l2, "list_nodes", lambda: nodes)
    monkeypatch.setattr(v4l2, "list_modes", lambda device: [v4l2.Mode(*mode) for mode in modes])
    before = len(os.listdir("/proc/self/fd"))
    there, gone = rows("camera")
    assert there == ("camera", "camera:0", True, "Webcam: YUYV 640x480@30, MJPG 1920x1080@30")
    assert not gone.available
    assert "there is no camera 1" in gone.why
    assert len(os.listdir("/proc/self/fd")) == before


def test_every_missing_part_says_what_goes_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Row(kind, name, False, "it is missing") for kind, name in COSTS]
    monkeypatch.setattr(diagnosis, "diagnose", lambda: iter([*parts, Row("card", "NVIDIA", True, "it is here")]))
    out = io.StringIO()
    show_diagnosis(Console(file=out, width=300))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    for (_, name), cost in COSTS.items():
        assert any(name in line and line.endswith(f"it is missing. Without it {cost}") for line in lines), name
    assert lines[-1].endswith("yes it is here")


def test_commands_can_be_copied_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    command = "sudo modprobe something " + "option=1 " * 20 + "end"
    monkeypatch.setattr(diagnosis, "diagnose", lambda: iter([Row("sink", "other", False, f"missing: run `{command}`")]))
    out = io.StringIO()
    show_diagnosis(Console(file=out, width=60))
    assert out.getvalue().splitlines()[-1] == f"other: {command}"


def test_what_may_be_missing_is_what_there_is() -> None:
    assert {(row.kind, row.name) for row in diagnose()} >= set(COSTS)
