"""Cases of the virtual camera, v4l2loopback without and with exclusive_caps; run inside the test machine."""

import os
import signal
import subprocess
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from guest import (
    EXCLUSIVE,
    INFO,
    OUT,
    PATIENCE,
    PLAIN,
    CallProgram,
    case,
    load_loopback,
    refusal,
    showing,
    unload,
    virtual_cameras,
    wait_for,
)
from pictures import picture

from livestyle.errors import SinkError
from livestyle.media import Frame, StreamInfo
from livestyle.sinks import describe_sinks, open_sink


@case
def plain_is_seen_as_it_was_sent() -> str:
    return seen_as_sent(PLAIN)


@case
def exclusive_is_seen_as_it_was_sent() -> str:
    assert virtual_cameras() == [10], "exclusive_caps: no camera yet"
    note = seen_as_sent(EXCLUSIVE)
    with showing(EXCLUSIVE):
        assert virtual_cameras() == [10, 11], "exclusive_caps: a camera while something is shown"
    return note


def seen_as_sent(device: str) -> str:
    with showing(device), CallProgram(device) as program:
        seen = program.wait_for(picture(320, 180, 7))
        facts = program.facts
    assert facts == (320, 180, "yuv420p", 15.0), facts
    cv2.imwrite(str(OUT / f"{Path(device).name}.png"), seen[:, :, ::-1])
    return "{}x{} {} at {:g}".format(*facts)


@case
def plain_is_read_by_ffmpeg() -> str:
    return read_by_ffmpeg(PLAIN)


@case
def exclusive_is_read_by_ffmpeg() -> str:
    return read_by_ffmpeg(EXCLUSIVE)


