"""What a session counts: frames, drops, milliseconds per stage, and latency from capture to the sink's write.

Every method may be called from any thread and costs one short lock; percentiles are only worked out by `report`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypedDict

import msgspec
import numpy as np

from livestyle.live.fit import Size
from livestyle.live.memory import read_resident

WINDOW = 300  # newest samples that percentiles and the frame rate look at: ten seconds at 30 fps
HOUR = 3600  # newest seconds that the timeline keeps


class Percentiles(TypedDict):
    """Median and 95th percentile, in milliseconds; 0 before the first sample."""

    p50: float
    p95: float


class Painting(TypedDict):
    """How frames are painted now: the governor's level, 0 the best, and the size that goes through the network."""

    level: int
    size: str


class Second(msgspec.Struct, frozen=True, gc=False):
    """One second of the ``timeline``, counted from the first frame that a sink wrote.

    ``fps`` is how many new frames the furthest sink wrote in it and ``dropped`` how many were lost; ``level`` and
    ``size`` are those at its end, and so is ``rss_mb``. No dict: an hour of those would be 1.4 MB, of these 0.5.
    """

    second: int
    fps: int
    dropped: int
    level: int
    size: str
    rss_mb: float | None


class Report(TypedDict):
    """The ``--report`` JSON. For an input read to its end, ``frames_in == frames_out + dropped``.

    ``frames_out`` counts different source frames that the furthest sink wrote, ``repeated`` what that sink wrote
    again to keep its rate, ``dropped`` frames that the device gave and that sink never saw. ``fps`` is of new frames,
    over the sliding window. ``latency_ms`` runs from ``Frame.captured`` to the end of the sink's write. ``rss_mb`` is
    memory, of this process and its children; None where the system does not say.
    """

    frames_in: int
    frames_out: int
    dropped: int
    repeated: int
    fps: float
    latency_ms: Percentiles
    stages_ms: dict[str, Percentiles]
    switches: int
    reconnects: int
    painting: Painting
    rss_mb: float | None
    source: str
    sinks: dict[str, str]


class _SinkCount:
    __slots__ = ("dropped", "repeated", "status", "times", "written")

    def __init__(self) -> None:
        self.written = 0
        self.repeated = 0
        self.dropped = 0
        self.status = "opening"
        self.times: deque[float] = deque(maxlen=WINDOW)


