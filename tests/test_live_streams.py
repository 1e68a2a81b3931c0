"""Whole sessions over real media: files in and out, and a relay between RTMP servers that are killed on the way."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from clips import make_clip, number_of
from publisher import publisher
from servers import nginx_rtmp

from livestyle.controls import ControlBoard, Controls
from livestyle.errors import SourceError
from livestyle.live.outlet import SinkPlan
from livestyle.live.session import Session
from livestyle.live.stats import Stats
from livestyle.media import AudioPacket, Frame
from livestyle.sinks import open_sink
from livestyle.sources import open_source

BOUND = 90.0  # s, hang bound; a push waits up to 30 s between tries where a busy machine made it fail often


class Glass:
    """A painter through which the picture passes unchanged, so that frames can be told apart behind it."""

    styles = ("none",)
    stages: dict[str, float] = {}  # noqa: RUF012 (never written)

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        return frame

    def reset(self) -> None:
        """Nothing is remembered."""

    def close(self) -> None:
        """Nothing is held."""


def make_session(source: str, *sinks: str, stats: Stats, **options) -> tuple[Session, ControlBoard]:
    board = ControlBoard(Controls(mix=(("none", 1.0),)), Glass.styles)
    plans = [
        SinkPlan(f"sink{n}", lambda info, sink=sink: open_sink(sink, info), realtime="://" in sink)
        for n, sink in enumerate(sinks)
    ]
    session = Session(
        lambda cancel: open_source(source, cancel=cancel), plans, lambda info: Glass(), board, stats, **options
    )
    return session, board


@contextmanager
def running(session: Session, board: ControlBoard) -> Iterator[None]:
    """The session on a thread of its own; it is told to quit at the end, and has to within two seconds."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            session.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="session", daemon=True)
    thread.start()
    try:
        yield
    finally:
        board.run("quit")
        thread.join(BOUND)
    assert not thread.is_alive()
    assert not failures


def read_items(source: str) -> list[Frame | AudioPacket]:
    """Everything of a file."""
    items: list[Frame | AudioPacket] = []
    with open_source(source) as opened:  # type: ignore[attr-defined]
        while (item := opened.read()) is not None:
            items.append(item)
    return items


def watch(url: str, seconds: float) -> list[Frame | AudioPacket]:
    """What a viewer of ``url`` gets in so many seconds from the first picture on."""
    deadline = time.monotonic() + BOUND
    while True:
        try:
            opened = open_source(url)
            break
        except SourceError:
            assert time.monotonic() < deadline, f"nothing to see at {url}"
    items: list[Frame | AudioPacket] = []
    end = None
    try:
        while end is None or time.monotonic() < end:
            item = opened.read()
            assert item is not None
            items.append(item)
            if end is None and isinstance(item, Frame):
                end = time.monotonic() + seconds
    finally:
        opened.close()
    return items


def test_a_file_becomes_a_file_with_every_frame_and_its_sound(tmp_path: Path):
    clip, out, stats = make_clip(tmp_path / "in.mp4", 90), tmp_path / "out.mp4", Stats()
    session, _ = make_session(str(clip), str(out), stats=stats)
    session.run()
    before, after = read_items(str(clip)), read_items(str(out))
    pictures = [item for item in after if isinstance(item, Frame)]
    greys = [item.pixels.mean() for item in before if isinstance(item, Frame)]
    assert [item.pixels.mean() for item in pictures] == pytest.approx(greys, abs=2.0)  # a step is 4
    assert [item.seconds for item in pictures] == pytest.approx([n / 30 for n in range(90)], abs=0.002)
    sound = [sum(isinstance(item, AudioPacket) for item in items) for items in (before, after)]
    assert sound[1] >= sound[0] - 2
    report = stats.report()
    assert (report["frames_in"], report["frames_out"], report["dropped"]) == (90, 90, 0)


def test_a_file_of_another_size_and_an_odd_one(tmp_path: Path):
    clip, out = make_clip(tmp_path / "in.mkv", 5, (1280, 960)), tmp_path / "out.mkv"
    session, _ = make_session(str(clip), str(out), stats=Stats(), size=(161, 97))
    session.run()
    assert {item.pixels.shape for item in read_items(str(out)) if isinstance(item, Frame)} == {(96, 160, 3)}


@pytest.mark.slow
def test_a_relay_outlives_both_of_its_servers(tmp_path: Path):
    stats, messages = Stats(), []
    with nginx_rtmp(tmp_path) as origin, nginx_rtmp(tmp_path) as target, publisher(origin.url()):
        watch(origin.url(), 0.0)  # until somebody publishes
        session, board = make_session(
            *(origin.url(), target.url()), stats=stats, fps=Fraction(30), on_message=messages.append
        )
        with running(session, board):
            items = watch(target.url(), 4.0)
            pictures = [number_of(item.pixels) for item in items if isinstance(item, Frame)]
            changes = sum(a != b for a, b in pairwise(pictures))
            assert changes > 0.75 * 4.0 * 30  # a loaded machine; what is lost for good would halve it
            sound = [item.seconds for item in items if isinstance(item, AudioPacket)]
            assert len(sound) > 0.75 * 4.0 * 48_000 / 1024
            shown = [item.seconds for item in items if isinstance(item, Frame)]
            assert abs(sound[-1] - shown[-1]) < 1.0

            target.kill()
            target.start()
            assert len(watch(target.url(), 1.0)) > 20

            before = stats.report()["repeated"]
            with open_source(target.url()) as viewer:  # one who joins later waits for the sound, which is away too
                origin.kill()
                deadline = time.monotonic() + BOUND
                while stats.report()["repeated"] < before + 60:  # the last picture, again and again
                    assert viewer.read() is not None
                    assert time.monotonic() < deadline
            origin.start()
            with publisher(origin.url()):
                items = watch_change(target.url())
                assert items > 5
    assert stats.report()["reconnects"] >= 2
    assert any("source: back" in line for line in messages)


def watch_change(url: str) -> int:
    """How many different pictures follow each other at ``url``, once there are several."""
    deadline = time.monotonic() + BOUND
    changes = 0
    while changes <= 5 and time.monotonic() < deadline:
        numbers = [number_of(item.pixels) for item in watch(url, 1.0) if isinstance(item, Frame)]
        changes = sum(a != b for a, b in pairwise(numbers))
    return changes


@pytest.mark.slow
def test_stopping_between_two_frozen_servers_is_not_held_up(tmp_path: Path):
    with nginx_rtmp(tmp_path) as origin, nginx_rtmp(tmp_path) as target, publisher(origin.url()):
        watch(origin.url(), 0.0)
        session, board = make_session(origin.url(), target.url(), stats=Stats())
        with running(session, board):
            watch(target.url(), 0.0)
            origin.freeze()
            target.freeze()
            begun = time.monotonic()
        assert time.monotonic() - begun < 5.0
        assert not {"capture", "style", "sink sink0"} & {thread.name for thread in threading.enumerate()}
