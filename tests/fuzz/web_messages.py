"""Fuzzes the page's server: ``python tests/fuzz/web_messages.py -atheris_runs=1000000`` (see harness.py).

The first byte mod 32 chooses: 0 to 7 the rest is the body of a POST to /api/command, 8 to 15 a text and 16 to 23 a
binary message on a WebSocket, handed to the server's application; 24, 25 and 26 the same over a socket; 27 and up the
bytes as they are over a socket, 29 to a kiosk's server, from 30 on to one that asks for a token. The limits on rates
are lifted. Nothing may be logged as an error, or answered with 500.
"""

import asyncio
import contextlib
import functools
import http.client
import json
import logging
import os
import socket
import struct
from typing import Any, BinaryIO, TypeVar

import pytest
from h11 import LocalProtocolError
from harness import Target, check_line, watch
from starlette.requests import ClientDisconnect

with watch():
    from livestyle.control import doors, guard
    from livestyle.control.access import Access
    from livestyle.control.guard import MESSAGE_LIMIT
    from livestyle.control.kiosk import Kiosk
    from livestyle.control.parts import PREVIEW_ALONE, PageParts
    from livestyle.control.web import WebServer
    from livestyle.controls import ControlBoard, Controls
    from livestyle.sinks.web import PreviewSink

STYLES = ("starry_night", "udnie", "scream")
Server = TypeVar("Server", bound=WebServer)
TOKEN = "0123456789abcdefghijkl"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE = 60  # s, for machines that have much else to do; atheris has its own limit
COMPLAINTS: list[str] = []  # what servers have logged
POST = 0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10  # RFC 6455, section 5.2


def check(data: bytes) -> None:
    kind, message = (data[0] % 32, data[1:]) if data else (0, b"")
    way = kind // 8 if kind < 24 else kind - 24  # of POST, TEXT, BINARY
    if way == TEXT:
        message = message.decode("utf-8", "replace").encode()
    if kind < 8:
        check_answer(*_application().post("/api/command", b"", message))
    elif kind < 24:
        errors = [json.loads(text).get("error", "") for text in _application().tell(message, way)]
        assert any("'done'" in error for error in errors), errors
        for error in filter(None, errors):
            check_line(error)
    elif kind == 24:
        _rig().post(message)
    elif kind < 27:
        _rig().tell(message, way)
    else:
        _rig().send_raw(message, kind)
    assert not COMPLAINTS, COMPLAINTS


class IdleServer(WebServer):
    """The server without its loop: what it would serve is called from here."""

    async def _serve(self) -> None: ...


class Application:
    """Hands requests to a server's application as uvicorn would (https://asgi.readthedocs.io/en/latest/specs)."""

    def __init__(self, server: IdleServer) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()

    def post(self, path: str, query: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        news = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
        sent = self._call("http", path, query, news)
        return sent[0]["status"], b"".join(part["body"] for part in sent[1:])

    def tell(self, message: bytes, kind: int) -> list[str]:
        """What the WebSocket says to ``message`` and a wrong command of our own after it."""
        key, done = "text" if kind == TEXT else "bytes", b'{"command": "done"}'
        news: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        news += [
            {"type": "websocket.receive", key: text.decode() if kind == TEXT else text} for text in (message, done)
        ]
        news += [{"type": "websocket.disconnect", "code": 1000}]
        sent = self._call("websocket", "/ws", b"", news)
        assert sent[0]["type"] == "websocket.accept"
        return [part["text"] for part in sent[1:]]

    def _call(self, kind: str, path: str, query: bytes, news: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "query_string": query,
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", self._server.port),
        }

        async def receive() -> dict[str, Any]:
            return news.pop(0)

        async def send(part: dict[str, Any]) -> None:
            sent.append(part)

        self._loop.run_until_complete(self._server._app(scope, receive, send))  # type: ignore[arg-type]
        return sent


class _Rig:
    """The real server, with and without a token, and its clients."""

    def __init__(self) -> None:
        self.server, self.locked = make_server(WebServer), make_server(WebServer, TOKEN)
        self.kiosk = make_server(WebServer, kiosk=True)
        handler = logging.Handler(logging.ERROR)
        handler.emit = complain  # type: ignore[method-assign]
        for name in ("uvicorn.error", "asyncio", "websockets.server"):
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).setLevel(logging.ERROR)  # the server itself keeps quiet

    def post(self, body: bytes) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        with contextlib.closing(client):
            client.request("POST", "/api/command", body)
            reply = client.getresponse()
            check_answer(reply.status, reply.read())

    def tell(self, message: bytes, kind: int) -> None:
        """Send it and a wrong command of our own, whose error comes when the first has been dealt with."""
        with (
            socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as client,
            client.makefile("rb") as news,
        ):
            client.sendall(HANDSHAKE)
            assert b"101" in news.readline()
            while news.readline() != b"\r\n":
                pass
            client.sendall(frame(message[:MESSAGE_LIMIT], kind) + frame(b'{"command": "done"}', TEXT))
            error = ""
            while "'done'" not in error:
                error = receive(client, news).get("error", "")
                if error:
                    check_line(error)

    def send_raw(self, data: bytes, kind: int) -> None:
        port = {29: self.kiosk, 30: self.locked, 31: self.locked}.get(kind, self.server).port
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as client,
            contextlib.suppress(ConnectionError),  # a server that hangs up before it has read all resets the connection
        ):
            client.sendall(data)
            client.settimeout(0.02 if b"\r\n\r\n" in data else 0.001)
            answer = b""
            with contextlib.suppress(TimeoutError):
                answer = client.recv(65536)
            assert not answer.startswith(b"HTTP/1.1 500"), answer
            client.settimeout(PATIENCE)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass


