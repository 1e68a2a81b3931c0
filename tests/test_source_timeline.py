"""Time stamps: zero at the start, never backwards, in step across streams, whatever the container says."""

from fractions import Fraction

from livestyle.sources.timeline import Timeline, Track

MS = Fraction(1, 1000)


def video(live: bool = True, first: int = 0) -> tuple[Timeline, Track]:
    timeline = Timeline(live)
    timeline.start(first * MS)
    return timeline, Track(timeline, MS, 33)


def test_starts_at_zero_and_keeps_the_rhythm_of_a_variable_rate() -> None:
    _, track = video(first=1400)
    assert [track.mend(stamp, 0, 0.0) for stamp in (1400, 1433, 1533, 1540)] == [0, 33, 133, 140]


def test_missing_stamps_are_filled_in_by_the_duration() -> None:
    _, track = video()
    assert [track.mend(stamp, duration, 0.0) for stamp, duration in ((None, 40), (None, 0), (None, 40))] == [0, 40, 80]


def test_equal_and_slightly_backward_stamps_become_increasing() -> None:
    _, track = video()
    assert [track.mend(stamp, 0, 0.0) for stamp in (0, 33, 33, 20, 66)] == [0, 33, 34, 35, 66]


def test_a_clock_that_starts_again_is_carried_on() -> None:
    for live in (True, False):
        _, track = video(live)
        pts = [track.mend(stamp, 33, stamp / 1000) for stamp in (3_000, 3_033, 0, 33)]
        assert pts == [3_000, 3_033, 3_066, 3_099]


def test_a_jump_ahead_is_a_pause_in_a_file_and_a_new_clock_in_a_live_stream() -> None:
    _, file_track = video(live=False)
    assert [file_track.mend(stamp, 33, 0.0) for stamp in (0, 11_000)] == [0, 11_000]
    _, live_track = video(live=True)
    assert [live_track.mend(stamp, 33, 1.0) for stamp in (0, 11_000)] == [0, 33]


def test_a_live_pause_that_really_lasted_is_kept() -> None:
    _, track = video()
    assert [track.mend(stamp, 33, now) for stamp, now in ((0, 100.0), (11_000, 111.0))] == [0, 11_000]


def test_sound_follows_the_picture_to_the_new_clock_and_stays_in_step() -> None:
    timeline, pictures = video()
    sound = Track(timeline, Fraction(1, 48_000), 1024)
    for number in range(31):
        pictures.mend(number * 33, 33, 0.0)
    last = [sound.mend(number * 1024, 1024, 0.0) for number in range(45)][-1]
    picture = pictures.mend(500_000, 33, 0.0)
    packet = sound.mend(500_000 * 48, 1024, 0.0)  # the very same moment of the new clock
    assert packet > last
    assert abs(float(picture * MS - Fraction(packet, 48_000))) < 0.001


def test_streams_of_different_time_bases_share_the_start() -> None:
    timeline = Timeline(live=False)
    timeline.start(Fraction(3, 2))
    sound = Track(timeline, Fraction(1, 48_000), 1024)
    assert sound.mend(72_000 - 1024, 1024, 0.0) == -1024  # sound from before the first picture lies before zero


def test_a_stamp_that_cannot_be_is_carried_over() -> None:
    for live in (True, False):
        for wild in (2**62, -(2**62)):
            _, track = video(live)
            assert [track.mend(stamp, 33, 0.0) for stamp in (0, 33, wild, 66, 99)] == [0, 33, 66, 99, 132]


def test_a_first_stamp_that_cannot_be_is_zero() -> None:
    timeline, _ = video(live=False)
    sound = Track(timeline, Fraction(1, 48_000), 1024)
    assert [sound.mend(stamp, 1024, 0.0) for stamp in (-(2**62), 1024 - 2**62)] == [0, 1024]


def test_a_track_that_was_ahead_takes_the_new_clock_of_the_other_and_stays_in_step() -> None:
    timeline, pictures = video()
    sound = Track(timeline, MS, 21)
    shown = [pictures.mend(number * 33, 33, number * 0.033) for number in range(60)][-1]
    for number in range(60):  # 0.7 s behind its picture when the publisher leaves
        sound.mend(number * 21, 21, number * 0.033)
    sound.mend(0, 21, 3.0)
    assert pictures.mend(0, 33, 3.0) > shown
    for number in range(1, 60):
        picture = pictures.mend(number * 33, 33, 3.0 + number * 0.033)
        packet = sound.mend(number * 33, 21, 3.0 + number * 0.033)
        assert picture == packet == shown + 33 + number * 33
