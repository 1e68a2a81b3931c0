"""The thread behind every device: what waits, what is dropped, and that nobody waits for it longer than said."""

import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from livestyle.errors import SourceError, SourceLost
from livestyle.media import AudioPacket, StreamInfo
from livestyle.sources.reader import AHEAD, Picture, Reader

STALL = SourceLost("nothing came")
PIXELS = np.zeros((2, 2, 3), np.uint8)


def info(live: bool) -> StreamInfo:
    return StreamInfo(2, 2, Fraction(30), live)


def picture(index: int) -> Picture:
    return Picture(lambda: PIXELS, index, index, Fraction(1, 30), 0.0)


def sound(pts: int) -> AudioPacket:
    return AudioPacket(b"x", pts, 1, Fraction(1, 30))


def test_live_keeps_the_newest_picture_and_all_sound_in_order() -> None:
    def produce(reader: Reader) -> None:
        reader.announce(info(live=True))
        for number in range(100):
            reader.offer(picture(number))
            reader.offer(sound(number))

    reader = Reader("test", produce)
    reader.opened(5.0, "late")
    reader._thread.join(5.0)
    items = [reader.take(1.0, STALL) for _ in range(101)]
    assert [item.pts for item in items if isinstance(item, AudioPacket)] == list(range(100))
    assert isinstance(items[99], Picture)  # between its neighbours' sound
    assert items[99].index == 99
    assert reader.take(1.0, STALL) is None


def test_a_file_waits_for_its_reader_and_loses_nothing() -> None:
    offered: list[int] = []

    def produce(reader: Reader) -> None:
        reader.announce(info(live=False))
        for number in range(50):
            reader.offer(picture(number))
            offered.append(number)

    reader = Reader("test", produce)
    reader.opened(5.0, "late")
    seen = []
    while isinstance(item := reader.take(5.0, STALL), Picture):
        seen.append(item.index)
        assert len(offered) <= len(seen) + AHEAD
    assert seen == list(range(50))


def test_an_open_that_takes_too_long_is_an_error_and_can_be_cancelled() -> None:
    release = threading.Event()

    def produce(reader: Reader) -> None:
        release.wait(30.0)

    with pytest.raises(SourceError, match="too late"):
        Reader("test", produce).opened(0.1, "too late")
    cancel = threading.Event()
    threading.Timer(0.1, cancel.set).start()
    with pytest.raises(SourceError, match="on request"):
        Reader("test", produce).opened(30.0, "late", cancel)
    release.set()


def test_a_stall_raises_and_a_failure_comes_after_what_was_read() -> None:
    release = threading.Event()

    def produce(reader: Reader) -> None:
        reader.announce(info(live=True))
        release.wait(30.0)
        reader.offer(picture(0))
        raise SourceLost("unplugged")

    reader = Reader("test", produce)
    reader.opened(5.0, "late")
    with pytest.raises(SourceLost, match="nothing came"):
        reader.take(0.05, STALL)
    release.set()
    assert isinstance(reader.take(5.0, STALL), Picture)
    for _ in range(2):
        with pytest.raises(SourceLost, match="unplugged"):
            reader.take(5.0, STALL)


@pytest.mark.parametrize("live", [True, False])
def test_close_and_interrupt_stop_the_thread_and_whoever_waits(live: bool) -> None:
    def produce(reader: Reader) -> None:
        reader.announce(info(live))
        number = 0
        while reader.offer(picture(number)):
            number += 1

    for stop in (Reader.interrupt, Reader.close):
        reader = Reader("test", produce)
        reader.opened(5.0, "late")
        stop(reader)
        reader._thread.join(5.0)
        assert not reader._thread.is_alive()


def test_interrupt_wakes_a_waiting_take() -> None:
    release = threading.Event()

    def produce(reader: Reader) -> None:
        reader.announce(info(live=True))
        release.wait(30.0)

    reader = Reader("test", produce)
    reader.opened(5.0, "late")
    threading.Timer(0.1, reader.interrupt).start()
    started = time.monotonic()
    assert reader.take(None, STALL) is None
    assert time.monotonic() - started < 1.0
    reader.close()
    with pytest.raises(SourceError, match="closed"):
        reader.take(None, STALL)
    release.set()