class Stats:
    """The counters of one session. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._frames_in = 0
        self._dropped = 0
        self._switches = 0
        self._reconnects = 0
        self._source = "not open"
        self._sinks: dict[str, _SinkCount] = {}
        self._stages: dict[str, deque[float]] = {}
        self._latency: deque[float] = deque(maxlen=WINDOW)
        self._painting = Painting(level=0, size="")
        self._timeline: deque[Second] = deque(maxlen=HOUR)
        self._began: float | None = None  # when the first frame was written
        self._counted = (0, 0)  # written and dropped at the start of the running second
        self._resident = read_resident()

    def add_in(self, skipped: int = 0) -> None:
        """Count one frame read, and ``skipped`` frames that the device gave but the source could not hand over."""
        with self._lock:
            self._frames_in += 1 + skipped
            self._dropped += skipped

    def add_dropped(self, count: int = 1) -> None:
        """Count frames that were read and will not be painted."""
        now = self._clock()
        with self._lock:
            self._close_seconds(now)
            self._dropped += count

    def add_switch(self) -> None:
        """Count one change of style."""
        with self._lock:
            self._switches += 1

    def add_reconnect(self) -> None:
        """Count one reopening of a source or a sink that worked."""
        with self._lock:
            self._reconnects += 1

    def add_stages(self, stages: Mapping[str, float]) -> None:
        """Keep the milliseconds that one frame took, per stage."""
        with self._lock:
            for name, milliseconds in stages.items():
                self._samples(name).append(milliseconds)

    def _samples(self, name: str) -> deque[float]:
        if name not in self._stages:
            self._stages[name] = deque(maxlen=WINDOW)
        return self._stages[name]

    def set_painting(self, level: int, size: Size) -> None:
        """Say how frames are painted from now on."""
        now = self._clock()
        with self._lock:
            self._close_seconds(now)
            self._painting = Painting(level=level, size=f"{size[0]}x{size[1]}")

    def set_source(self, status: str) -> None:
        """Say in a few words how the source does."""
        with self._lock:
            self._source = status

    def set_sink(self, sink: str, status: str) -> None:
        """Say in a few words how a sink does; the first call makes it known."""
        with self._lock:
            self._sinks.setdefault(sink, _SinkCount()).status = status

    def add_written(self, sink: str, captured: float) -> int:
        """Count one new frame that ``sink`` has written; returns how many that are."""
        now = self._clock()
        with self._lock:
            self._began = now if self._began is None else self._began
            self._close_seconds(now)
            count = self._sinks.setdefault(sink, _SinkCount())
            count.written += 1
            count.times.append(now)
            self._latency.append((now - captured) * 1000.0)
            return count.written

    def add_repeated(self, sink: str) -> None:
        """Count one frame that ``sink`` wrote again."""
        with self._lock:
            self._sinks.setdefault(sink, _SinkCount()).repeated += 1

    def add_missed(self, sink: str, count: int = 1) -> None:
        """Count painted frames that ``sink`` was too slow for."""
        now = self._clock()
        with self._lock:
            self._close_seconds(now)
            self._sinks.setdefault(sink, _SinkCount()).dropped += count

    def _close_seconds(self, now: float) -> None:
        """Add to the timeline what has passed. Needs the lock."""
        second = self._timeline[-1].second + 1 if self._timeline else 0
        if self._began is None or now - self._began < second + 1:
            return
        self._resident = read_resident()
        for number in range(second, int(now - self._began)):
            first = self._furthest()
            before, self._counted = self._counted, (first.written, self._dropped + first.dropped)
            written, dropped = self._counted[0] - before[0], self._counted[1] - before[1]
            self._timeline.append(Second(number, written, dropped, **self._painting, rss_mb=self._resident))

    def _furthest(self) -> _SinkCount:
        return max(self._sinks.values(), key=lambda count: count.written, default=_SinkCount())

    def timeline(self) -> list[Second]:
        """The full seconds since the first frame, the newest hour of them."""
        now = self._clock()
        with self._lock:
            self._close_seconds(now)
            return list(self._timeline)

    def report(self) -> Report:
        """Everything as one plain dict, ready for JSON."""
        now = self._clock()
        with self._lock:
            self._close_seconds(now)
            first = self._furthest()
            stages = {name: list(samples) for name, samples in self._stages.items()}
            latency = list(self._latency)
            report = Report(
                frames_in=self._frames_in,
                frames_out=first.written,
                dropped=self._dropped + first.dropped,
                repeated=first.repeated,
                fps=_rate(first.times, now),
                latency_ms=Percentiles(p50=0.0, p95=0.0),
                stages_ms={},
                switches=self._switches,
                reconnects=self._reconnects,
                painting=Painting(**self._painting),
                rss_mb=self._resident,
                source=self._source,
                sinks={name: count.status for name, count in self._sinks.items()},
            )
        report["latency_ms"] = _percentiles(latency)
        report["stages_ms"] = {name: _percentiles(samples) for name, samples in stages.items()}
        return report


def _rate(times: deque[float], now: float) -> float:
    """Frames per second over the window; sinks towards 0 when nothing has come for over a second."""
    if len(times) < 2:
        return 0.0
    last = times[-1] if now - times[-1] < 1.0 else now
    return round((len(times) - 1) / max(last - times[0], 1e-6), 2)


def _percentiles(samples: list[float]) -> Percentiles:
    if not samples:
        return Percentiles(p50=0.0, p95=0.0)
    p50, p95 = np.percentile(samples, (50, 95))
    return Percentiles(p50=round(float(p50), 2), p95=round(float(p95), 2))
