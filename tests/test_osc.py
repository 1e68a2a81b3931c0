"""OSC: a real client of python-osc steers a running program; packets of every kind leave it standing."""

import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import SimpleUDPClient
from steered import Steered
from web_rig import STYLES, wait_until

from livestyle.control.complaints import PAUSE
from livestyle.control.osc import PACKET_LIMIT, OscServer, parse_address, read_message
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import ConfigError


class Ear:
    """A server with its board, what it said, and a socket to it."""

    def __init__(self) -> None:
        self.board = ControlBoard(Controls((("starry_night", 1.0),)), STYLES)
        self.said: Queue[str] = Queue()
        self.server = OscServer(self.board, "127.0.0.1", 0, self.said.put)
        port = int(self.server.address.rpartition(":")[2])
        self.client = SimpleUDPClient("127.0.0.1", port)

    def send(self, data: bytes) -> None:
        self.client._sock.sendto(data, (self.client._address, self.client._port))

    def settle(self) -> None:
        """All that was sent before has been taken."""
        seen = self.board.controls.snapshots

        def snap() -> bool:
            self.client.send_message("/livestyle/snapshot", [])  # again: UDP may lose any
            return self.board.controls.snapshots > seen

        wait_until(snap, 60)


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.client._sock.close()
    ear.server.close()
    assert not any(thread.name == "osc" for thread in threading.enumerate())


@pytest.mark.slow
def test_a_client_steers_a_running_stream(tmp_path: Path):
    with Steered(tmp_path, "--osc", "0") as live:
        host, _, port = live.wait_line("takes /livestyle/COMMAND").split()[1].rpartition(":")
        assert host == "127.0.0.1"
        client = SimpleUDPClient(host, int(port))
        for address, value, wanted in [
            ("/livestyle/strength", 0.25, {"strength": 0.25}),
            ("/livestyle/style", "udnie", {"style": "udnie"}),
            ("/livestyle/style/scream", 1.0, {"style": "scream"}),
            ("/livestyle/keep-colors", 1, {"keep_colors": True}),
            ("/livestyle/region", "left=sketch", {"regions": [{"mask": "left", "mix": [["sketch", 1.0]]}]}),
        ]:
            live.wait_controls(
                lambda c, wanted=wanted: all(c[name] == wanted[name] for name in wanted),
                lambda address=address, value=value: client.send_message(address, value),
            )
        client.send_message("/livestyle/stile", "udnie")
        live.wait_line("OSC: unknown command in '/livestyle/stile': 'stile': did you mean 'style'")
        client._sock.close()
        live.quit()


@pytest.mark.parametrize(
    ("address", "values", "line"),
    [
        ("/livestyle/next", [], "next"),
        ("/livestyle/next", [1.0], "next"),
        ("/livestyle/next", [0.0], ""),
        ("/livestyle/next", [False], ""),
        ("/livestyle/style", ["great_wave"], "style great_wave"),
        ("/livestyle/style", [3.0], "style 3"),
        ("/livestyle/style/a:0.5,b:0.5", [1], "style a:0.5,b:0.5"),
        ("/livestyle/preset/calm", [0], ""),
        ("/livestyle/strength", [0.123456789], "strength 0.123457"),
        ("/livestyle/freeze", [], "freeze"),
        ("/livestyle/freeze", [1], "freeze on"),
        ("/livestyle/freeze", [0.0], "freeze off"),
        ("/livestyle/freeze", ["toggle"], "freeze toggle"),
        ("/livestyle/look", ["off"], "look off"),
    ],
)
def test_what_a_message_asks_for(address: str, values: list[object], line: str):
    assert read_message(address, values).strip() == line


def test_messages_and_bundles_reach_the_board(ear: Ear):
    ear.client.send_message("/livestyle/strength", 0.5)
    wait_until(lambda: ear.board.controls.strength == 0.5)
    bundle = OscBundleBuilder(2_000_000_000.0)  # a time to come: taken at once all the same
    for address, value in (("/livestyle/style", "udnie"), ("/livestyle/morph", 2.0)):
        message = OscMessageBuilder(address)
        message.add_arg(value)
        bundle.add_content(message.build())
    ear.send(bundle.build().dgram)
    wait_until(lambda: ear.board.controls.morph == 2.0)
    assert ear.board.controls.style == "udnie"
    assert ear.said.empty()


def test_a_flood_of_nonsense_is_told_once_and_changes_nothing(ear: Ear, capfd: pytest.CaptureFixture[str]):
    before = ear.board.controls
    for _ in range(200):
        ear.client.send_message("/livestyle/strength", float("nan"))
        ear.client.send_message("/livestyle/style", "\x1b[2J" * 100)
        ear.client.send_message("/livestyle/style", [])
        ear.client.send_message("/other/address", 1)
    ear.settle()
    assert ear.board.controls == Controls(before.mix, snapshots=ear.board.controls.snapshots)
    lines = [ear.said.get_nowait() for _ in range(ear.said.qsize())]
    assert 1 <= len(lines) < 20  # one in five seconds, however long this took
    assert PAUSE == 5.0
    for line in lines:
        assert line.startswith("OSC: ")
        assert line.isprintable()
        assert len(line) < 260
    assert capfd.readouterr() == ("", "")


def test_damaged_packets_leave_it_standing(ear: Ear, capfd: pytest.CaptureFixture[str]):
    good = OscMessageBuilder("/livestyle/strength")
    for value in (0.5, "text", True, [1, 2]):
        good.add_arg(value)
    bundle = OscBundleBuilder(0)
    bundle.add_content(good.build())
    seeds = [good.build().dgram, bundle.build().dgram]
    nested = seeds[1]
    while len(nested) < PACKET_LIMIT - 30:
        nested = b"#bundle\0" + struct.pack(">QI", 1, len(nested)) + nested
    packets = [
        b"",
        b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xfc",
        b"\0",
        b"/",
        b"#bundle\0",
        nested,
        b"/livestyle/" + b"*a" * 1500 + b"\0\0\0,\0\0\0",
        b"/x" * 30_000,
    ]
    chance = random.Random(5)
    for _ in range(500):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        packets.append(bytes(data[: chance.randrange(1, len(data) + 1)]))
    for number, packet in enumerate(packets):
        ear.send(packet)
        if number % 50 == 0:
            ear.settle()
    ear.settle()
    assert ear.server._thread.is_alive()
    assert not ear.board.controls.stopping
    assert capfd.readouterr() == ("", "")


def test_where_it_listens():
    assert parse_address("9000") == ("127.0.0.1", 9000)
    assert parse_address("0.0.0.0:9000") == ("0.0.0.0", 9000)
    assert parse_address("[::1]:9000") == ("::1", 9000)
    for text in ("", "x", "70000", "-1", "host:", "9000:x", "9" * 5000):
        with pytest.raises(ConfigError, match="nor HOST:PORT"):
            parse_address(text)


def test_a_taken_port_and_an_unknown_host_are_one_line():
    board = ControlBoard(Controls((("one", 1.0),)), ["one"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="choose another with --osc") as caught:
            OscServer(board, "127.0.0.1", taken.getsockname()[1], print)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="choose another with --osc"):
        OscServer(board, "no.such.host.invalid", 0, print)
