"""How much one client, and all of them together, may ask for in a time: token buckets."""

import time
from collections.abc import Callable

CLIENTS = 1024  # that are remembered; whoever asked for nothing the longest is forgotten first


class Bucket:
    """Holds up to ``burst`` units and fills by ``rate`` of them a second."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._units = burst
        self._filled = now

    def lacks(self, units: float, now: float) -> float:
        """Seconds until ``units`` are in it: 0 when they are."""
        self._units = min(self._burst, self._units + (now - self._filled) * self._rate)
        self._filled = now
        return max(0.0, (units - self._units) / self._rate)

    def take(self, units: float) -> None:
        """Take them out."""
        self._units -= units


class Rates:
    """One bucket for each client and one for all. Not for several threads."""

    def __init__(
        self,
        client: tuple[float, float],
        total: tuple[float, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``client`` and ``total`` are (units a second, units at once)."""
        self._client = client
        self._clock = clock
        self._all = Bucket(*total, clock())
        self._buckets: dict[str, Bucket] = {}

    def spend(self, client: str, units: float = 1.0) -> float:
        """0 when ``client`` may have the units, which are then spent; otherwise the seconds until it may."""
        now = self._clock()
        bucket = self._buckets.pop(client, None) or Bucket(*self._client, now)
        self._buckets[client] = bucket  # to the end: the order is that of the last request
        if len(self._buckets) > CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        wait = max(bucket.lacks(units, now), self._all.lacks(units, now))
        if not wait:
            bucket.take(units)
            self._all.take(units)
        return wait
