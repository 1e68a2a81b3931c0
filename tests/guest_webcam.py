"""Cases of a webcam, which is the kernel's own test driver vivid; run inside the test machine."""

import gc
import os

from guest import (
    DISCONNECT,
    DROPPED_BUFFERS,
    PATIENCE,
    assert_bars,
    case,
    load_webcam,
    open_camera,
    refusal,
    set_control,
    take,
    unload,
    wait_for,
)

from livestyle import v4l2
from livestyle.errors import SourceError, SourceLost
from livestyle.media import Frame
from livestyle.sources.camera import describe_cameras, first_camera, list_cameras


@case
def webcam_is_listed_with_its_modes() -> str:
    (webcam,) = [camera for camera in list_cameras() if not camera.virtual]
    assert (webcam.index, webcam.name, first_camera()) == (0, "vivid", 0)
    device = os.open("/dev/video0", os.O_RDWR)
    modes = v4l2.list_modes(device)
    os.close(device)
    found = {(mode.format, mode.width, mode.height) for mode in modes}
    assert {("YUYV", 320, 180), ("YUYV", 1280, 720), ("NV12", 640, 480)} <= found, sorted(found)
    assert max(mode.fps for mode in modes) >= 30
    described = next(row for row in describe_cameras() if row[0] == "camera:0")
    assert described[1], described
    assert described[2].startswith("vivid: YUYV "), described
    return f"{len(modes)} modes, {modes[0]}"


@case
def webcam_gives_its_bars_in_the_asked_size_and_rate() -> str:
    for size, fps in (((320, 180), 30), ((640, 360), 15)):
        with open_camera(size, fps) as source:
            info = source.info
            assert (info.width, info.height, info.fps, info.live) == (*size, fps, True), info
            frames = [take(source) for _ in range(3)]
        assert_bars(frames[-1].pixels)
        assert frames[0].pts < frames[1].pts < frames[2].pts
    return "320x180 at 30, 640x360 at 15"


@case
def webcam_without_the_asked_size_gives_its_nearest() -> str:
    with open_camera((333, 199)) as source:
        info = source.info
        frame = take(source)
    assert frame.pixels.shape == (info.height, info.width, 3)
    assert (info.width, info.height) == (320, 180)
    assert_bars(frame.pixels)
    return "333x199 gives 320x180"


@case
def webcam_closes_while_its_pictures_are_still_in_use() -> str:
    """They lay in the driver's memory once: SIGSEGV, here or at the next collection of garbage."""
    for _ in range(5):
        source = open_camera()
        take(source)
        late = source._reader.take(PATIENCE, SourceLost("nothing came"))
        source.close()
        assert_bars(late.frame().pixels)  # type: ignore[union-attr]
        del late
        gc.collect()
    return "5 times"


@case
def webcam_in_use_says_so_and_is_free_afterwards() -> str:
    with open_camera():
        reason = refusal(SourceError, open_camera)
    assert "used by another program" in reason, reason
    with open_camera() as source:
        assert_bars(take(source).pixels)
    return reason


@case
def webcam_that_may_not_be_opened_says_what_to_do() -> str:
    os.chmod("/dev/video0", 0o600)
    os.seteuid(65534)
    try:
        reason = refusal(SourceError, open_camera)
        listed = [camera.name for camera in list_cameras()]
    finally:
        os.seteuid(0)
    assert "usermod -aG video" in reason, reason
    assert listed[0] == "vivid-000-vid-cap (not accessible)", listed
    return reason


@case
def webcam_that_hangs_is_lost_and_can_be_had_again() -> str:
    with open_camera() as source:
        take(source)
        set_control(DROPPED_BUFFERS, 100)
        reason = refusal(SourceLost, lambda: list(iter(source.read, None)))
    set_control(DROPPED_BUFFERS, 0)
    assert "no picture for 3 s" in reason, reason
    assert_bars(open_again().pixels)
    return reason


@case
def webcam_that_is_unplugged_is_lost_and_comes_back() -> str:
    with open_camera() as source:
        take(source)
        set_control(DISCONNECT, 1)
        reason = refusal(SourceLost, lambda: list(iter(source.read, None)))
    assert reason == "camera 0 stopped: was it unplugged?", reason
    assert_bars(open_again().pixels)  # once nobody holds the lost one, vivid makes a new one
    wait_for(lambda: unload("vivid").returncode == 0, "the driver is let go")
    gone = refusal(SourceError, open_camera)
    assert "there is no camera 0" in gone, gone
    assert "no camera found" in refusal(SourceError, first_camera)
    load_webcam()
    assert_bars(open_again().pixels)
    return reason


def open_again() -> Frame:
    """A picture of the camera as soon as it can be had."""
    frames: list[Frame] = []

    def opened() -> bool:
        try:
            with open_camera() as source:
                frames.append(take(source))
        except SourceError:
            return False
        return True

    wait_for(opened, "the camera can be had again")
    return frames[0]
