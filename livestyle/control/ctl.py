"""``livestyle ctl``: commands from another process, over a local socket that only the same user reaches.

One request and one answer per connection, each a line of JSON: ``{"command": "style udnie"}`` and ``{"state": …}`` or
``{"error": "one line"}``. The commands are those of `COMMANDS`, and ``state`` or ``status``, which only ask.

Each running livestyle has its own endpoint file, ``ctl-PID.sock``, in a folder of the user's: on POSIX a Unix socket
(folder 0700, socket 0600); on Windows, where Python has none, a file with a loopback TCP port and a random token.
"""

import contextlib
import hmac
import os
import secrets
import socket
import stat
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import msgspec
import platformdirs

from livestyle.control.state import Report, encode_json, read_state
from livestyle.controls import COMMANDS, ControlBoard, find_name
from livestyle.errors import ConfigError, LivestyleError

QUERIES = ("state", "status")
LINE_LIMIT = 64 * 1024  # bytes of a request
REPLY_LIMIT = 1024 * 1024  # bytes of an answer
REQUEST_TIMEOUT = 1.0  # s for a whole request; clients are served one after the other
REPLY_TIMEOUT = 5.0  # s; longer than a queue of requests


class _Request(msgspec.Struct):
    command: str
    token: str = ""


class _Reply(msgspec.Struct):
    state: dict[str, object] | None = None
    error: str | None = None


class _Endpoint(msgspec.Struct):
    port: int
    token: str


def runtime_folder() -> Path:
    """The user's own folder for endpoint files; it is made when it is missing. Raises `ConfigError`."""
    folder = Path(platformdirs.user_runtime_dir("livestyle", appauthor=False))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _claim(folder)
    except OSError as error:
        raise ConfigError(f"the folder {folder} for 'livestyle ctl' cannot be used: {error.strerror}") from None
    return folder


class CtlServer:
    """Answers `send_command` from its construction until `close`, in a thread of its own."""

    def __init__(
        self, board: ControlBoard, report: Report, path: Path | None = None, *, port: int | None = None
    ) -> None:
        """``path`` is the endpoint file, ``ctl-PID.sock`` in `runtime_folder` unless given; ``port`` that of the page.

        Endpoint files that dead processes left there are removed. Raises `ConfigError` when ``path`` is in use by a
        running livestyle or cannot be made.
        """
        self._board = board
        self._report = report
        self._port = port
        self._stop = threading.Event()
        self._token = ""
        if path is None:
            path = runtime_folder() / f"ctl-{os.getpid()}.sock"
            _sweep(path.parent)
        self.path = path
        self._listener = self._listen()
        self._thread = threading.Thread(target=self._run, name="ctl", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the endpoint file, within two seconds. May be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(2.0)
        self._listener.close()
        with contextlib.suppress(OSError):  # somebody else removed it
            self.path.unlink()

    def __enter__(self) -> "CtlServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> socket.socket:
        if self.path.exists() and _is_alive(self.path):
            raise ConfigError(f"another livestyle already answers at {self.path}")
        listener: socket.socket | None = None
        try:
            _remove_stale(self.path)
            if sys.platform == "win32":
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                listener.bind(("127.0.0.1", 0))
                self._token = secrets.token_hex(16)
                self.path.write_bytes(encode_json(_Endpoint(listener.getsockname()[1], self._token)))
            else:
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                listener.bind(str(self.path))
                self.path.chmod(0o600)
            listener.listen(16)
            listener.settimeout(0.2)
        except OSError as error:
            if listener is not None:
                listener.close()
            raise ConfigError(f"'livestyle ctl' cannot listen at {self.path}: {error.strerror or error}") from None
        return listener

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # too many open files, a client that left at once: the next may do better
                self._stop.wait(0.2)
                continue
            with connection, contextlib.suppress(OSError):  # a client that went away, or sent nothing in time
                line = _read_line(connection, LINE_LIMIT, REQUEST_TIMEOUT)
                connection.sendall(self._answer(line) + b"\n")

    def _answer(self, line: bytes) -> bytes:
        try:
            request = msgspec.json.decode(line, type=_Request)
        except (msgspec.DecodeError, UnicodeError, RecursionError):  # the last where brackets are nested by the hundred
            return encode_json({"error": 'send one line of JSON such as {"command": "style udnie"}'})
        if not hmac.compare_digest(request.token.encode(), self._token.encode()):
            return encode_json({"error": "this livestyle belongs to somebody else"})
        try:
            if request.command.strip() not in QUERIES:
                self._board.run(request.command)
        except ConfigError as error:
            return encode_json({"error": str(error)})
        return encode_json({"state": {**read_state(self._board, self._report), "port": self._port}})


def send_command(text: str, path: Path | None = None, pid: int | None = None) -> dict[str, object]:
    """Run a command, or ask with ``state``, in a running livestyle and return its state afterwards.

    That is what `read_state` says and ``port``, of its page on this computer, None without a page.
    It is the one at ``path``, the one of process ``pid``, or else the one started last. Raises `ConfigError` when the
    command is wrong or nothing runs, `LivestyleError` when it runs and does not answer.
    """
    name = text.strip().partition(" ")[0]
    find_name(name, (*COMMANDS, *QUERIES), "command")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"command {text!r} is not text in UTF-8") from None
    connection, token = _connect(_candidates(path, pid), pid)
    with connection:
        try:
            connection.settimeout(REPLY_TIMEOUT)
            connection.sendall(encode_json(_Request(text, token)) + b"\n")
            reply = msgspec.json.decode(_read_line(connection, REPLY_LIMIT, REPLY_TIMEOUT), type=_Reply)
        except (OSError, msgspec.DecodeError, UnicodeError, RecursionError):
            raise LivestyleError("the running livestyle does not answer: it is busy, stopping or stuck") from None
    if reply.error is not None:
        raise ConfigError(reply.error)
    return reply.state or {}