def read_by_ffmpeg(device: str) -> str:
    command = ["ffmpeg", "-hide_banner", "-f", "v4l2", "-i", device, "-frames:v", "2", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-"]
    with showing(device):
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
    said = done.stderr.decode()
    assert "yuv420p" in said, said
    assert "320x180" in said, said
    seen = np.frombuffer(done.stdout, np.uint8).reshape(-1, 180, 320, 3)[-1]
    assert np.median(np.abs(seen.astype(int) - picture(320, 180, 7))) <= 3
    return next(line for line in said.splitlines() if "Stream #0:0" in line).strip()


@case
def odd_sizes_gain_one_pixel() -> str:
    odd = StreamInfo(321, 179, Fraction(15), live=True)
    for device in (PLAIN, EXCLUSIVE):
        with showing(device, odd), CallProgram(device) as program:
            program.wait_for(picture(321, 179, 7))
            assert program.facts[:2] == (322, 180), program.facts
    return "321x179 is seen as 322x180"


@case
def reader_that_vanishes_harms_nobody() -> str:
    for device in (PLAIN, EXCLUSIVE):
        with showing(device):
            command = ["ffmpeg", "-loglevel", "error", "-f", "v4l2", "-i", device, "-f", "rawvideo", "-"]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
                assert reader.stdout is not None
                assert reader.stdout.read(1000)
                reader.send_signal(signal.SIGKILL)
            with CallProgram(device) as program:
                program.wait_for(picture(320, 180, 7))
    return "ffmpeg killed while it read"


@case
def restart_under_a_reader_is_seen() -> str:
    """https://github.com/letmaik/pyvirtualcam/issues/61 was the end of it with exclusive_caps."""
    for device in (PLAIN, EXCLUSIVE):
        with showing(device, number=7):
            program = CallProgram(device)
            program.wait_for(picture(320, 180, 7))
        with showing(device, number=40):
            program.wait_for(picture(320, 180, 40))
            program.close()
        with showing(device, number=90), CallProgram(device) as program:
            program.wait_for(picture(320, 180, 90))
    return "a reader stays over a restart, and a third start works too"


@case
def restart_in_another_size_under_a_reader_is_refused() -> str:
    wide = StreamInfo(640, 360, Fraction(15), live=True)
    for device in (PLAIN, EXCLUSIVE):
        with showing(device):
            program = CallProgram(device)
            program.look()
        reason = refusal(SinkError, lambda device=device: open_sink(f"virtualcam:{device}", wide))
        assert f"{device} keeps it at 320x180" in reason, reason
        program.close()
        with showing(device, wide), CallProgram(device) as program:
            program.wait_for(picture(640, 360, 7))
    return reason


@case
def second_producer_is_refused() -> str:
    with showing(EXCLUSIVE):
        reason = refusal(SinkError, lambda: open_sink(f"virtualcam:{EXCLUSIVE}", INFO))
    assert "written to by another program" in reason, reason
    with showing(EXCLUSIVE):
        pass
    return reason


@case
def too_many_openings_are_told() -> str:
    handles = [os.open(PLAIN, os.O_RDWR) for _ in range(10)]
    reason = refusal(SinkError, lambda: open_sink(f"virtualcam:{PLAIN}", INFO))
    for handle in handles:
        os.close(handle)
    assert "/dev/video10 is open in too many programs" in reason, reason
    with showing(PLAIN):
        pass
    return reason


@case
def refusals_leave_nothing_open() -> str:
    before = len(os.listdir("/proc/self/fd"))
    with showing(EXCLUSIVE):
        for _ in range(12):  # more than the driver allows to be open
            refusal(SinkError, lambda: open_sink(f"virtualcam:{EXCLUSIVE}", INFO))
    assert len(os.listdir("/proc/self/fd")) == before
    return "12 refused openings"


@case
def device_that_may_not_be_written_says_what_to_do() -> str:
    os.chmod(PLAIN, 0o600)
    os.chmod(EXCLUSIVE, 0o600)
    os.seteuid(65534)
    try:
        first = refusal(SinkError, lambda: open_sink("virtualcam", INFO))
        named = refusal(SinkError, lambda: open_sink(f"virtualcam:{EXCLUSIVE}", INFO))
    finally:
        os.seteuid(0)
    assert f"no permission to write to {PLAIN}: run `sudo usermod -aG video" in first, first
    assert f"no permission to write to {EXCLUSIVE}" in named, named
    return first


@case
def webcam_is_no_virtual_camera() -> str:
    reason = refusal(SinkError, lambda: open_sink("virtualcam:/dev/video0", INFO))
    assert "no virtual camera (it is vivid)" in reason, reason
    return reason


@case
def audience_is_known() -> str:
    for device in (PLAIN, EXCLUSIVE):
        sink = open_sink(f"virtualcam:{device}", INFO)
        sink.write(Frame(picture(320, 180, 7), 0, 0, Fraction(1, 30), 0.0))
        assert not sink.watched, "before"  # type: ignore[attr-defined]
        holder = ["/run/busybox", "sh", "-c", f"exec 3<>{device}; echo open; read end"]
        with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            program.stdout.readline()
            assert sink.watched, "while it is shown"  # type: ignore[attr-defined]
        assert not sink.watched, "afterwards"  # type: ignore[attr-defined]
        sink.close()
    return "nobody, somebody, nobody"


@case
def driver_cannot_be_unloaded_under_us_and_its_absence_is_told() -> str:
    with showing(PLAIN):
        assert unload("v4l2loopback").returncode != 0
    wait_for(lambda: unload("v4l2loopback").returncode == 0, "the driver is let go")
    reason = refusal(SinkError, lambda: open_sink("virtualcam", INFO))
    assert "run `sudo modprobe v4l2loopback" in reason, reason
    (row,) = [row for row in describe_sinks() if row.name == "virtualcam"]
    assert (row.available, row.why) == (False, reason)
    load_loopback()
    with showing(PLAIN), CallProgram(PLAIN) as program:
        program.wait_for(picture(320, 180, 7))
    return reason
