"""Commands by Open Sound Control over UDP, from TouchOSC, QLab, a lighting desk or a script.

``/livestyle/COMMAND`` with the argument as value, or in the address: ``/livestyle/strength 0.5``, ``/livestyle/style
"udnie"`` and ``/livestyle/style/udnie`` do what ``livestyle ctl`` does. Where the address says it all, the value is
that of a button: 0, its release, does nothing. OSC knows no password; whoever reaches the port may steer.

python-osc reads the packets. Its own server is not used: it waits for the time stamps of bundles, and an address
pattern with many stars keeps it busy for ever.
"""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from types import ModuleType, TracebackType

from livestyle.control.complaints import Complaints
from livestyle.controls import COMMANDS, ControlBoard, find_name
from livestyle.errors import ConfigError

PREFIX = "/livestyle/"
PACKET_LIMIT = 4096  # bytes
TICK = 0.2  # s between looks at whether to stop


class OscServer:
    """Takes packets from its construction until `close`, in a thread of its own."""

    def __init__(self, board: ControlBoard, host: str, port: int, on_message: Callable[[str], None]) -> None:
        """``port`` 0 takes a free one. ``on_message`` gets what is wrong with packets, not more than a line at times.

        Raises `ConfigError` when python-osc is missing or the port cannot be had.
        """
        osc_packet = import_osc()
        # python-osc logs each damaged packet by logging.warning, which without any handler writes to stderr
        logging.getLogger().addHandler(logging.NullHandler())
        self._packet, self._error = osc_packet.OscPacket, osc_packet.ParseError
        self._board = board
        self._complaints = Complaints("OSC", on_message)
        self._stop = threading.Event()
        self._socket = _bind(host, port)
        self.address: str = "{}:{}".format(*self._socket.getsockname()[:2])
        self._thread = threading.Thread(target=self._run, name="osc", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more. May be called twice."""
        self._stop.set()
        self._thread.join(2.0)
        self._socket.close()

    def __enter__(self) -> "OscServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                data = self._socket.recv(PACKET_LIMIT + 1)
            except TimeoutError:
                continue
            except OSError:  # Windows: a sender has gone
                self._stop.wait(TICK)
                continue
            self._take(data)

    def _take(self, data: bytes) -> None:
        if len(data) > PACKET_LIMIT:
            self._complaints.tell(f"a packet of more than {PACKET_LIMIT} bytes")
            return
        if not _is_sized(data):
            self._complaints.tell("a packet that is not OSC")
            return
        try:
            messages = [entry.message for entry in self._packet(data).messages]
        except (self._error, ValueError, RecursionError):  # ValueError: text that is not UTF-8
            self._complaints.tell("a packet that is not OSC")
            return
        for message in messages:
            try:
                if line := read_message(message.address, message.params):
                    self._board.run(line)
            except ConfigError as error:
                self._complaints.tell(str(error))


def _is_sized(data: bytes) -> bool:
    """Whether the parts of a bundle, and of those in it, lie inside; python-osc reads one of -4 bytes for ever."""
    pending = [data]
    while pending:
        packet = pending.pop()
        at = 16 if packet.startswith(b"#bundle\0") else len(packet)  # behind the name and the time stamp
        while at < len(packet):
            size = int.from_bytes(packet[at : at + 4], "big", signed=True)
            if size <= 0 or at + 4 + size > len(packet):
                return False
            pending.append(packet[at + 4 : at + 4 + size])
            at += 4 + size
    return True


def import_osc() -> ModuleType:
    """python-osc's reader of packets. Raises `ConfigError` where it is not installed."""
    try:
        from pythonosc import osc_packet
    except ImportError:
        raise ConfigError("python-osc is not installed: pip install 'livestyle[surfaces]'") from None
    return osc_packet


def read_message(address: str, values: Sequence[object]) -> str:
    """The command line of a message, "" for a button's release. Raises `ConfigError`."""
    if not address.startswith(PREFIX):
        raise ConfigError(f"address {address!r} is not of the form {PREFIX}COMMAND")
    name, _, argument = address.removeprefix(PREFIX).partition("/")
    command = COMMANDS[find_name(name, COMMANDS, f"command in {address!r}:")]
    if argument or not command.argument:
        is_release = bool(values) and isinstance(values[0], (bool, int, float)) and not values[0]
        return "" if is_release else f"{name} {argument}"
    if command.argument.startswith("[") and values and isinstance(values[0], (bool, int, float)):
        return f"{name} {'on' if values[0] else 'off'}"
    return f"{name} {' '.join(map(_format, values))}"


def parse_address(text: str) -> tuple[str, int]:
    """Read ``9000`` or ``0.0.0.0:9000`` into host (this computer's own unless given) and port. Raises `ConfigError`."""
    host, _, port = text.strip().rpartition(":")
    if not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise ConfigError(f"osc {text!r} is no port from 0 to 65535, nor HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _format(value: object) -> str:
    return format(value, ".6g") if isinstance(value, float) else str(value)


def _bind(host: str, port: int) -> socket.socket:
    receiver: socket.socket | None = None
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        receiver = socket.socket(family, kind, protocol)
        receiver.bind(where)
    except OSError as error:
        if receiver is not None:
            receiver.close()
        raise ConfigError(
            f"OSC cannot listen at {host}:{port} ({error.strerror or error}): choose another with --osc"
        ) from None
    receiver.settimeout(TICK)
    return receiver
