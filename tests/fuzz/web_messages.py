"""Fuzzes the page's server: ``python tests/fuzz/web_messages.py -atheris_runs=1000000`` (see harness.py).

A real server, spoken to over its socket. The first byte chooses: 0 mod 4 is the body of a POST to /api/command on a
connection that stays, 1 a text and 2 a binary message on a WebSocket that stays, 3 a connection of its own that gets
the bytes as they are, 7 mod 8 the same to a server that asks for a token. The limits on rates are lifted. Nothing may
be logged as an error, answered with 500, or hang up on a connection that stays.
"""

import contextlib
import functools
import http.client
import json
import logging
import os
import socket
import struct
from typing import Any

import pytest
from harness import Target, check_line, watch

with watch(__name__):
    from livestyle.control import doors, guard
    from livestyle.control.access import Access
    from livestyle.control.guard import MESSAGE_LIMIT
    from livestyle.control.web import WebServer
    from livestyle.controls import ControlBoard, Controls
    from livestyle.sinks.web import PreviewSink

STYLES = ("starry_night", "udnie", "scream")
TOKEN = "0123456789abcdefghijkl"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE = 60  # s, for machines that have much else to do; atheris has its own limit
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10  # RFC 6455, section 5.2


def check(data: bytes) -> None:
    rig = _rig()
    kind, message = (data[0] % 4, data[1:]) if data else (0, b"")
    if kind == 0:
        rig.post(message)
    elif kind == 3:
        rig.send_raw(message, rig.locked.port if data[0] % 8 == 7 else rig.server.port)
    else:
        rig.tell(message.decode("utf-8", "replace").encode() if kind == TEXT else message, kind)
    assert not rig.complaints, rig.complaints


class _Rig:
    """The server, and the connections that stay."""

    def __init__(self) -> None:
        board = ControlBoard(Controls(((STYLES[0], 1.0),)), STYLES)
        preview = PreviewSink()
        with pytest.MonkeyPatch.context() as patch:
            for module, names in ((guard, ("RATE_OF_ONE", "RATE_OF_ALL")), (doors, ("NEW_OF_ONE", "NEW_OF_ALL"))):
                for name in names:
                    patch.setattr(module, name, (1e9, 1e9))
            self.server = WebServer(board, preview, dict, port=0, thumbnails={"udnie": b"\x89PNG"})
            self.locked = WebServer(board, preview, dict, port=0, access=Access("127.0.0.1", TOKEN))
        self.http = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        self.socket = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)
        self.socket.sendall(HANDSHAKE)
        self.news = self.socket.makefile("rb")
        assert b"101" in self.news.readline()
        while self.news.readline() != b"\r\n":
            pass
        self.count = 0
        self.complaints: list[str] = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: self.complaints.append(record.getMessage() + str(record.exc_info))  # type: ignore
        for name in ("uvicorn.error", "asyncio", "websockets.server"):
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).setLevel(logging.ERROR)  # the server itself keeps quiet

    def post(self, body: bytes) -> None:
        try:
            self.http.request("POST", "/api/command", body)
            reply = self.http.getresponse()
        except ConnectionError:  # the server closes what has been quiet for 5 s; a new connection has to serve
            self.http.close()
            self.http.request("POST", "/api/command", body)
            reply = self.http.getresponse()
        answer = json.loads(reply.read())
        assert reply.status in (200, 400, 413), reply.status
        if reply.status == 200:
            assert answer["styles"] == list(STYLES)
        else:
            check_line(answer["error"])
        if reply.status == 413:
            self.http.close()  # the rest of the body would be taken for the next request

    def tell(self, message: bytes, kind: int) -> None:
        """Send it and a wrong command of our own, whose error comes when the first has been dealt with."""
        self.count += 1
        ours = f"done{self.count}"
        self.socket.sendall(frame(message[:MESSAGE_LIMIT], kind) + frame(json.dumps({"command": ours}).encode(), TEXT))
        while True:
            error = self.receive().get("error", "")
            if ours in error:
                return
            if error:
                check_line(error)

    def receive(self) -> dict[str, Any]:
        head, length = self.news.read(2)
        while head == 0x80 | PING:
            self.socket.sendall(frame(self.news.read(length), PONG))
            head, length = self.news.read(2)
        assert head == 0x80 | TEXT, f"hung up: {head:x} {self.news.read(length)!r}"
        if length >= 126:
            (length,) = struct.unpack(*((">H", self.news.read(2)) if length == 126 else (">Q", self.news.read(8))))
        return dict(json.loads(self.news.read(length)))

    def send_raw(self, data: bytes, port: int) -> None:
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
def _rig() -> _Rig:
    return _Rig()


COMMANDS = (b'{"command": "style udnie"}', b'{"command": "region left=scream"}', b'{"command": 3}', b"[[]]", b"")
ASKED = ("/", "/app.js", "/snapshot.png", "/thumbnails/udnie", "/api/state", "/api/commands", "/preview.mjpg?fps=3")
POST = b"POST /api/command HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 19\r\n\r\n"

TARGET = Target(
    check,
    seeds=(
        *(kind + text for kind in (b"\0", b"\1", b"\2") for text in COMMANDS),
        *(b"\3GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode() for path in ASKED),
        b"\3" + POST + b'{"command": "next"}',
        b"\7GET /?token=%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % TOKEN.encode(),
        b"\7GET /api/state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % TOKEN.encode(),
        b"\7GET /api/state HTTP/1.1\r\nHost: localhost\r\nCookie: livestyle-1=a; b\r\n\r\n",
        b"\3" + HANDSHAKE + frame(COMMANDS[0], TEXT) + frame(b"\x03\xe8", CLOSE),
    ),
    found=(
        *(kind + b'{"command": "next", "x": ' + b"[" * 2000 for kind in (b"\0", b"\1", b"\2")),
        b"\3GET /preview.mjpg?fps=%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"9" * 4400),
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
