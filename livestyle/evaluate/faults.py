"""``livestyle evaluate faults``: a relay with sound that is disturbed in every way at random, for half an hour.

A publisher sends a clip of flashes and beeps (`livestyle.evaluate.beacon`) to an RTMP server, ``livestyle live`` pulls
it, paints it, records it and pushes it to a second server, and a viewer (`livestyle.evaluate.viewer`) plays that.
Meanwhile servers are killed and started again, stopped and continued, cut off the network, and the publisher leaves
and comes back, in another size too. Publisher and viewer sit beside their servers: what a cut cuts is livestyle's own
connection. `livestyle.evaluate.faults_report` makes figures of what the viewer wrote down.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import av
import msgspec
from av.error import FFmpegError
from rich.console import Console
from rich.progress import Progress

from livestyle.config import parse_size
from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate import publisher, viewer
from livestyle.evaluate.beacon import FPS, write_beacon
from livestyle.evaluate.faults_report import Fault, FaultReport, format_faults, judge, plot_faults
from livestyle.evaluate.relay import read_memory, running
from livestyle.evaluate.report import make_folder, write_text
from livestyle.evaluate.servers import SERVERS, Room, RtmpServer, serving
from livestyle.evaluate.viewer import Event

SHORTEST_SLOT = 15.0  # s for each fault and what follows it
SHORTEST, LONGEST = 1.0, 15.0  # s that a fault lasts
PATIENCE = 90.0  # s until the first picture and sound, and for the end
WARM = 10.0  # s; livestyle compiles for smaller sizes in the background meanwhile
GLANCE = 0.5  # s
STYLE = "udnie"  # paints black and white 90 levels of 255 apart, so that flashes can be read
SMALLER = 0.75  # of the size, for the publisher who comes back with another one


class Planned(NamedTuple):
    """A fault to come: seconds from the start of the run, and how long it lasts."""

    kind: str
    at: float
    lasts: float


class Stage:
    """Everything that takes part, and what can be done to it. Used by one thread."""

    def __init__(self, origin: RtmpServer, target: RtmpServer, clips: Sequence[Path], folder: Path) -> None:
        self.origin = origin
        self.target = target
        self.rooms = [server.room for server in (origin, target) if server.room is not None]
        self._clips = clips
        self._log = folder / "publisher.log"
        self._publisher: subprocess.Popen[bytes] | None = None

    def publish(self, clip: int = 0) -> None:
        """Start the publisher; 1 is the smaller clip."""
        prefix = self.origin.room.prefix if self.origin.room else ()
        command = [*prefix, sys.executable, publisher.__file__, str(self._clips[clip]), self.origin.inside("in")]
        with self._log.open("ab") as log:
            self._publisher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def leave(self) -> None:
        """End the publisher, as a crash would."""
        if self._publisher is not None:
            self._publisher.kill()
            self._publisher.wait()
            self._publisher = None

    def kinds(self) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
        """Name of each fault that is possible here -> (begin it, end it)."""
        kinds: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {}
        for name, server in (("origin", self.origin), ("target", self.target)):
            kinds[f"{name} killed"] = server.kill, server.start
            kinds[f"{name} stopped"] = server.freeze, server.thaw
            if server.room is not None:
                kinds[f"{name} cut off"] = server.room.cut, server.room.mend
        kinds["publisher away"] = self.leave, self.publish
        kinds["publisher in another size"] = self.leave, lambda: self.publish(1)
        return kinds


def plan_faults(kinds: Sequence[str], count: int, seconds: float, seed: int) -> list[Planned]:
    """Every kind about equally often, in random order, one to each equal part of the run. Raises `ConfigError`."""
    slot = seconds / max(1, count)
    if count < 1 or slot < SHORTEST_SLOT:
        raise ConfigError(f"{count} faults do not fit: give at least 1, and {SHORTEST_SLOT:g} seconds for each")
    chance = random.Random(seed)
    order: list[str] = []
    while len(order) < count:
        order += chance.sample(list(kinds), len(kinds))
    longest = min(LONGEST, slot / 4.0)
    return [
        Planned(kind, slot * (number + chance.uniform(0.15, 0.3)), chance.uniform(SHORTEST, longest))
        for number, kind in enumerate(order[:count])
    ]


def measure_faults(
    minutes: float,
    count: int,
    out: Path,
    console: Console,
    *,
    size: str,
    server: str,
    seed: int,
    kinds: Sequence[str] = (),
) -> FaultReport:
    """Run it; write ``faults.md``, ``.json`` and ``.png`` and the events and the log of livestyle to ``out``.

    ``server`` is a name in `SERVERS`; ``kinds`` are the faults, all that are possible here unless given. Raises
    `ConfigError` for wrong input, `BackendError` when the run does not come about, `SinkError` for the folder.
    """
    width, height = parse_size(size)
    if server not in SERVERS:
        raise ConfigError(f"unknown server {server!r}: known: {', '.join(SERVERS)}")
    make_folder(out)
    events, log = out / "faults-events.jsonl", out / "faults-live.log"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livestyle-faults-")))
        rooms, note = make_rooms(stack)
        ends = [SERVERS[server](folder, room) for room in rooms]
        stage = Stage(ends[0], ends[1], (folder / "clip.mp4", folder / "small.mp4"), folder)
        possible = stage.kinds()
        unknown = [kind for kind in kinds if kind not in possible]
        if unknown:
            raise ConfigError(f"unknown fault {unknown[0]!r}: possible here: {', '.join(possible)}")
        planned = plan_faults(list(kinds) or list(possible), count, 60.0 * minutes, seed)
        with console.status("encoding the clips"):
            write_beacon(folder / "clip.mp4", width, height)
            smaller = (round(SMALLER * width / 2) * 2, round(SMALLER * height / 2) * 2)
            write_beacon(folder / "small.mp4", *smaller)
        for end in ends:
            stack.enter_context(serving(end))
        stack.callback(stage.leave)
        stage.publish()
        _await_stream(stage.origin.url("in"))
        record, facts = folder / "record.mkv", folder / "report.json"
        command = [sys.executable, "-m", "livestyle", "live", "--source", stage.origin.url("in"), "--size", size]
        command += [
            "--style",
            STYLE,
            "--fps",
            str(FPS),
            "--sink",
            stage.target.url("out"),
            "--sink",
            str(record),
            "--report",
            str(facts),
        ]
        with running(command, log) as live:
            prefix = stage.target.room.prefix if stage.target.room else ()
            watching = [*prefix, sys.executable, "-m", viewer.__name__, stage.target.inside("out")]
            with running(watching, events):
                started = _await_sound(events, live, log)
                faults, memory = _disturb(planned, possible, live, started, 60.0 * minutes, console)
            problems = _end(live)
        seen = read_events(events)
        with console.status("reading the recording"):
            recorded = read_recording(record) if record.exists() else []
        outcome = json.loads(facts.read_bytes()) if facts.exists() else {}
        problems += [f"{name} is at fault: {status}" for name, status in outcome.get("sinks", {}).items()
                     if status.startswith("failed")]  # fmt: skip
    report = judge(
        size=size, server=ends[0].name, seed=seed, started=started, seconds=60.0 * minutes, faults=faults, events=seen,
        recorded=recorded, memory=memory, reconnects=int(outcome.get("reconnects", 0)), problems=problems, note=note,
    )  # fmt: skip
    write_text(out / "faults.json", msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n")
    write_text(out / "faults.md", format_faults(report))
    plot_faults(report, out / "faults.png")
    return report


def make_rooms(stack: contextlib.ExitStack) -> tuple[list[Room | None], str]:
    """A room for each server, or none and why not."""
    rooms: list[Room | None] = []
    try:
        for number in range(2):
            room = Room(number)
            stack.callback(room.close)
            rooms.append(room)
    except BackendError as error:
        return [None, None], f"no network was cut, which needs Linux and root: {error}"
    return rooms, ""


def _await_stream(url: str) -> None:
    """Until there is a picture to pull. Raises `BackendError`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(FFmpegError, OSError), av.open(url, timeout=(5.0, 5.0)) as container:
            next(container.decode(video=0))
            return
        time.sleep(0.2)
    raise BackendError("the publisher does not come through")


