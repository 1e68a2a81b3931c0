"""Fuzzes Open Sound Control: ``python tests/fuzz/osc_packets.py -atheris_runs=1000000`` (see harness.py).

The input is a packet, taken as the server takes it. What is wrong with it is told in a line.
"""

import functools
import struct
from random import Random

from command_lines import STYLES, check_promises
from harness import Target, check_line, scramble, watch

with watch():
    from livestyle.control.osc import OscServer
    from livestyle.controls import ControlBoard, Controls


def check(data: bytes) -> None:
    server, board = _stage()
    server._take(data)
    check_promises(board.controls)


@functools.cache
def _stage() -> tuple[OscServer, ControlBoard]:
    board = ControlBoard(Controls(((STYLES[0], 1.0),)), STYLES, ("face.png",), lambda: ("warm", "cold"))
    return OscServer(board, "127.0.0.1", 0, check_line), board


def string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return data + bytes(-len(data) % 4)


def message(address: str, *values: object) -> bytes:
    """OSC 1.0: address, types, values, each filled up to four bytes."""
    kinds, body = ",", b""
    for value in values:
        if isinstance(value, str):
            kinds, body = kinds + "s", body + string(value)
        elif isinstance(value, float):
            kinds, body = kinds + "f", body + struct.pack(">f", value)
        else:
            kinds, body = kinds + "i", body + struct.pack(">i", value)
    return string(address) + string(kinds) + body


def bundle(*packets: bytes) -> bytes:
    return string("#bundle") + bytes(7) + b"\1" + b"".join(struct.pack(">i", len(one)) + one for one in packets)


def change(data: bytes, luck: Random) -> bytes:
    """A change of four whole bytes, a bundle of two packets, or one of them alone."""
    kind = luck.randrange(4)
    if kind == 0:
        return bundle(data, luck.choice(TARGET.seeds))
    if kind == 1:
        at = 4 * luck.randint(0, len(data) // 4)
        return data[:at] + luck.choice((b",i\0\0", b",[f]", b",TFN", b",b\0\0", b",h\0\0", bytes(4))) + data[at + 4 :]
    return scramble(data, luck, TARGET.words)


TARGET = Target(
    check,
    seeds=(
        message("/livestyle/style/udnie"),
        message("/livestyle/style", "udnie:0.5,scream:0.5"),
        message("/livestyle/strength", 0.5),
        message("/livestyle/next", 1),
        message("/livestyle/coherence", 0),
        message("/livestyle/region", "left=udnie"),
        bundle(message("/livestyle/next", 1), bundle(message("/livestyle/freeze"))),
    ),
    found=(string("#bundle") + bytes(8) + b"\xff\xff\xff\xfc",),
    words=(b"/livestyle/", b"#bundle\0", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xc0\0\0", b"*", b"[", b"{a,b}"),
    mutate=change,
)

if __name__ == "__main__":
    TARGET.run()
