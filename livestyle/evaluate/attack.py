"""``livestyle evaluate attack``: a live stream on a network while others attack its page, kind after kind.

``livestyle live --lan`` runs as a user would run it. Somebody who has the token watches the preview and gives a command
now and then; the attackers, a process of their own at the lowest priority, come from other addresses (127.0.0.2 and so
on, where the system has them). Counted is what they were answered, and what became of the stream meanwhile.
"""

import contextlib
import itertools
import logging
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from livestyle.config import parse_size
from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate.report import make_folder, write_text

PATIENCE = 60.0  # s for the start, and for an answer to somebody who has the token
ANSWER = 5.0  # s that an attacker waits for an answer
ATTACKERS = 4  # threads
SETTLE = 2.0  # s after the start, and after each attack, that are not counted
MEGABYTE = b" " * 2**20
COMMAND = b'{"command": "quit"}'
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Target:
    """Where to attack; ``token`` is only used by attacks of those who have it."""

    port: int
    token: str

    def request(self, line: str, *headers: str, body: bytes = b"", token: bool = False) -> bytes:
        """A request; a Host and a length are added unless given."""
        lines = [f"{line} HTTP/1.1", *headers]
        if not any(header.lower().startswith("host:") for header in headers):
            lines.append(f"Host: {HOST}:{self.port}")
        if token:
            lines.append(f"Authorization: Bearer {self.token}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body


def _send(target: Target, number: int, data: bytes) -> str:
    """The status that one request on a connection of its own is answered with, or how it ended."""
    try:
        with _open(target, number) as client:
            client.sendall(data)
            head = client.recv(4096)
    except TimeoutError:
        return "no answer"
    except OSError:
        return "cut off"
    return head.split(maxsplit=2)[1].decode("latin-1") if head.startswith(b"HTTP/") else "cut off"


def _open(target: Target, number: int) -> socket.socket:
    for source in (f"127.0.0.{2 + number % 8}", ""):
        with contextlib.suppress(OSError):
            return socket.create_connection((HOST, target.port), ANSWER, (source, 0) if source else None)
    raise ConnectionRefusedError


def _without_token(target: Target, number: int) -> str:
    return _send(target, number, target.request("POST /api/command", body=COMMAND))


def _wrong_token(target: Target, number: int) -> str:
    token = f"{number:022d}"
    if number % 2:
        return _send(target, number, target.request(f"GET /?token={token}"))
    return _send(target, number, target.request("POST /api/command", f"Authorization: Bearer {token}", body=COMMAND))


def _wrong_origin(target: Target, number: int) -> str:
    origin = ("http://evil.example", "null", f"https://{HOST}:{target.port}")[number % 3]
    return _send(target, number, target.request("POST /api/command", f"Origin: {origin}", body=COMMAND, token=True))


def _wrong_host(target: Target, number: int) -> str:
    host = ("evil.example", f"{HOST}.evil.example", "0x7f000001", "")[number % 4]
    return _send(target, number, target.request("GET /api/state", f"Host: {host}", token=True))


PATHS = (
    "/../../etc/passwd",
    "/thumbnails/../../../etc/passwd",
    "/thumbnails/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/thumbnails/..%252f..%252fetc%252fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%5c..%5cetc%5cpasswd",
    "//etc/passwd",
    "/shots/%2fetc%2fpasswd",
    "/page/../web.py",
    "/thumbnails/%00",
    "/app.js%00.html",
    "/%c0%ae%c0%ae/etc/passwd",
)


def _paths(target: Target, number: int) -> str:
    return _send(target, number, target.request(f"GET {PATHS[number % len(PATHS)]}", token=True))


def _large_bodies(target: Target, number: int) -> str:
    size = f"Content-Length: {10 * len(MEGABYTE)}"
    return _send(target, number, target.request("POST /api/command", size, token=True) + 10 * MEGABYTE)


def _large_messages(target: Target, number: int) -> str:
    headers = {"Authorization": f"Bearer {target.token}"}
    try:
        with connect(f"ws://{HOST}:{target.port}/ws", additional_headers=headers, open_timeout=ANSWER) as link:
            link.send(10 * MEGABYTE)
            for _ in range(50):
                link.recv(ANSWER)
    except WebSocketException as error:
        code = getattr(getattr(error, "rcvd", None), "code", None)
        return "cut off" if code is None else str(code)
    except OSError:
        return "cut off"
    return "200"


def _hold_connections(target: Target, number: int) -> str:
    """250 connections from each of the attackers, 1,000 in all, a byte of a request on each; how many stay open."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(250):
            with contextlib.suppress(OSError):
                client = stack.enter_context(_open(target, number))
                client.sendall(b"G")
                clients.append(client)
        time.sleep(0.5)
        for client in clients:
            client.setblocking(False)
        return f"{sum(map(_is_open, clients))} of 250 stay open"


def _is_open(client: socket.socket) -> bool:
    try:
        return bool(client.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


ATTACKS: dict[str, tuple[Callable[[Target, int], str], frozenset[str]]] = {  # and the answers that are good
    "no token": (_without_token, frozenset({"401"})),
    "wrong token": (_wrong_token, frozenset({"401"})),
    "wrong Origin": (_wrong_origin, frozenset({"403"})),
    "wrong Host": (_wrong_host, frozenset({"403", "400"})),
    "../ and encoded paths": (_paths, frozenset({"404", "400"})),
    "bodies of 10 MB": (_large_bodies, frozenset({"413"})),
    "messages of 10 MB": (_large_messages, frozenset({"1009", "403"})),
    "1,000 connections": (_hold_connections, frozenset()),
}
ALWAYS_GOOD = frozenset({"429", "cut off", "no answer"})  # of whom asks too often, or goes on to send what is refused


class Stretch(msgspec.Struct, frozen=True):
    """One kind of attack, or none. ``passed`` are answers that should not have been given.

    ``fps`` and ``dropped`` are of the stream, ``viewed_fps`` of the watcher, ``command_ms`` the slowest command of who
    has the token.
    """

    name: str
    tries: int
    answers: dict[str, int]
    passed: int
    seconds: float
    fps: float
    dropped: int
    viewed_fps: float
    command_ms: float


def measure_attack(seconds: float, size: str, out: Path) -> list[Stretch]:
    """Each kind of attack for so many seconds, and none before and after; writes ``attack.json`` to ``out``.

    Raises `ConfigError` for wrong input, `BackendError` when the stream does not come about or ends.
    """
    if seconds < 1:
        raise ConfigError(f"{seconds:g} seconds are too few: give at least 1")
    parse_size(size)
    make_folder(out)
    with _stream(size) as target, contextlib.closing(Watcher(target)) as watcher:
        time.sleep(SETTLE)
        stretches = [_measure("nobody attacks", watcher, target, seconds)]
        for name in ATTACKS:
            stretches.append(_measure(name, watcher, target, seconds))
            time.sleep(SETTLE)
        stretches.append(_measure("nobody attacks any more", watcher, target, seconds))
    write_text(out / "attack.json", msgspec.json.format(msgspec.json.encode(stretches), indent=1).decode() + "\n")
    return stretches


@contextlib.contextmanager
def _stream(size: str) -> Iterator[Target]:
    """``livestyle live`` on a network, with a token that this run alone knows."""
    with tempfile.TemporaryDirectory(prefix="livestyle-attack-") as folder:
        log, data = Path(folder) / "live.log", Path(folder) / "livestyle"
        command = [sys.executable, "-m", "livestyle", "live", "--source", "scene", "--size", size, "--fixed-size"]
        command += ["--sink", "web", "--lan", "--port", "0"]
        places = dict.fromkeys(("XDG_DATA_HOME", "LOCALAPPDATA"), folder)
        with log.open("wb") as output:
            live = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **places})
        try:
            deadline = time.monotonic() + PATIENCE
            while not (found := re.search(r"page: http://\S+:(\d+)/", log.read_text())):
                if live.poll() is not None or time.monotonic() > deadline:
                    raise BackendError(f"the stream did not start: {' '.join(log.read_text().split())[-300:]}")
                time.sleep(0.1)
            yield Target(int(found[1]), (data / "lan-token").read_text().strip())
            if live.poll() is not None:
                raise BackendError(f"the stream ended: {' '.join(log.read_text().split())[-300:]}")
        finally:
            live.terminate()
            live.wait(PATIENCE)


class Watcher:
    """Somebody who has the token: counts the pictures of the preview, and keeps the newest state from ``/ws``."""

    def __init__(self, target: Target) -> None:
        self.pictures = 0
        self.slowest = 0.0  # s, of a command
        self.report: dict[str, float] = {}
        self._target = target
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run, name="watcher") for run in (self._view, self._command)]
        for thread in self._threads:
            thread.start()

    def _view(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self._target.port), PATIENCE) as client:
            client.sendall(self._target.request("GET /preview.mjpg?fps=60", token=True))
            client.settimeout(0.5)
            tail = b""
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    data = tail + client.recv(2**20)
                    self.pictures += data.count(b"Content-Type: image/jpeg")
                    tail = data[-23:] if b"Content-Type: image/jpeg" not in data[-23:] else b""

    def _command(self) -> None:
        headers = {"Authorization": f"Bearer {self._target.token}"}
        with connect(f"ws://{HOST}:{self._target.port}/ws", additional_headers=headers) as link:
            number = 0
            while not self._stop.wait(0.1):
                number += 1
                strength = 0.5 + 0.001 * (number % 400)
                started = time.monotonic()
                link.send(f'{{"command": "strength {strength:.3f}"}}')
                while True:
                    state = msgspec.json.decode(link.recv(PATIENCE))
                    if abs(state["controls"]["strength"] - strength) < 1e-6:
                        break
                self.report = state["report"]
                self.slowest = max(self.slowest, time.monotonic() - started)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _measure(name: str, watcher: Watcher, target: Target, seconds: float) -> Stretch:
    context = multiprocessing.get_context("spawn")
    answers: Queue[dict[str, int]] = context.Queue()
    attackers = context.Process(target=_attack, args=(name, target, seconds, answers))
    if name in ATTACKS:
        attackers.start()
        answers.get(timeout=PATIENCE)  # it is ready
    watcher.slowest = 0.0
    report, pictures, started = watcher.report, watcher.pictures, time.monotonic()
    counted: dict[str, int] = {}
    if name in ATTACKS:
        counted = answers.get(timeout=seconds + PATIENCE)
    else:
        time.sleep(seconds)
    took = time.monotonic() - started
    new, viewed = watcher.report, watcher.pictures - pictures
    if name in ATTACKS:
        attackers.join()
    good = ATTACKS[name][1] | ALWAYS_GOOD if name in ATTACKS else frozenset()
    passed = sum(count for answer, count in counted.items() if answer not in good and "stay open" not in answer)
    return Stretch(
        name,
        sum(counted.values()),
        counted,
        passed,
        round(took, 2),
        round((new["frames_out"] - report["frames_out"]) / took, 2),
        int(new["dropped"] - report["dropped"]),
        round(viewed / took, 2),
        round(1000.0 * watcher.slowest, 1),
    )


def _attack(name: str, target: Target, seconds: float, answers: "Queue[dict[str, int]]") -> None:
    """In a process of its own: `ATTACKERS` threads for so many seconds; puts {} when ready, then the answers."""
    if hasattr(os, "nice"):
        os.nice(19)  # on a network they would take nothing of this computer's cores
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # a connection that is cut off is what is wanted
    attack = ATTACKS[name][0]
    counted: Counter[str] = Counter()
    answers.put({})
    deadline = time.monotonic() + seconds

    def run(first: int) -> None:
        for number in itertools.count(first, ATTACKERS):
            counted[attack(target, number)] += 1
            if time.monotonic() > deadline:
                return

    threads = [threading.Thread(target=run, args=(first,)) for first in range(ATTACKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put(dict(counted))


def format_attack(stretches: Sequence[Stretch]) -> str:
    """One line for each kind of attack."""
    lines = []
    for one in stretches:
        answers = ", ".join(f"{answer} ({count})" for answer, count in sorted(one.answers.items()))
        passed = f"; {one.passed} of {one.tries} passed: {answers}" if one.tries else ""
        stream = f"{one.fps:5.1f} fps, {one.dropped} dropped, watched at {one.viewed_fps:.1f} fps"
        lines.append(f"{one.name + ':':<26}{stream}, slowest command {one.command_ms:.0f} ms{passed}")
    return "\n".join(lines)
