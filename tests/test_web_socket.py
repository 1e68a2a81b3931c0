"""The page's WebSocket, with real clients."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from web_rig import Rig, read_to_the_end
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from livestyle.control.web import MESSAGE_LIMIT


def next_state(link: Any, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message = json.loads(link.recv(10))
        if check(message):
            return dict(message)
    raise AssertionError("the state never came")


def test_the_socket_pushes_states_by_itself(rig: Rig) -> None:
    with connect(rig.socket_url) as link:
        for _ in range(4):
            assert json.loads(link.recv(5))["report"]["fps"] == 29.7


def test_the_socket_takes_commands_and_tells_everybody(rig: Rig) -> None:
    with connect(rig.socket_url) as one, connect(rig.socket_url) as other:
        one.send('{"command": "style udnie"}')
        next_state(one, lambda message: message["controls"]["style"] == "udnie")
        next_state(other, lambda message: message["controls"]["style"] == "udnie")
        rig.board.run("coherence off")  # another front end
        next_state(one, lambda message: not message["controls"]["coherence"])


@pytest.mark.parametrize("message", ["style udnie", '{"command": "dance"}', b"\xff", b"", '{"command": null}'])
def test_the_socket_answers_a_wrong_message_and_goes_on(rig: Rig, message: str | bytes) -> None:
    with connect(rig.socket_url) as link:
        link.send(message)
        assert "\n" not in next_state(link, lambda answer: "error" in answer)["error"]
        link.send('{"command": "next"}')
        next_state(link, lambda answer: answer.get("controls", {}).get("style") == "great_wave")


def test_the_socket_refuses_large_messages(rig: Rig) -> None:
    with connect(rig.socket_url) as link:
        link.send(" " * (MESSAGE_LIMIT + 1))
        with pytest.raises(ConnectionClosed):
            read_to_the_end(link)
    assert rig.get("/api/state")[0] == 200


def test_a_socket_that_nobody_reads_delays_nobody(rig: Rig) -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
    request = f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    with rig.raw(request.encode()), connect(rig.socket_url) as link:
        for _ in range(2000):
            rig.board.run("next")
        rig.board.run("style udnie")
        next_state(link, lambda message: message["controls"]["style"] == "udnie")
