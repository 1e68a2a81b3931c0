"""Slot, Lane and Group: what passes between threads, and how threads end."""

import threading
import time

import pytest

from livestyle.errors import LivestyleError, SinkError
from livestyle.live.handoff import Closed, Group, Lane, Slot

BOUND = 5.0  # s, hang bound


def run_beside(target):
    """Start a thread and return a function that waits for it and says whether it ended."""
    thread = threading.Thread(target=target, name="beside", daemon=True)
    thread.start()

    def ended() -> bool:
        thread.join(BOUND)
        return not thread.is_alive()

    return ended


def test_a_slot_gives_the_newest_and_counts_the_rest():
    slot: Slot[int] = Slot()
    assert [slot.put(1), slot.put(2), slot.put(3)] == [True, False, False]
    assert slot.get() == 3
    assert slot.overwritten == 2
    assert slot.get(0.0) is None


def test_a_slot_can_hold_none():
    slot: Slot[int | None] = Slot()
    assert slot.put(None)
    assert not slot.put(None)


@pytest.mark.parametrize("make", [Slot, Lane])
def test_closing_wakes_a_waiting_reader(make):
    handoff = make()
    seen = []

    def read() -> None:
        try:
            handoff.get()
        except Closed:
            seen.append("closed")

    ended = run_beside(read)
    handoff.close()
    assert ended()
    assert seen == ["closed"]


def test_closing_wakes_a_waiting_writer():
    lane: Lane[int] = Lane(1)
    lane.put(1)
    seen = []

    def write() -> None:
        try:
            lane.put(2)
        except Closed:
            seen.append("closed")

    ended = run_beside(write)
    lane.close()
    assert ended()
    assert seen == ["closed"]


@pytest.mark.parametrize("make", [Slot, Lane])
def test_what_is_held_at_closing_can_be_taken_unless_discarded(make):
    kept, lost = make(), make()
    kept.put(1)
    lost.put(1)
    kept.close()
    kept.close()
    lost.close(discard=True)
    assert kept.get() == 1
    for handoff in (kept, lost):
        with pytest.raises(Closed):
            handoff.get()
        with pytest.raises(Closed):
            handoff.put(2)


def test_a_lane_loses_nothing_and_keeps_order():
    lane: Lane[int] = Lane(2)

    def write() -> None:
        for number in range(500):
            lane.put(number)
        lane.close()

    ended = run_beside(write)
    assert [lane.get(BOUND) for _ in range(500)] == list(range(500))
    with pytest.raises(Closed):
        lane.get(BOUND)
    assert ended()


def test_a_full_lane_times_out_both_ways():
    lane: Lane[int] = Lane(1)
    assert lane.get(0.0) is None
    assert lane.put(1)
    assert lane.put(2, timeout=0.01) is False
    assert lane.get() == 1


def test_a_group_raises_the_first_failure_and_ends_the_others():
    group = Group()
    slot: Slot[int] = Slot()
    group.on_stop(slot.close)

    def wait() -> None:
        with pytest.raises(Closed):
            slot.get()

    def fail() -> None:
        raise SinkError("no more")

    group.start("waiting", wait)
    group.start("failing", fail)
    assert group.wait(BOUND)
    with pytest.raises(SinkError, match="no more"):
        group.join()
    assert not {"waiting", "failing"} & {thread.name for thread in threading.enumerate()}


def test_a_group_lets_threads_finish_before_it_interrupts():
    group = Group()
    order = []
    slot: Slot[int] = Slot()
    blocked = threading.Event()
    group.on_stop(slot.close)
    group.on_stuck(lambda: (order.append("interrupt"), blocked.set()))

    def finish() -> None:
        with pytest.raises(Closed):
            slot.get()
        order.append("finished")

    group.start("finishing", finish)
    group.start("blocked", lambda: blocked.wait(BOUND))
    group.join()
    assert order == ["finished", "interrupt"]


def test_a_group_names_what_did_not_stop():
    group = Group()
    release = threading.Event()
    group.start("deaf", lambda: release.wait(BOUND))
    with pytest.raises(LivestyleError, match="deaf"):
        group.join(deadline=0.2)
    release.set()


def test_one_bad_closer_does_not_keep_the_others_from_running():
    group = Group()
    slot: Slot[int] = Slot()

    def fail() -> None:
        raise OSError("device gone")

    group.on_stop(fail)
    group.on_stop(slot.close)
    group.join()
    with pytest.raises(Closed):
        slot.get()


def test_a_group_is_done_when_all_threads_have_ended():
    group = Group()
    assert group.wait(0.0)
    gate = threading.Event()
    group.start("one", lambda: gate.wait(BOUND))
    assert not group.wait(0.0)
    gate.set()
    assert group.wait(BOUND)
    group.join()


def test_a_put_costs_microseconds():
    slot: Slot[int] = Slot()
    begun = time.perf_counter()
    for number in range(10_000):
        slot.put(number)
    assert time.perf_counter() - begun < 2.0  # a hang bound, not a benchmark: 1 µs each when nothing else runs
