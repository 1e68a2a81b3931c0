"""Pacing, timelines and waits as pure functions: a simulated clock, no threads."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livestyle.live.pacing import (
    BURST,
    LAG_LIMIT,
    LATE,
    SOUND_HOLD,
    Action,
    Pace,
    Timeline,
    backoff,
    decide,
    is_overtaken,
    place,
    play_wait,
    restart,
    sound_due,
)

PERIOD = 1 / 30
EPSILON = 1e-6


def simulate(arrivals: list[tuple[float, float]], until: float, period: float = PERIOD):
    """Play (arrival, presentation) pairs into a paced sink; (monotonic, stamp, own time or None) of each write."""
    pace, now, waiting, written = Pace(period), 0.0, None, []
    queue = sorted(arrivals)
    while now < until:
        while queue and queue[0][0] <= now + EPSILON:
            waiting = queue.pop(0)[1]
        decision, pace = decide(pace, waiting, now)
        if decision.action is Action.NEW:
            written.append((now, decision.stamp, waiting))
            waiting = None
            continue
        if decision.action is Action.REPEAT:
            written.append((now, decision.stamp, None))
            continue
        wakes = [until] + ([decision.until] if decision.until is not None else []) + ([queue[0][0]] if queue else [])
        now = max(now + EPSILON, min(wakes))
    return written


def even(count: int, fps: float, latency: float = 0.1, start: float = 0.0) -> list[tuple[float, float]]:
    """Frames of a steady source: (arrival, presentation)."""
    return [(start + n / fps + latency, start + n / fps) for n in range(count)]


def strictly_up(written) -> bool:
    stamps = [stamp for _, stamp, _ in written]
    return all(b > a for a, b in pairwise(stamps))


def test_nothing_is_written_before_the_first_frame():
    assert simulate([], 2.0) == []


def test_a_steady_source_passes_with_its_own_times():
    written = simulate(even(60, 30), 2.1)
    assert [own for _, _, own in written if own is not None] == pytest.approx([n / 30 for n in range(60)])
    assert all(stamp == own for _, stamp, own in written if own is not None)


def test_a_jittery_source_loses_nothing():
    arrivals = [(0.1 + n / 30 + (0.012 if n % 3 == 0 else -0.002), n / 30) for n in range(90)]
    written = simulate(arrivals, 3.2)
    assert sum(own is not None for _, _, own in written) == 90


def test_a_faster_source_is_thinned_to_the_output_rate():
    written = simulate(even(120, 60), 2.05)
    assert 55 <= len(written) <= 63
    assert all(own is not None for _, _, own in written)


def test_a_slower_source_is_filled_with_repeats():
    written = simulate(even(20, 10), 2.05)
    assert sum(own is not None for _, _, own in written) == 20
    assert 55 <= len(written) <= 63
    assert strictly_up(written)


def test_a_lost_source_repeats_at_the_output_rate_and_never_goes_blank():
    written = simulate(even(30, 30), 11.0)
    late = [moment for moment, _, own in written if own is None]
    assert len(late) == pytest.approx(10 * 30, abs=8)
    gaps = [b - a for (a, _, _), (b, _, _) in pairwise(written)]
    assert max(gaps) < 2 * PERIOD
    assert strictly_up(written)


def test_after_a_stall_that_the_source_makes_up_for_the_offset_is_gone():
    first = even(30, 30)
    after = even(60, 30, start=2.0)  # went on in real time
    written = simulate(first + after, 4.2)
    assert strictly_up(written)
    tail = [stamp - own for _, stamp, own in written[-10:] if own is not None]
    assert max(abs(offset) for offset in tail) <= 2 * PERIOD


def test_after_a_stall_that_stays_the_offset_shrinks_back():
    first = even(30, 30)
    after = [(2.0 + 0.25 + n / 30, 1.0 + n / 30) for n in range(150)]  # late for ever
    written = simulate(first + after, 8.0)
    assert strictly_up(written)
    tail = [stamp - own for _, stamp, own in written[-60:] if own is not None]
    assert tail
    assert max(abs(offset) for offset in tail) <= 2 * PERIOD


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 0.2), st.floats(0.005, 0.2)), min_size=1, max_size=60),
    st.sampled_from([1 / 15, 1 / 25, 1 / 30, 1 / 60]),
)
def test_whatever_comes_stamps_increase_and_the_rate_is_kept(steps, period):
    arrivals, moment, own = [], 0.0, 0.0
    for gap, advance in steps:
        moment, own = moment + gap, own + advance
        arrivals.append((moment, own))
    until = moment + 1.0
    written = simulate(arrivals, until, period)
    assert strictly_up(written)
    assert len(written) <= until / period + 3
    assert written[-1][0] >= until - 3 * period - 0.01 or written[-1][1] > own


def test_sound_waits_for_its_picture_but_not_for_ever():
    assert not sound_due(1.0, arrived=10.0, picture=None, now=10.5)
    assert not sound_due(1.0, arrived=10.0, picture=0.9, now=10.5)
    assert sound_due(1.0, arrived=10.0, picture=1.0, now=10.5)
    assert sound_due(1.0, arrived=10.0, picture=None, now=10.0 + SOUND_HOLD)


def test_the_first_item_of_a_timeline_is_now():
    offset, _ = place(Timeline(start=100.0), 5000.0, 100.5)
    assert 5000.0 + offset == pytest.approx(0.5)


def test_a_steady_clock_keeps_its_offset():
    line, offsets = Timeline(start=0.0), set()
    for n in range(300):
        offset, line = place(line, 7.0 + n / 30, n / 30 + (0.02 if n % 4 else 0.0))
        offsets.add(offset)
    assert len(offsets) == 1


def test_a_source_opened_again_goes_on_in_step_with_the_clock():
    line = Timeline(start=0.0)
    for n in range(30):
        offset, line = place(line, 50.0 + n / 30, n / 30)
    offset, line = place(restart(line), 0.0, 9.0)
    assert offset == pytest.approx(9.0)


def test_a_burst_of_what_a_server_kept_ends_at_now():
    line, placed = Timeline(start=0.0), []
    for n in range(60):  # two seconds at once
        offset, line = place(line, 50.0 + n / 30, 1.0 + n / 1000)
        placed.append(50.0 + n / 30 + offset)
    assert placed == pytest.approx([1.0 + n / 1000 for n in range(60)])
    for n in range(60, 90):  # then as it is made
        offset, line = place(line, 50.0 + n / 30, 1.059 + (n - 59) / 30)
        assert 50.0 + n / 30 + offset == pytest.approx(1.059 + (n - 59) / 30)


def test_whoever_comes_back_after_a_burst_goes_on_where_the_clock_is():
    line = Timeline(start=0.0)
    _, line = place(line, 0.0, 0.0)
    _, line = place(line, 3.0, 0.0)
    offset, line = place(restart(line), 100.0, 1.0)
    assert 100.0 + offset == pytest.approx(1.0)


def test_a_clock_that_restarts_without_a_reconnect_is_followed():
    line = Timeline(start=0.0)
    _, line = place(line, 600.0, 0.0)
    offset, line = place(line, 0.0, 1.0)
    assert offset == pytest.approx(1.0)


def test_a_stall_that_stays_moves_picture_and_sound_together():
    line = Timeline(start=0.0)
    for n in range(60):
        offset, line = place(line, n / 30, n / 30)
    offsets = []
    for n in range(60, 300):
        offset, line = place(line, n / 30, n / 30 + 1.0)
        offsets.append(offset)
    assert offsets[0] == pytest.approx(0.0)
    assert offsets[-1] == pytest.approx(1.0, abs=LAG_LIMIT)


def test_after_a_silence_it_is_soon_known_that_nothing_was_kept():
    line = Timeline(start=0.0)
    for n in range(90):
        offset, line = place(line, n / 30, n / 30)
    for n in range(90, 90 + 20):  # a publisher who left and came back 2.5 s later, on the same connection
        offset, line = place(line, n / 30, n / 30 + 2.5)
    assert offset == pytest.approx(2.5)


def test_a_frame_that_a_repeat_has_overtaken_is_soon_back_at_its_time():
    arrivals = even(30, 30) + [(1.06 + n / 30, 1.0 + n / 30) for n in range(10)]  # 60 ms later from then on
    written = simulate(arrivals, 1.6)
    leads = [stamp - own for _, stamp, own in written if own is not None]
    assert max(leads) <= 1.5 * PERIOD
    assert leads[-3:] == pytest.approx([0.0] * 3, abs=0.001)


def test_a_stall_that_is_made_up_for_moves_nothing():
    line = Timeline(start=0.0)
    for n in range(60):
        offset, line = place(line, n / 30, n / 30)
    for n in range(60, 300):
        offset, line = place(line, n / 30, max(3.0, n / 30))
    assert offset == pytest.approx(0.0)


def test_pictures_of_a_burst_after_a_silence_are_passed_over_until_it_is_over():
    line, overtaken = Timeline(start=100.0), []
    for number in range(300):
        seconds = number / 30
        # silent from second 4 to 8; what was kept then comes at five times its speed, over in 1 s
        now = 100.0 + (seconds if seconds < 4.0 else max(seconds, 8.0 + (seconds - 4.0) / 5))
        offset, line = place(line, seconds, now)
        assert offset == pytest.approx(0.0, abs=1e-6)
        overtaken.append(is_overtaken(line, seconds))
        assert overtaken[-1] == (now - 100.0 - seconds > LATE)
    assert 120 < sum(overtaken) < 150


def test_after_a_silence_that_nothing_makes_up_for_pictures_are_soon_shown_again():
    line, overtaken = Timeline(start=100.0), []
    for number in range(300):
        seconds = number / 30
        _, line = place(line, seconds, 100.0 + seconds + (4.0 if seconds >= 4.0 else 0.0))
        overtaken.append(is_overtaken(line, seconds))
    assert not any(overtaken[:120])
    assert sum(overtaken) <= 30 * BURST + 1


def test_pictures_that_come_late_after_every_pause_are_shown():
    line, overtaken = Timeline(start=0.0), []
    for number in range(300):  # a starved machine: half a second of nothing, then what is always 0.1 s late
        if number % 30 >= 15:
            continue
        seconds = number / 30
        _, line = place(line, seconds, seconds + (0.1 if number > 30 else 0.0))
        overtaken.append(is_overtaken(line, seconds))
    assert sum(overtaken) <= len(overtaken) / 4


def test_a_file_is_played_at_its_own_speed():
    assert play_wait(begun=10.0, first=2.0, seconds=2.5, now=10.1) == pytest.approx(0.4)
    assert play_wait(begun=10.0, first=2.0, seconds=2.5, now=11.0) == 0.0


def test_the_pauses_before_reopening_stay_short():
    pauses = [backoff(n, 0.5) for n in range(10_000)]
    assert pauses[0] == pytest.approx(0.5)
    assert pauses == sorted(pauses)
    assert sum(pauses[:15]) > 12.0
    assert pauses[-1] == pytest.approx(2.0)
    assert backoff(0, 0.0) == pytest.approx(0.4)
    assert backoff(0, 0.999) < 0.61
