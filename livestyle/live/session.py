"""A running stream: capture thread → style thread → one outlet thread per sink.

What flows between them depends on two facts settled at the start. A source that is live, or a file that is *played*
(to live sinks only), drops what nobody has time for; a file that is *processed* (a file or null sink takes it) loses
nothing and goes as fast as it can be painted.
"""

import functools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from livestyle.controls import ControlBoard
from livestyle.errors import LivestyleError, SinkError
from livestyle.live.capture import Capture, Inlet
from livestyle.live.fit import Size, fit_size
from livestyle.live.handoff import Closed, Group, Lane, Slot
from livestyle.live.outlet import Outlet, SinkPlan
from livestyle.live.stats import Stats
from livestyle.live.styling import Painter, Styling
from livestyle.media import Frame, Source, StreamInfo
from livestyle.pictures import write_picture

log = logging.getLogger(__name__)

WATCH = 0.05  # s, how soon ``stopping`` of the controls is seen


class Session:
    """One stream from open to end. The constructor opens everything and raises; `run` blocks until it ends.

    ``open_source`` gets an event that ends a waiting open once it is set, and is called again when a live source is
    lost. ``open_painter`` gets the output's `StreamInfo`. ``size`` and ``fps`` are what the sinks get (None: by the
    source, see `fit_size`; a processed file keeps its rate); ``frames`` ends the session after so many new frames.
    Snapshots go to the folder ``snapshots``. ``watch`` is given each source frame, in the output's size, as its
    painting goes out, on the style thread. ``on_message`` gets lines for people, from any thread.
    """

    def __init__(
        self,
        open_source: Callable[[threading.Event], Source],
        sinks: Sequence[SinkPlan],
        open_painter: Callable[[StreamInfo], Painter],
        board: ControlBoard,
        stats: Stats,
        *,
        size: Size | None = None,
        fps: Fraction | None = None,
        frames: int | None = None,
        snapshots: Path | None = None,
        watch: Callable[[Frame], None] | None = None,
        on_message: Callable[[str], None] = log.info,
    ) -> None:
        self._board = board
        self._stats = stats
        self._limit = frames
        self._snapshots = Path() if snapshots is None else snapshots
        self._on_message = on_message
        self._group = Group()
        self._ending = threading.Event()  # nothing more is read
        self._outlets: list[Outlet] = []
        self._painter: Painter | None = None
        self._source = open_source(self._ending)
        try:
            facts = self._source.info
            lossless = not facts.live and not all(plan.realtime for plan in sinks)
            width, height = fit_size((facts.width, facts.height), size)
            rate = facts.fps if lossless or fps is None else fps
            if fps is not None and fps != rate:
                on_message(f"a processed file keeps its {float(rate):g} frames per second; {float(fps):g} is ignored")
            self.info = replace(facts, width=width, height=height, fps=rate, live=not lossless)
            self._painter = open_painter(self.info)
            self._open_sinks(sinks)
        except BaseException:
            self.close()
            raise
        self._alive = len(self._outlets)
        self._alive_lock = threading.Lock()
        self._inlet: Inlet = Lane() if lossless else Slot()
        self._snapshot: Slot[Frame] = Slot()
        self._capture = Capture(
            self._source,
            open_source,
            self._inlet,
            self._outlets,
            stats,
            self._ending,
            size=(width, height),
            play=not facts.live and not lossless,
            on_message=on_message,
        )
        self._styling = Styling(
            self._painter,
            self._inlet,
            self._outlets,
            board,
            stats,
            self._ending,
            self._snapshot,
            limit=frames,
            watch=watch,
            on_message=on_message,
        )

    def _open_sinks(self, plans: Sequence[SinkPlan]) -> None:
        for plan in plans:
            info = replace(self.info, live=self.info.live or plan.realtime)
            try:
                sink = plan.open(info)
            except LivestyleError as error:
                if plan.required:
                    raise
                self._on_message(f"without {plan.name}: {error}")
                continue
            stopping = self._group.stopping
            self._outlets.append(
                Outlet(plan, sink, info, self._stats, stopping, limit=self._limit, on_message=self._on_message)
            )
        if not self._outlets:
            raise SinkError("there is no sink to show the stream in")

    def run(self) -> None:
        """Run until the source ends, ``frames`` are out, the controls say stop, or something fails for good.

        Everything is closed when it returns. Raises the first failure; a sink that fails beside others that work is a
        message only.
        """
        group = self._group
        group.on_stop(self._finish)
        group.on_stop(self._snapshot.close)
        for outlet in self._outlets:
            group.on_stop(functools.partial(outlet.close, discard=True))
            group.on_stuck(outlet.interrupt)
        try:
            for outlet in self._outlets:
                group.start(f"sink {outlet.plan.name}", functools.partial(self._feed, outlet))
            group.start("snapshots", self._save_snapshots)
            group.start("style", self._styling.run)
            group.start("capture", self._capture.run)
            while not group.wait(WATCH) and not self._board.controls.stopping:
                continue
        finally:
            group.join()
        if self._capture.failure is not None:
            raise self._capture.failure

    def stop(self) -> None:
        """End the session from any thread; `run` returns soon after."""
        self._group.stop()

    def close(self) -> None:
        """Release what the constructor opened, for a session that never ran. May be called twice."""
        self._source.close()
        if self._painter is not None:
            self._painter.close()
        for outlet in self._outlets:
            outlet.discard()

    def _finish(self) -> None:
        """Read nothing more."""
        self._ending.set()
        self._inlet.close(discard=True)
        self._capture.interrupt()

    # On the sinks' threads.

    def _feed(self, outlet: Outlet) -> None:
        try:
            outlet.run()
        except LivestyleError as error:
            with self._alive_lock:
                self._alive -= 1
                last = self._alive == 0
            if last:
                raise
            self._on_message(f"{outlet.plan.name} failed and is left out: {error}")
            return
        if self.info.live:
            self._finish()  # it has had its ``frames``, or the end has come anyway

    # On the snapshots' thread.

    def _save_snapshots(self) -> None:
        number = 0
        while True:
            try:
                frame = self._snapshot.get()
            except Closed:
                return
            assert frame is not None  # no timeout was given
            number += 1
            path = self._snapshots / f"livestyle-{datetime.now():%Y%m%d-%H%M%S}-{number}.png"
            try:
                self._snapshots.mkdir(parents=True, exist_ok=True)
                write_picture(path, frame.pixels)
            except (LivestyleError, OSError) as error:
                self._on_message(f"no snapshot: {error}")
                continue
            self._on_message(f"saved {path}")
