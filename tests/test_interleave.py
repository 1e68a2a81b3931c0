"""Picture and sound that a server moves against each other on the way stay together all the same."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from clips import make_clip
from live_http import served

from livestyle.errors import SourceLost
from livestyle.media import Frame
from livestyle.sources.interleave import WINDOW, Interleave
from livestyle.sources.stream import StreamSource
from livestyle.sources.timeline import Timeline, Track

MS = Fraction(1, 1000)
PICTURE, SOUND = 33, 21  # ms
PICTURES = 9  # the kind of their FLV tags


class Stream:
    """Two tracks of one stream in milliseconds, fed in the order in which a publisher sends."""

    def __init__(self) -> None:
        self.timeline = Timeline(live=True)
        self.timeline.start(Fraction(0))
        self.pictures, self.sound = Track(self.timeline, MS, PICTURE), Track(self.timeline, MS, SOUND)
        self.interleave = Interleave(self.timeline, self.pictures, self.sound)
        self.time = self.zero = 0  # ms

    def play(
        self, seconds: float, *, late: int = 0, early: int = 0, chunk: int = 1, restarts: bool = False
    ) -> list[int]:
        """How much later than its sound each picture is, in ms, in the end.

        The server leaves out ``late`` ms of pictures and ``early`` ms of sound and takes what follows for that much
        sooner. Sound comes ``chunk`` packets at a time; stamps go on from 0 if the publisher ``restarts``.
        """
        begun, leads, ahead = self.time, [], 0
        self.zero = begun if restarts else self.zero
        self.time += round(1000 * seconds)
        for moment in range(begun, self.time):
            now, stamp = moment / 1000, moment - self.zero
            if moment % (SOUND * chunk) == 0 and moment >= begun + early:
                for back in range(SOUND * (chunk - 1), -1, -SOUND):
                    pts = self.sound.mend(stamp - back - early, SOUND, now)
                    ahead = pts - (moment - back)
                    self.interleave.hear(pts)
            if moment % PICTURE == 0 and moment >= begun + late:
                pts = self.pictures.mend(stamp - late, PICTURE, now)
                leads.append(pts - moment - ahead)
                self.interleave.see(pts)
        return leads


@pytest.mark.parametrize(("late", "early"), [(300, 0), (0, 250), (66, 0), (339, 75)])
def test_time_that_one_of_them_has_lost_is_made_up_for(late: int, early: int) -> None:
    stream = Stream()
    assert set(stream.play(3.0)) == {0}
    leads = stream.play(3.0, late=late, early=early)
    assert all(abs(lead) <= 12 for lead in leads[2 * WINDOW :])


def test_what_the_server_puts_right_by_itself_is_right() -> None:
    stream = Stream()
    stream.play(3.0)
    stream.play(3.0, late=300)
    assert all(abs(lead) <= 12 for lead in stream.play(3.0)[2 * WINDOW :])


@pytest.mark.parametrize("chunk", [2, 5, 20])
def test_sound_that_comes_in_chunks_is_left_alone(chunk: int) -> None:
    assert set(Stream().play(30.0, chunk=chunk)) == {0}


def test_another_publisher_is_measured_by_itself() -> None:
    stream = Stream()
    stream.play(3.0)
    stream.play(3.0, late=300)
    assert set(stream.play(10.0, restarts=True)[1:]) == {0}


def lose_time(film: bytes, since: int, lost: int) -> bytes:
    """The same FLV without its pictures from ``since`` to ``since + lost`` ms, as if that time had not been."""
    out, at = bytearray(film[:13]), 13  # behind the header
    while at < len(film):
        length = 11 + int.from_bytes(film[at + 1 : at + 4], "big") + 4
        tag, stamp = bytearray(film[at : at + length]), int.from_bytes(film[at + 4 : at + 7], "big")
        at += length
        if tag[0] == PICTURES and stamp >= since:
            if stamp < since + lost:
                continue
            tag[4:7] = (stamp - lost).to_bytes(3, "big")
        out += tag
    return bytes(out)


def last_stamps(source: StreamSource) -> tuple[float, float]:
    """Seconds of the last picture and the last sound."""
    picture = sound = -1.0
    with suppress(SourceLost):
        while (item := source.read()) is not None:
            if isinstance(item, Frame):
                picture = item.seconds
            else:
                sound = item.seconds
    return picture, sound


@pytest.mark.parametrize("lost", [0, 300])
def test_a_stream_whose_server_left_pictures_out_stays_in_step(lost: int, tmp_path: Path) -> None:
    options = {"flvflags": "no_duration_filesize"}
    film = make_clip(tmp_path / "film.flv", 180, (64, 48), options=options).read_bytes()
    with served(lose_time(film, 2_010, lost)) as url, StreamSource(url) as source:
        assert source.info.live
        assert last_stamps(source) == pytest.approx((179 / 30, 6.0), abs=0.03)
