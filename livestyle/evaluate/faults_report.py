"""What a viewer saw and heard of a disturbed relay, in figures: skew, latency, time stamps, return."""

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from matplotlib.figure import Figure

from livestyle.evaluate.beacon import SECONDS, Flash
from livestyle.evaluate.viewer import Event

MOST_BACK, MOST_SKEW = 5.0, 40.0  # s and ms that were asked for
MOST_GROWTH = 200.0  # ms; latency is measured once a second and moves by the load of the machine
FRESH = 0.5  # mean change of a picture, of 255: a repeated one has less
FLOWING = 10, 30  # new pictures, and packets of sound (of 47), in the second from which it counts as back
TOGETHER = 20.0  # s within which a flash and its beep arrive
GROUP = 2.0  # s; flashes of the same second further apart are not the same
BEFORE, AFTER = 15.0, (5.0, 20.0)  # s of flashes that are looked at before a fault, and after it is over


class Fault(msgspec.Struct, frozen=True):
    """One fault as it happened: seconds of the run at which it began and ended."""

    kind: str
    began: float
    ended: float


class Outcome(msgspec.Struct, frozen=True):
    """What a fault did. ``back_s``: from its end until new pictures with sound flow again, None if never.

    Skew is picture minus sound (positive: the picture is late) in ms: median before, median after, and the worst from
    the beginning of the fault until the next one. Latency in ms likewise; None where no flash or beep was seen.
    ``memory_mb`` is the last reading before the next fault, in MiB.
    """

    fault: Fault
    back_s: float | None
    skew_before_ms: float | None
    skew_after_ms: float | None
    worst_skew_ms: float | None
    latency_before_ms: float | None
    latency_after_ms: float | None
    memory_mb: float | None


class Sight(msgspec.Struct, frozen=True):
    """One flash with its beep, at ``second`` of the run (None in a recording): skew and latency in ms."""

    second: float
    skew_ms: float
    latency_ms: float


class Track(msgspec.Struct, frozen=True):
    """Continuity of one output: pictures, steps back in time, the longest gap between two pictures' time stamps in ms,
    and by how many ms time stamps have moved against the arrival clock from the first minute to the last.
    """

    pictures: int
    sounds: int
    backwards: int
    longest_gap_ms: float
    drift_ms: float | None


class FaultReport(msgspec.Struct, frozen=True):
    """A whole run. ``skew_ms``: median, and the largest of all flashes; ``beyond`` is how many are over the limit."""

    size: str
    server: str
    seed: int
    minutes: float
    outcomes: tuple[Outcome, ...]
    flashes: int
    skew_ms: tuple[float, float]
    beyond: int
    latency_ms: tuple[float, float]
    stream: Track
    recording: Track
    recording_flashes: int
    recording_skew_ms: tuple[float, float]
    reconnects: int
    memory_mb: tuple[float, float]
    problems: tuple[str, ...]
    note: str
    sights: tuple[Sight, ...]
    fresh: tuple[int, ...]
    memory: tuple[tuple[float, float], ...]


