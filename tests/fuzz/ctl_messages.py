"""Fuzzes ``livestyle ctl``: ``python tests/fuzz/ctl_messages.py -atheris_runs=1000000`` (see harness.py).

The first byte chooses: an even one decodes and answers the rest as the server does with a line; 1 mod 4 sends it to a
real server over its socket; 3 mod 4 is a client that gets it as the answer to a command, or sends it as one.
"""

import contextlib
import functools
import json
import socket
import tempfile
import threading
from pathlib import Path

from harness import Target, check_line, refusal, watch

with watch():
    from livestyle.control.ctl import CtlServer, send_command
    from livestyle.controls import ControlBoard, Controls
    from livestyle.errors import LivestyleError

STYLES = ("starry_night", "udnie", "scream")


def check(data: bytes) -> None:
    kind, message = data[:1], data[1:]
    if not kind or kind[0] % 2 == 0:
        check_answer(_server()._answer(message))
    elif kind[0] % 4 == 1:
        check_answer(talk(_server().path, message.replace(b"\n", b" ") + b"\n"))
    elif kind[0] % 8 == 3:
        with refusal():
            send_command(message.decode("utf-8", "surrogateescape"), _server().path)
    else:
        with contextlib.suppress(LivestyleError):  # perhaps in the words of the false one
            send_command("next", _Parrot.there_is(message.replace(b"\n", b" ") + b"\n").path)
    assert _server()._thread.is_alive(), "the server's thread has died"


def check_answer(line: bytes) -> None:
    answer = json.loads(line)
    if "error" in answer:
        check_line(answer["error"])
    else:
        assert answer["state"]["styles"] == list(STYLES)


def talk(path: Path, message: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path))
        client.sendall(message)
        answer = bytearray()
        while not answer.endswith(b"\n"):
            chunk = client.recv(65536)
            assert chunk, "no answer"
            answer += chunk
    return bytes(answer)


@functools.cache
def _server() -> CtlServer:
    board = ControlBoard(Controls(((STYLES[0], 1.0),)), STYLES)
    return CtlServer(board, dict, Path(tempfile.mkdtemp()) / "ctl.sock")


class _Parrot:
    """A false livestyle, which answers everybody with ``line``."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp()) / "parrot.sock"
        self.line = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with client:
                client.recv(65536)
                client.sendall(self.line)

    @classmethod
    @functools.cache
    def _only(cls) -> "_Parrot":
        return cls()

    @classmethod
    def there_is(cls, line: bytes) -> "_Parrot":
        parrot = cls._only()
        parrot.line = line
        return parrot


COMMANDS = ('{"command": "style udnie"}', '{"command": "state"}', '{"command": "next", "token": "x", "more": [1, {}]}')
ANSWERS = ('{"state": {"styles": []}}', '{"error": "no"}', '{"state": null}', "{}")

TARGET = Target(
    check,
    seeds=(
        *(kind + text.encode() for kind in (b"\0", b"\1") for text in COMMANDS),
        *(b"\7" + text.encode() for text in ANSWERS),
        b"\3style udnie",
        b"\3region left=udnie:1,scream:2",
    ),
    found=(
        b'\0{"command": "next", "x": ' + b"[" * 2000,
        b'\1{"command": "next", "x": ' + b"[" * 2000,
        b'\7{"state": ' + b'{"a":' * 2000,
        b'\7{"error": "\xed\xa0\x80"}',
        b"\3style \xff",
    ),
    words=(b"[", b"{", b'"', b"\\u", b"\\ud800", b"null", b"1e999", b'"command"', b'"token"', b'"state"', b'"error"'),
)

if __name__ == "__main__":
    TARGET.run()