def find_page(pid: int | None = None) -> int | None:
    """The port of the page of a running livestyle, chosen as in `send_command`; None where none runs with a page.

    Raises `ConfigError` when process ``pid`` is none, `LivestyleError` when it runs and does not answer.
    """
    try:
        port = send_command("state", pid=pid).get("port")
    except ConfigError:
        if pid is not None:
            raise
        return None
    return port if isinstance(port, int) else None


def _candidates(path: Path | None, pid: int | None) -> list[Path]:
    if path is not None:
        return [path]
    folder = runtime_folder()
    if pid is not None:
        return [folder / f"ctl-{pid}.sock"]
    return sorted(folder.glob("ctl-*.sock"), key=_age)


def _age(path: Path) -> float:
    """Sorts the endpoint made last to the front."""
    with contextlib.suppress(OSError):  # it went away meanwhile
        return -path.stat().st_mtime
    return 0.0


def _connect(paths: list[Path], pid: int | None) -> tuple[socket.socket, str]:
    for path in paths:
        with contextlib.suppress(OSError, msgspec.DecodeError):  # left behind by a dead process: try an older one
            return _open(path)
    which = "" if pid is None else f" with process number {pid}"
    raise ConfigError(f"no livestyle is running{which}: start one with 'livestyle live'")


def _open(path: Path) -> tuple[socket.socket, str]:
    """A connection to an endpoint and its token. Raises OSError when nobody answers there."""
    if sys.platform == "win32":
        endpoint = msgspec.json.decode(path.read_bytes(), type=_Endpoint)
        return socket.create_connection(("127.0.0.1", endpoint.port), timeout=1.0), endpoint.token
    else:
        if path.stat().st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(1.0)
            connection.connect(str(path))
        except OSError:
            connection.close()
            raise
        return connection, ""


def _is_alive(path: Path) -> bool:
    try:
        connection, _ = _open(path)
    except (BlockingIOError, TimeoutError):  # too many clients wait there
        return True
    except (OSError, msgspec.DecodeError):
        return False
    connection.close()
    return True


def _remove_stale(path: Path) -> None:
    """Remove an endpoint file that nobody answers at; any other file stays, and taking its name fails."""
    if not path.exists():
        return
    if sys.platform != "win32" and not stat.S_ISSOCK(path.stat().st_mode):
        raise FileExistsError(0, "there is a file that is no socket")
    path.unlink()


def _sweep(folder: Path) -> None:
    for path in folder.glob("ctl-*.sock"):
        if not _is_alive(path):
            with contextlib.suppress(OSError):  # another livestyle sweeps at the same moment
                _remove_stale(path)


def _claim(folder: Path) -> None:
    """Check that the folder is the user's own and nobody else's; Windows keeps it in the profile. Raises OSError."""
    if sys.platform != "win32":
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
            raise PermissionError(0, "it belongs to another user")
        if facts.st_mode & 0o077:
            folder.chmod(0o700)


def _read_line(connection: socket.socket, limit: int, seconds: float) -> bytes:
    """One line without its end. Raises OSError when it is too long, late (``seconds`` for all of it) or cut off."""
    deadline = time.monotonic() + seconds
    data = bytearray()
    while not data.endswith(b"\n"):
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = connection.recv(65536)
        data += chunk
        if not chunk or len(data) > limit:
            raise ConnectionError("no whole line came")
    return bytes(data[:-1])