def judge(
    *,
    size: str,
    server: str,
    seed: int,
    started: float,
    seconds: float,
    faults: Sequence[Fault],
    events: Sequence[Event],
    recorded: Sequence[Event],
    memory: Sequence[tuple[float, float]],
    reconnects: int,
    problems: Sequence[str],
    note: str,
) -> FaultReport:
    """Work out everything. ``started`` is the monotonic moment of second 0 of the run."""
    sights = pair(events, started)
    kept = pair(recorded, 0.0)
    pictures = [event for event in events if event.kind == "picture"]
    new = [event.at - started for event in pictures if event.change >= FRESH]
    sounds = [event.at - started for event in events if event.kind == "sound"]
    ends = [*(fault.began for fault in faults[1:]), seconds]
    outcomes = [look_at(fault, end, sights, new, sounds, memory) for fault, end in zip(faults, ends, strict=False)]
    skews, latencies = [sight.skew_ms for sight in sights], [sight.latency_ms for sight in sights]
    megabytes = [amount for _, amount in memory] or [0.0]
    part = max(1, len(megabytes) // 10)
    counts = np.histogram(new, bins=max(1, int(seconds)), range=(0.0, max(1, int(seconds))))[0]
    return FaultReport(
        size=size,
        server=server,
        seed=seed,
        minutes=round(seconds / 60.0, 2),
        outcomes=tuple(outcomes),
        flashes=len(sights),
        skew_ms=_middle_and_worst(skews),
        beyond=sum(abs(skew) > MOST_SKEW for skew in skews),
        latency_ms=(_median(latencies[: len(latencies) // 10 + 1]), _median(latencies[-len(latencies) // 10 - 1 :])),
        stream=follow(events, live=True),
        recording=follow(recorded, live=False),
        recording_flashes=len(kept),
        recording_skew_ms=_middle_and_worst([sight.skew_ms for sight in kept]),
        reconnects=reconnects,
        memory_mb=(float(np.median(megabytes[:part])), float(np.median(megabytes[-part:]))),
        problems=tuple(problems),
        note=note,
        sights=tuple(sights),
        fresh=tuple(int(count) for count in counts),
        memory=tuple(memory),
    )


class Seen(NamedTuple):
    """The first picture of a flash that was seen: its second began at ``begun`` on the clock of the stream."""

    at: float
    begun: float
    flash: Flash


def pair(events: Sequence[Event], started: float) -> list[Sight]:
    """Each flash with the beep of its second. Of a recording, whose events have no moments, the latency is nonsense."""
    live = started > 0.0
    flashes, last = list[Seen](), None
    for event in events:
        if event.kind != "picture" or event.second < 0:
            continue
        now = event.at if live else event.time
        if last is None or event.second != last[1] or now - last[0] > GROUP:
            flash = Flash(event.second, event.place)
            flashes.append(Seen(now, event.time - (flash.moment - flash.second), flash))
        last = now, event.second
    beeps: dict[int, list[Event]] = {}
    for event in events:
        if event.kind == "beep":
            beeps.setdefault(event.second, []).append(event)
    sights = []
    for seen in flashes:
        near = [
            beep
            for beep in beeps.get(seen.flash.second, [])
            if abs((beep.at if live else beep.time) - seen.at) < TOGETHER
        ]
        if near:
            beep = min(near, key=lambda one: abs(one.time - seen.begun))
            latency = (seen.at - seen.flash.moment) % SECONDS
            skew = 1000.0 * (seen.begun - beep.time)
            sights.append(Sight(round(seen.at - started, 2), round(skew, 1), round(1000.0 * latency, 1)))
    return sights


def look_at(
    fault: Fault,
    end: float,
    sights: Sequence[Sight],
    new: Sequence[float],
    sounds: Sequence[float],
    memory: Sequence[tuple[float, float]],
) -> Outcome:
    """``end`` is when the next fault begins; ``new`` and ``sounds`` are the seconds at which they arrived, in order."""
    back = find_back(fault.ended, end, new, sounds)
    before = [sight for sight in sights if fault.began - BEFORE <= sight.second < fault.began]
    during = [sight for sight in sights if fault.began <= sight.second < end]
    over = fault.ended if back is None else back
    after = [sight for sight in during if over + AFTER[0] <= sight.second < over + AFTER[1]]
    return Outcome(
        fault=fault,
        back_s=None if back is None else round(back - fault.ended, 2),
        skew_before_ms=_known_median([sight.skew_ms for sight in before]),
        skew_after_ms=_known_median([sight.skew_ms for sight in after]),
        worst_skew_ms=max((sight.skew_ms for sight in during), key=abs, default=None),
        latency_before_ms=_known_median([sight.latency_ms for sight in before]),
        latency_after_ms=_known_median([sight.latency_ms for sight in after]),
        memory_mb=next((amount for second, amount in reversed(memory) if fault.ended <= second < end), None),
    )


def find_back(since: float, until: float, new: Sequence[float], sounds: Sequence[float]) -> float | None:
    """The first moment from ``since`` on at which a new picture came, and in the second from there enough of both."""
    for moment in new[bisect.bisect_left(new, since) :]:
        if moment > until:
            return None
        pictures = bisect.bisect_left(new, moment + 1.0) - bisect.bisect_left(new, moment)
        packets = bisect.bisect_left(sounds, moment + 1.0) - bisect.bisect_left(sounds, moment)
        if pictures >= FLOWING[0] and packets >= FLOWING[1]:
            return moment
    return None


def follow(events: Sequence[Event], *, live: bool) -> Track:
    """The time stamps of an output, over all the connections of its viewer."""
    pictures = [event for event in events if event.kind == "picture"]
    sounds = [event for event in events if event.kind == "sound"]
    stamps, heard = np.array([event.time for event in pictures]), np.array([event.time for event in sounds])
    backwards = int((np.diff(stamps) <= 0).sum() + (np.diff(heard) <= 0).sum())
    drift = None
    if live and len(pictures) > 60:
        lead = np.array([event.time - event.at for event in pictures])  # of the promptest of the first and last second
        drift = round(1000.0 * float(lead[-30:].max() - lead[30:60].max()), 1)
    gap = 1000.0 * float(np.diff(stamps).max(initial=0.0))
    return Track(len(pictures), len(sounds), backwards, round(gap, 1), drift)


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 1) if len(values) else 0.0


def _known_median(values: Sequence[float]) -> float | None:
    return _median(values) if values else None


def _middle_and_worst(skews: Sequence[float]) -> tuple[float, float]:
    return _median(skews), max(skews, key=abs, default=0.0)


def format_faults(report: FaultReport) -> str:
    """Markdown: a row for each fault, then what was asked and what came out."""
    lines = [
        f"Relay {report.server} → livestyle → {report.server} with a recording at {report.size}, "
        f"{report.minutes:g} min, seed {report.seed}.",
        "",
        "| at, s | fault | lasted, s | back after, s | skew before, ms | after | worst | latency before, ms | after "
        "| memory, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for outcome in report.outcomes:
        fault = outcome.fault
        cells = [f"{fault.began:.0f}", fault.kind, f"{fault.ended - fault.began:.1f}", _cell(outcome.back_s, "{:.1f}")]
        cells += [_cell(value) for value in (outcome.skew_before_ms, outcome.skew_after_ms, outcome.worst_skew_ms)]
        cells += [_cell(value, "{:.0f}") for value in (outcome.latency_before_ms, outcome.latency_after_ms)]
        cells.append(_cell(outcome.memory_mb, "{:.1f}"))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| what | asked | got |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in _summary(report)]
    return "\n".join(lines) + "\n" + (f"\nNote: {report.note}.\n" if report.note else "")


def _summary(report: FaultReport) -> list[tuple[str, str, str]]:
    known = [outcome.back_s for outcome in report.outcomes if outcome.back_s is not None]
    lost = len(report.outcomes) - len(known)
    grown = [
        outcome.latency_after_ms - outcome.latency_before_ms
        for outcome in report.outcomes
        if outcome.latency_after_ms is not None and outcome.latency_before_ms is not None
    ]
    slowest = f"{max(known, default=0.0):.1f} s" + (f", {lost} never" if lost else "")
    recording = report.recording
    within = f"within ±{MOST_SKEW:g} ms"
    kept = f"{report.recording_flashes}, {recording.backwards}, {recording.longest_gap_ms:.0f} ms"
    return [
        ("slowest return", f"≤ {MOST_BACK:g} s", slowest),
        ("A/V skew of all flashes: median, worst", within, "{:+.1f}, {:+.1f} ms".format(*report.skew_ms)),
        ("flashes seen, of them beyond that", "none beyond", f"{report.flashes}, {report.beyond}"),
        ("latency added by a fault, worst", f"< {MOST_GROWTH:g} ms", f"{max(grown, default=0.0):+.0f} ms"),
        ("latency of the first and the last tenth", "no growth", "{:.0f} and {:.0f} ms".format(*report.latency_ms)),
        ("time stamps that step back, stream", "none", f"{report.stream.backwards}"),
        ("stream's time stamps against the wall clock", "no drift", _cell(report.stream.drift_ms, "{:+.0f} ms")),
        ("recording: skew median, worst", within, "{:+.1f}, {:+.1f} ms".format(*report.recording_skew_ms)),
        ("recording: flashes, steps back, longest gap", "none back", kept),
        ("memory of the first and the last tenth", "", "{:.0f} and {:.0f} MiB".format(*report.memory_mb)),
        ("reconnects", "", f"{report.reconnects}"),
        ("crashes, hangs, other problems", "none", "; ".join(report.problems) or "none"),
    ]


def _cell(value: float | None, form: str = "{:+.1f}") -> str:
    return "–" if value is None else form.format(value)


def plot_faults(report: FaultReport, target: Path) -> None:
    """Latency, skew, new pictures a second and memory over time; faults are shaded."""
    seconds = [sight.second for sight in report.sights]
    figure = Figure(figsize=(12, 9), layout="tight")
    latency, skew, fresh, memory = figure.subplots(4, 1, sharex=True)
    latency.plot(seconds, [sight.latency_ms for sight in report.sights], ".", markersize=3)
    latency.set_ylabel("latency, ms")
    latency.set_ylim(bottom=0)
    skew.plot(seconds, [sight.skew_ms for sight in report.sights], ".", markersize=3)
    skew.set_ylabel("picture after sound, ms")
    for limit in (-MOST_SKEW, MOST_SKEW):
        skew.axhline(limit, color="grey", linewidth=0.8, linestyle=":")
    fresh.plot(np.arange(len(report.fresh)) + 0.5, report.fresh, linewidth=0.8)
    fresh.set_ylabel("new pictures a second")
    memory.plot([second for second, _ in report.memory], [amount for _, amount in report.memory])
    memory.set_ylabel("memory, MiB")
    memory.set_xlabel("seconds")
    colors = {"origin": "tab:red", "target": "tab:orange", "publisher": "tab:blue"}
    for axis in (latency, skew, fresh, memory):
        for outcome in report.outcomes:
            color = colors[outcome.fault.kind.split()[0]]
            axis.axvspan(outcome.fault.began, outcome.fault.ended, color=color, alpha=0.25)
    latency.set_title(f"{report.server}, {report.size}: red origin, orange target, blue publisher")
    figure.savefig(target, dpi=100)
