"""The preview sink behind the page."""

import threading
from fractions import Fraction

import pytest
from web_rig import make_frame

from livestyle.errors import SinkError
from livestyle.media import AudioPacket
from livestyle.sinks import web
from livestyle.sinks.web import PreviewSink


def test_the_sink_keeps_the_newest_frame() -> None:
    with PreviewSink() as sink:
        assert sink.wait_newer(0, 0.0) is None
        for index in range(5):
            sink.write(make_frame(index))
        newest = sink.wait_newer(0, 0.0)
        assert newest is not None
        assert newest[0] == 5
        assert newest[1].index == 4
        assert sink.wait_newer(5, 0.01) is None
        sink.interrupt()
        sink.write_audio(AudioPacket(b"", 0, 0, Fraction(1, 1000)))


def test_the_sink_wakes_its_waiters_on_write_and_on_close() -> None:
    sink = PreviewSink()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(sink.wait_newer(0, 20.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    sink.write(make_frame(0))
    for thread in threads:
        thread.join(5)
    assert [item is not None for item in found] == [True] * 3
    waiter = threading.Thread(target=lambda: found.append(sink.wait_newer(1, 20.0)))
    waiter.start()
    sink.close()
    sink.close()
    waiter.join(5)
    assert found[-1] is None
    assert sink.wait_newer(0, 20.0) is None
    with pytest.raises(SinkError):
        sink.write(make_frame(1))


def test_the_sink_knows_whether_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    with PreviewSink() as sink:
        sink.write(make_frame(0))
        assert not sink.watched
        sink.wait_newer(0, 0.0)
        assert sink.watched
        monkeypatch.setattr(web, "LOOKING", 0.0)
        assert not sink.watched
