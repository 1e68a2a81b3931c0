"""The pictures that the page's server hands out: snapshots and the preview stream."""

import time
import urllib.error
import urllib.request
from fractions import Fraction

import cv2
import numpy as np
import pytest
from web_rig import Rig, Viewer, fetch, make_board, make_frame, make_report, wait_until

from livestyle.control.web import WebServer
from livestyle.media import Frame
from livestyle.sinks.web import PreviewSink


def test_a_snapshot_is_the_newest_frame_exactly(rig: Rig) -> None:
    assert rig.get("/snapshot.png")[0] == 503
    noise = np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)
    rig.preview.write(make_frame(0))
    rig.preview.write(Frame(noise, 7, 7, Fraction(1, 30), 0.0))
    status, headers, body = rig.get("/snapshot.png")
    assert status == 200
    assert "livestyle-000007.png" in headers["content-disposition"]
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.array_equal(decoded[..., ::-1], noise)


def test_the_preview_shows_the_frames_in_their_colours(rig: Rig) -> None:
    orange = np.full((48, 64, 3), (250, 140, 10), np.uint8)
    rig.preview.write(Frame(orange, 0, 0, Fraction(1, 30), 0.0))
    viewer = Viewer(rig)
    assert "multipart/x-mixed-replace" in viewer.answer.headers["content-type"]
    picture = viewer.read()  # a frame that came before the viewer, and no other after it: a frozen picture shows
    assert picture is not None
    assert np.abs(picture.astype(int) - orange).max() < 12
    rig.preview.write(make_frame(1, 128, 96, 200))  # another size
    picture = viewer.read()
    assert picture is not None
    assert picture.shape == (96, 128, 3)
    viewer.close()
    wait_until(lambda: rig.server.viewers == 0 or rig.preview.write(make_frame(2)))


@pytest.mark.parametrize("fps", ["0", "61", "x", "-1", "1e9", ""])
def test_a_frame_rate_out_of_range_is_refused(rig: Rig, fps: str) -> None:
    assert rig.get(f"/preview.mjpg?fps={fps}")[0] == 400


def test_asking_for_the_headers_of_the_preview_watches_nothing(rig: Rig) -> None:
    request = urllib.request.Request(rig.server.url + "/preview.mjpg", method="HEAD")
    assert fetch(request)[0] == 200
    assert rig.server.viewers == 0


class CountingPreview(PreviewSink):
    """Counts how often somebody fetched a frame."""

    fetched = 0

    def wait_newer(self, serial: int, timeout: float) -> tuple[int, Frame] | None:
        found = super().wait_newer(serial, timeout)
        self.fetched += found is not None
        return found


def test_nothing_is_encoded_while_nobody_watches_and_once_for_all_who_do() -> None:
    preview = CountingPreview()
    with WebServer(make_board(), preview, make_report, port=0) as server:
        rig = Rig.__new__(Rig)
        rig.server, rig.preview = server, preview
        for index in range(20):
            preview.write(make_frame(index))
        assert preview.fetched == 0
        viewers = [Viewer(rig) for _ in range(3)]
        for viewer in viewers:
            assert viewer.read() is not None
        assert preview.fetched <= 3
        for viewer in viewers:
            viewer.close()
    preview.close()


def test_a_viewer_that_reads_nothing_slows_nobody(rig: Rig) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (360, 640, 3), np.uint8)  # some 300 KB a picture
    request = b"GET /preview.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with rig.raw(request), rig.raw(request):
        viewer = Viewer(rig, "?fps=60")
        for index in range(40):
            rig.preview.write(Frame(noise, index, index, Fraction(1, 30), 0.0))
            assert viewer.read() is not None
        started = time.monotonic()
        assert rig.get("/api/state")[0] == 200
        assert time.monotonic() - started < 5
        viewer.close()


def test_a_slow_viewer_gets_the_newest_picture(rig: Rig) -> None:
    viewer = Viewer(rig, "?fps=20")
    for index in range(100):
        rig.preview.write(make_frame(index, value=index))
    first = viewer.read()
    assert first is not None
    rig.preview.write(make_frame(100, value=220))
    last = first
    for _ in range(3):
        if abs(int(last[0, 0, 0]) - 220) < 4:
            break
        picture = viewer.read()
        assert picture is not None
        last = picture
    assert abs(int(last[0, 0, 0]) - 220) < 4  # not the 100 frames in between
    viewer.close()
