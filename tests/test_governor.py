"""The governor on a clock of its own: when it paints smaller, when it goes back, and what it does not mind."""

import itertools

import pytest

from livestyle.live.governor import PATIENCE, Governor, Rung, build_ladder

LADDER = build_ladder((640, 360))


class Show:
    """A source of 30 frames a second, a slot for one waiting frame, and a painter whose times are given.

    ``cost`` is what a frame takes at level 0; other levels take their share of it.
    """

    def __init__(self, governor: Governor, fps: float = 30.0) -> None:
        self.governor = governor
        self.period = 1.0 / fps
        self.now = 0.0
        self.next = 0
        self.painted = 0
        self.dropped = 0
        self.levels: list[int] = []

    def run(self, seconds: float, cost: float, *, stray: dict[int, float] | None = None) -> "Show":
        """Go on for ``seconds``; ``stray`` are frames, counted from here, that take their own time."""
        end, first = self.now + seconds, self.painted
        while self.now < end:
            newest = int(self.now / self.period + 1e-9)
            index = max(newest, self.next)
            self.now = max(self.now, index * self.period)
            skipped = index - self.next
            share = self.governor.rung.cost / self.governor.ladder[0].cost
            busy = (stray or {}).get(self.painted - first, cost * share)
            started, self.now = self.now, self.now + busy
            self.governor.observe(started, self.now, skipped)
            self.next = index + 1
            self.painted += 1
            self.dropped += skipped
            self.levels.append(self.governor.level)
        return self


def open_show(fps: float = 30.0, asked: float = 30.0) -> Show:
    governor = Governor(LADDER, asked)
    governor.allow(len(LADDER) - 1)
    return Show(governor, fps)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 360), [(640, 360), (512, 288), (384, 216), (384, 216)]),
        ((1280, 720), [(1280, 720), (1024, 576), (768, 432), (768, 432)]),
        ((640, 640), [(640, 640), (512, 512), (384, 384), (384, 384)]),
        ((160, 120), [(160, 120), (128, 96), (128, 96)]),
        ((64, 48), [(64, 48), (64, 48)]),
    ],
)
def test_the_ladder_gets_cheaper_by_steps_of_eight_pixels(size, expected):
    ladder = build_ladder(size)
    assert [rung.size for rung in ladder] == expected
    assert [rung.motion_every for rung in ladder] == [1] * (len(ladder) - 1) + [2]


def test_a_painter_with_time_to_spare_stays_at_the_asked_size():
    assert set(open_show().run(60, cost=0.028).levels) == {0}


def test_load_steps_down_within_a_second_and_the_rate_is_held():
    show = open_show().run(10, cost=0.020)
    show.run(1, cost=0.040)
    assert show.governor.level > 0
    dropped = show.dropped
    show.run(30, cost=0.040)
    assert dropped <= 3
    assert show.dropped == dropped


def test_a_heavy_load_goes_down_more_than_one_step_at_once():
    show = open_show().run(2, cost=0.020)
    show.run(4, cost=0.080)
    assert show.governor.level == 2 or show.governor.level == 3
    assert 1 not in show.levels


def test_it_comes_back_up_step_by_step_after_the_load_has_held_off_for_some_seconds():
    show = open_show().run(2, cost=0.020).run(5, cost=0.080)
    assert show.governor.level >= 2
    show.run(PATIENCE - 0.5, cost=0.020)
    assert show.governor.level >= 2
    show.levels.clear()
    show.run(4 * PATIENCE, cost=0.020)
    assert show.governor.level == 0
    assert show.levels == sorted(show.levels, reverse=True)
    assert 1 in show.levels


def test_it_does_not_come_back_up_into_the_same_load():
    show = open_show().run(2, cost=0.020).run(60, cost=0.040)
    lowest = show.governor.level
    assert lowest > 0
    assert set(show.levels[-1500:]) == {lowest}


def test_a_step_up_that_does_not_last_is_tried_less_and_less_often():
    show = open_show()
    show.run(1, cost=0.020)
    ups = []
    for _ in range(400):  # calm whenever it is down, too much whenever it is back
        level = show.governor.level
        show.run(0.25, cost=0.040 if level == 0 else 0.020)
        if show.governor.level < level:
            ups.append(show.now)
    pauses = [after - before for before, after in itertools.pairwise(ups)]
    assert len(pauses) >= 3
    assert pauses[-1] > 2 * pauses[0]


@pytest.mark.parametrize("hitch", [0.05, 0.3, 2.0])
def test_one_hitch_is_no_load(hitch: float):
    show = open_show().run(3, cost=0.022).run(10, cost=0.022, stray={5: hitch})
    assert set(show.levels) == {0}


def test_drops_between_frames_that_are_mostly_fast_enough_are_a_load_too():
    stray = dict.fromkeys(range(0, 3000, 3), 0.075)  # every third: the median frame looks harmless
    show = open_show().run(20, cost=0.024, stray=stray)
    assert show.governor.level > 0


def test_frames_lost_on_the_way_to_an_idle_painter_are_not_its_business():
    governor = Governor(LADDER, 30.0)
    governor.allow(3)
    for number in range(300):  # a network that loses every other frame
        assert governor.observe(number / 15, number / 15 + 0.010, skipped=1) == 0


def test_a_slow_camera_leaves_more_time_than_the_asked_rate():
    assert set(open_show(fps=15).run(30, cost=0.045).levels) == {0}


def test_a_lower_asked_rate_than_the_source_has_leaves_more_time():
    show = open_show(fps=30, asked=15).run(30, cost=0.045)
    assert set(show.levels) == {0}


def test_nothing_deeper_than_what_is_compiled():
    governor = Governor(LADDER, 30.0)
    show = Show(governor).run(5, cost=0.080)
    assert governor.level == 0
    governor.allow(1)
    show.run(2, cost=0.080)
    assert governor.level == 1
    governor.allow(3)
    show.run(2, cost=0.080)
    assert governor.level >= 2


def test_what_was_measured_before_a_gap_counts_for_nothing():
    governor = Governor(LADDER, 30.0)
    governor.allow(3)
    for number in range(100):
        governor.forget()
        assert governor.observe(number / 10, number / 10 + 0.1, skipped=2) == 0


def test_a_single_rung_is_never_left():
    governor = Governor((Rung((640, 360)),), 30.0)
    governor.allow(0)
    assert Show(governor).run(20, cost=0.2).governor.level == 0