def receive(client: socket.socket, news: BinaryIO) -> dict[str, Any]:
    """The next text frame; a ping on the way is answered."""
    head, length = news.read(2)
    while head == 0x80 | PING:
        client.sendall(frame(news.read(length), PONG))
        head, length = news.read(2)
    assert head == 0x80 | TEXT, f"hung up: {head:x} {news.read(length)!r}"
    if length >= 126:
        (length,) = struct.unpack(*((">H", news.read(2)) if length == 126 else (">Q", news.read(8))))
    return dict(json.loads(news.read(length)))


def complain(record: logging.LogRecord) -> None:
    error = record.exc_info[1] if record.exc_info else None
    # who leaves in the middle of a body; who sends no HTTP behind a request, which uvicorn refuses before its answer
    if not isinstance(error, ClientDisconnect | LocalProtocolError):
        COMPLAINTS.append(f"{record.getMessage()} {error!r}")


def check_answer(status: int, body: bytes) -> None:
    answer = json.loads(body)
    assert status in (200, 400, 413), status
    if status == 200:
        assert answer["styles"] == list(STYLES)
    else:
        check_line(answer["error"])


def make_server(kind: type[Server], token: str = "", kiosk: bool = False, parts: PageParts = PREVIEW_ALONE) -> Server:
    """A server without limits on rates."""
    board = ControlBoard(Controls(((STYLES[0], 1.0),)), STYLES)
    with pytest.MonkeyPatch.context() as patch:
        for module, names in ((guard, ("RATE_OF_ONE", "RATE_OF_ALL")), (doors, ("NEW_OF_ONE", "NEW_OF_ALL"))):
            for name in names:
                patch.setattr(module, name, (1e9, 1e9))
        thumbnails = {"udnie": b"\x89PNG"}
        server = kind(
            board,
            PreviewSink(),
            dict,
            port=0,
            access=Access("127.0.0.1", token),
            thumbnails=thumbnails,
            kiosk=Kiosk(board, idle=60, pin="123456") if kiosk else None,
            parts=parts,
        )
        server._app.middleware_stack = server._app.build_middleware_stack()  # which reads the rates
        return server


def frame(message: bytes, kind: int) -> bytes:
    """One whole masked frame."""
    size = len(message)
    length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH" if size < 65536 else ">BQ", 0xFE, size)
    if size >= 65536:
        length = struct.pack(">BQ", 0xFF, size)
    mask = os.urandom(4)
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(message))
    return bytes([0x80 | kind]) + length + mask + body


@functools.cache
def _application() -> Application:
    return Application(make_server(IdleServer))


@functools.cache
def _rig() -> _Rig:
    return _Rig()


COMMANDS = (b'{"command": "style udnie"}', b'{"command": "region left=scream"}', b'{"command": 3}', b"[[]]", b"")
ASKED = ("/", "/app.js", "/snapshot.png", "/thumbnails/udnie", "/api/state", "/api/commands", "/preview.mjpg?fps=3")
COMMAND = b"POST /api/command HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 19\r\n\r\n"

TARGET = Target(
    check,
    seeds=(
        *(bytes([kind]) + text for kind in (0, 8, 16, 24, 25, 26) for text in COMMANDS),
        *(b"\x1bGET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode() for path in ASKED),
        b"\x1b" + COMMAND + b'{"command": "next"}',
        b"\x1bPOST /api/pictures HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x1bPOST /api/command/style/udnie?token=x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x1bGET /shots/a/qr.svg HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\n\r\n",
        b"\x1b" + HANDSHAKE.replace(b"/ws", b"/pictures/painted") + frame(b"drawn", TEXT),
        b"\x1dPOST /api/kiosk/unlock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n" + b'{"pin": "123456"}',
        b"\x1dPOST /api/kiosk/begin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        b"\x1dGET /settings HTTP/1.1\r\nHost: localhost\r\nCookie: livestyle-operator-1=a\r\n\r\n",
        b"\x1eGET /?token=%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % TOKEN.encode(),
        b"\x1eGET /api/state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % TOKEN.encode(),
        b"\x1eGET /api/state HTTP/1.1\r\nHost: localhost\r\nCookie: livestyle-1=a; b\r\n\r\n",
        b"\x1b" + HANDSHAKE + frame(COMMANDS[0], TEXT) + frame(b"\x03\xe8", CLOSE),
    ),
    found=(
        *(bytes([kind]) + b'{"command": "next", "x": ' + b"[" * 2000 for kind in (0, 8, 16, 24, 25, 26)),
        b"\x1bGET /preview.mjpg?fps=%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"9" * 4400),
    ),
    words=(
        *(b"[", b"{", b'"', b"\\u", b"\\ud800", b"null", b"1e999", b'"command"', b"..", b"%2e%2e/", b"%00", b"%ff"),
        *(
            b"\r\n",
            b"Host: ",
            b"Origin: ",
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n",
            b"Upgrade: ",
        ),
        *(b"HEAD", b"OPTIONS", b"HTTP/1.0", b"Cookie: livestyle=", b"fps=", b"localhost", b"\x81\xfe\xff\xff"),
    ),
)

if __name__ == "__main__":
    TARGET.run()
