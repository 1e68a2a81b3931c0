"""The timeline of a session on a clock of the test's own."""

import pytest

from livestyle.live.stats import HOUR, Stats


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_timeline_counts_frames_second_by_second(clock: Clock):
    stats = Stats(clock)
    stats.set_painting(0, (640, 360))
    assert stats.timeline() == []
    for second, rate in enumerate((30, 20, 10)):
        for number in range(rate):
            clock.now = 100.0 + second + number / rate
            stats.add_written("null", clock.now)
            if number % 2:
                stats.add_written("slow", clock.now)
        stats.set_painting(1, (512, 288))
    clock.now = 103.0
    line = stats.timeline()
    assert [entry.second for entry in line] == [0, 1, 2]
    assert [entry.fps for entry in line] == [30, 20, 10]
    assert {(entry.size, entry.level) for entry in line} == {("512x288", 1)}  # as it was at its end


def test_seconds_without_a_frame_are_in_it_and_drops_are_counted_where_they_were(clock: Clock):
    stats = Stats(clock)
    stats.add_written("null", clock.now)
    clock.now += 2.5
    stats.add_dropped(7)
    stats.add_missed("null", 2)
    stats.add_written("null", clock.now)
    clock.now += 1.0
    assert [(entry.fps, entry.dropped) for entry in stats.timeline()] == [(1, 0), (0, 0), (1, 9)]


def test_a_long_session_keeps_the_newest_hour(clock: Clock):
    stats = Stats(clock)
    stats.add_written("null", clock.now)
    clock.now += 2 * HOUR
    line = stats.timeline()
    assert len(line) == HOUR
    assert line[-1].second == 2 * HOUR - 1
    clock.now += 1.0
    assert stats.timeline()[-1].second == 2 * HOUR


def test_the_report_says_how_it_is_painted_and_how_much_memory_that_takes(clock: Clock):
    stats = Stats(clock)
    stats.set_painting(2, (384, 216))
    report = stats.report()
    assert report["painting"] == {"level": 2, "size": "384x216"}
    assert report["rss_mb"] is None or report["rss_mb"] > 10
