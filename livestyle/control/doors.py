"""The page's server below HTTP: its listening socket, how many connections it holds, and for how long.

uvicorn limits neither how many connections wait nor how slowly a request may trickle in, which is all that a slow
loris needs, and it holds a connection for ever whose client stopped reading.
"""

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Collection
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from livestyle.control.access import client_key
from livestyle.control.rates import Rates
from livestyle.errors import ConfigError

BACKLOG = 256  # connections that the kernel holds until they are accepted, and that are accepted in one go
MOST_CONNECTIONS = 128
MOST_OF_ONE = 48  # of one client; a browser opens six, and one more for each WebSocket
NEW_OF_ONE = (60.0, 240.0)  # new connections a second, and at once; a Stream Deck makes one for each command
NEW_OF_ALL = (200.0, 480.0)
REQUEST_TIME = 15.0  # s from the connection, or the last answer, until a request is here with its whole body
IDLE_TIME = 1.0  # s after which a connection that asks for nothing gives way when there are too many
STUCK_TIME = 20.0  # s without progress after which a client that does not read is dropped
MOST_UNREAD = 16 * 1024 * 1024  # bytes that wait for a client: a flood of pings fills them, no picture does
SEND_BUFFER = (
    128 * 1024
)  # bytes in the kernel for each client: a slow one lags by one or two pictures, not by megabytes


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, which knows for how long it has been waiting for a request."""

    doors: ClassVar["Doors"]
    waiting_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the connection in, or end it."""
        self.waiting_since = time.monotonic()
        peer = transport.get_extra_info("peername") or ("",)
        if self.doors.admit(client_key(peer[0]), self.connections):
            super().connection_made(transport)
            return
        self.transport = transport
        transport.abort()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.waiting_since = time.monotonic()
        super().on_response_complete()

    @property
    def is_idle(self) -> bool:
        """Whether there is no request, or only the beginning of its head."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_waiting(self) -> bool:
        """Whether the client still has to send something."""
        return self.is_idle or self.cycle.more_body


class Doors:
    """Lets connections in and throws them out, on the thread of the server's loop."""

    def __init__(self) -> None:
        self._rates = Rates(NEW_OF_ONE, NEW_OF_ALL)
        self._unread: dict[asyncio.Transport, tuple[int, float]] = {}  # bytes, and since when they have not been less
        self.protocol: type[H11Protocol] = type("AdmittedConnection", (Connection,), {"doors": self})

    def admit(self, client: str, connections: Collection[Any]) -> bool:
        """Whether one more connection of ``client`` may stay beside ``connections``."""
        if self._rates.spend(client):
            return False
        own = [other for other in connections if other.client and client_key(other.client[0]) == client]
        if len(own) >= MOST_OF_ONE:
            return _give_way(own)
        return len(connections) < MOST_CONNECTIONS or _give_way(connections)

    def sweep(self, connections: Collection[Any]) -> None:
        """Drop clients that do not finish a request or do not read the answer; to be called twice a second."""
        now = time.monotonic()
        unread: dict[asyncio.Transport, tuple[int, float]] = {}
        for connection in list(connections):
            transport = connection.transport
            size = transport.get_write_buffer_size()
            before, since = self._unread.get(transport, (0, now))
            if size:
                unread[transport] = size, since if size >= before else now
            is_late = (
                isinstance(connection, Connection)
                and connection.is_waiting
                and now - connection.waiting_since > REQUEST_TIME
            )
            if is_late or size > MOST_UNREAD or (size >= before and now - since > STUCK_TIME):
                transport.abort()
        self._unread = unread


def _give_way(connections: Collection[Any]) -> bool:
    """End the connection that has asked for nothing the longest; False when none is idle."""
    now = time.monotonic()
    idle = [
        other
        for other in connections
        if isinstance(other, Connection)
        and other.is_idle
        and now - other.waiting_since > IDLE_TIME
        and not other.transport.is_closing()
    ]
    if not idle:
        return False
    min(idle, key=lambda other: other.waiting_since).transport.abort()
    return True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; ``host`` "" is every address of this computer.

    Raises `ConfigError` when the port is taken, forbidden or out of range.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port {port} does not exist: --port takes 0 to 65535")
    is_dual = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ":" in host or is_dual else socket.AF_INET
    # asyncio turns Nagle off (40 ms between two writes to a client that acknowledges late) where it sees the protocol
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_dual:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted sockets inherit it
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        where = f"port {port} of {host}" if host else f"port {port}"
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else 0
            raise ConfigError(
                f"{where} is taken (another livestyle?): choose another with --port {other}, "
                "or any free one with --port 0"
            ) from None
        reason = error.strerror or error
        raise ConfigError(f"the page cannot use {where} ({reason}): choose another with --port") from None
    return listener