def _await_sound(events: Path, live: "subprocess.Popen[bytes]", log: Path) -> float:
    """Until painted pictures with sound have arrived for `WARM` seconds; the moment. Raises `BackendError`."""
    deadline, since = time.monotonic() + PATIENCE, None
    while time.monotonic() < deadline and live.poll() is None:
        if {"picture", "sound"} <= {event.kind for event in read_events(events)}:
            since = since or time.monotonic()
        if since is not None and time.monotonic() > since + WARM:
            return time.monotonic()
        time.sleep(GLANCE)
    raise BackendError(f"nothing comes through: {' '.join(log.read_text().split())[-300:]}")


def _disturb(
    planned: Sequence[Planned],
    kinds: dict[str, tuple[Callable[[], None], Callable[[], None]]],
    live: "subprocess.Popen[bytes]",
    started: float,
    seconds: float,
    console: Console,
) -> tuple[list[Fault], list[tuple[float, float]]]:
    """Carry out the plan: the faults with their real moments, and (second, MiB) of livestyle's memory."""
    steps = [(fault.at, kinds[fault.kind][0], fault.kind, True) for fault in planned]
    steps += [(fault.at + fault.lasts, kinds[fault.kind][1], fault.kind, False) for fault in planned]
    steps.sort(key=lambda step: step[0])
    faults, memory, begun = list[Fault](), list[tuple[float, float]](), 0.0
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("relaying", total=seconds)
        while (second := time.monotonic() - started) < seconds and live.poll() is None:
            progress.update(task, completed=second)
            if not memory or second - memory[-1][0] > 2.0:
                memory.append((round(second, 1), round(read_memory(live.pid), 1)))
            if not steps or steps[0][0] > second:
                time.sleep(min(GLANCE, max(0.0, (steps[0][0] if steps else seconds) - second)))
                continue
            _, act, kind, begins = steps.pop(0)
            progress.update(task, description=kind if begins else "relaying")
            begun = second if begins else begun
            act()
            if not begins:
                faults.append(Fault(kind, round(begun, 2), round(time.monotonic() - started, 2)))
    return faults, memory


def _end(live: "subprocess.Popen[bytes]") -> list[str]:
    if live.poll() is not None:
        return [f"livestyle crashed: it ended by itself with code {live.returncode}"]
    live.send_signal(signal.SIGTERM)
    try:
        live.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return ["livestyle hung: it did not stop"]
    return [f"livestyle stopped with code {live.returncode}"] if live.returncode else []


def read_events(path: Path) -> list[Event]:
    """What a viewer has written down; a line that is still being written is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    decoder = msgspec.json.Decoder(Event)
    events = list[Event]()
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            events.append(decoder.decode(line))
    return events


def read_recording(path: Path) -> list[Event]:
    """The same of a file; its moments mean nothing. Raises `BackendError`."""
    try:
        with av.open(os.fspath(path)) as container:
            return list(viewer.watch(container))
    except (FFmpegError, IndexError) as error:
        raise BackendError(f"the recording cannot be read: {error}") from error
