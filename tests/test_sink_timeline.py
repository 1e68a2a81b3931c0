"""The output clock: it goes on whatever the source's clock does, and sound stays with its picture."""

from fractions import Fraction

import numpy as np

from livestyle.media import AudioPacket, Frame
from livestyle.sinks.timeline import HOLD_SECONDS, Timeline

MS = Fraction(1, 1000)
PIXELS = np.zeros((2, 2, 3), np.uint8)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def frame(milliseconds: int) -> Frame:
    return Frame(PIXELS, 0, milliseconds, MS, 0.0)


def packet(milliseconds: int) -> AudioPacket:
    return AudioPacket(b"", milliseconds, 21, MS)


def test_a_file_keeps_its_gaps_and_starts_at_zero() -> None:
    timeline = Timeline(False, MS, Clock())
    assert [int(timeline.place(frame(at)) / MS) for at in (5000, 5040, 9000, 9001)] == [0, 40, 4000, 4001]


def test_time_never_runs_back() -> None:
    timeline = Timeline(False, MS, Clock())
    assert [int(timeline.place(frame(at)) / MS) for at in (0, 40, 20, 40, 80)] == [0, 40, 41, 42, 80]


def test_a_live_source_that_starts_again_goes_on_at_the_wall_clock() -> None:
    clock = Clock()
    timeline = Timeline(True, MS, clock)
    timeline.place(frame(700_000))
    clock.now += 10
    assert timeline.place(frame(710_000)) == 10
    clock.now += 5
    assert timeline.place(frame(0)) == 15  # opened again after 5 s
    clock.now += 1
    assert timeline.place(frame(1000)) == 16


def test_a_held_picture_moves_with_the_wall_clock() -> None:
    clock = Clock()
    timeline = Timeline(True, MS, clock)
    placed = []
    for _ in range(4):
        placed.append(timeline.place(frame(500)))
        clock.now += 0.5
    assert [float(at) for at in placed] == [0.0, 0.5, 1.0, 1.5]
    assert timeline.place(frame(2500)) == 2  # the source's own clock still holds


def test_sound_waits_for_its_picture() -> None:
    timeline = Timeline(True, MS, Clock())
    for at in (980, 1000, 1020, 1050):
        timeline.hold(packet(at))
    assert timeline.due() == []
    timeline.place(frame(1000))
    assert [int(at / MS) for at, _ in timeline.due()] == [0]  # 980 was before the first picture
    timeline.place(frame(1033))
    assert [int(at / MS) for at, _ in timeline.due()] == [20]
    assert [int(at / MS) for at, _ in timeline.flush()] == [50]


def test_sound_does_not_wait_for_ever() -> None:
    clock = Clock()
    timeline = Timeline(True, MS, clock)
    timeline.place(frame(0))
    timeline.hold(packet(500))
    timeline.hold(packet(900_000))  # on a clock that no picture has shown yet
    clock.now += HOLD_SECONDS
    assert [int(at / MS) for at, _ in timeline.due()] == [500]
    timeline.hold(packet(600))
    timeline.place(frame(700))
    assert [int(at / MS) for at, _ in timeline.due()] == [600]


def test_sound_moves_with_the_pictures_when_a_source_starts_again() -> None:
    clock = Clock()
    timeline = Timeline(True, MS, clock)
    timeline.place(frame(50_000))
    clock.now += 10
    timeline.hold(packet(59_990))
    timeline.place(frame(60_000))
    assert len(timeline.due()) == 1
    clock.now += 5
    timeline.hold(packet(59_000))  # left over from the old clock
    timeline.place(frame(0))
    timeline.hold(packet(0))
    timeline.due()
    clock.now += 1
    timeline.hold(packet(990))
    timeline.place(frame(1000))
    assert [float(at) for at, _ in timeline.due()] == [15.99]


def test_sound_that_a_splice_made_overlap_never_shares_a_tick() -> None:
    timeline = Timeline(False, MS, Clock())
    timeline.place(frame(0))
    timeline.place(frame(100))
    fine = Fraction(1, 90_000)
    for at in (0, 1920, 1921, 1919, 3840):
        timeline.hold(AudioPacket(b"", at, 1920, fine))
    assert [at / fine for at, _ in timeline.due()] == [0, 1920, 3840]
    for at in (9600, 9601, 11_520):
        timeline.hold(AudioPacket(b"", at, 1920, fine))
    assert [at / fine for at, _ in timeline.flush()] == [9600, 11_520]
