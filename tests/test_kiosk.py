"""The kiosk, without a browser: what the server lets guests do, when it goes back, and who unlocks it."""

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from browser import wait_for
from kiosk_stage import IDLE, PIN, Clock, KioskStage
from page_stage import STYLES
from web_rig import fetch
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from livestyle.control.kiosk import MORPH, OPERATOR_TIME, STEP, Kiosk
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import ConfigError


@pytest.fixture
def kiosk_stage() -> Iterator[KioskStage]:
    stage = KioskStage()
    yield stage
    stage.close()


def ask(
    stage: KioskStage, path: str, body: object = None, cookie: str = "", method: str = ""
) -> tuple[int, http.client.HTTPMessage, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(stage.server.url + path, data, {"Cookie": cookie}, method=method or None)
    return fetch(request)


def command(stage: KioskStage, text: str, cookie: str = "") -> int:
    return ask(stage, "/api/command", {"command": text}, cookie)[0]


def unlock(stage: KioskStage) -> str:
    """The operator's cookie."""
    status, headers, _ = ask(stage, "/api/kiosk/unlock", {"pin": PIN})
    assert status == 200
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=strict" in headers["set-cookie"]
    return str(headers["set-cookie"]).partition(";")[0]


# ---- guests


@pytest.mark.parametrize(
    "text",
    ["quit", "strength 0.1", "freeze on", "bypass", "region left=udnie", "look off", "snapshot", "morph 60", " quit"],
)
def test_guests_change_the_style_and_nothing_else(kiosk_stage: KioskStage, text: str) -> None:
    before = kiosk_stage.board.controls
    assert command(kiosk_stage, text) == 400
    with connect(kiosk_stage.server.url.replace("http", "ws") + "/ws") as link:
        link.send(json.dumps({"command": text}))
        while "error" not in (answer := json.loads(link.recv(10))):
            assert "kiosk" in answer
        assert "PIN" in answer["error"]
    assert kiosk_stage.board.controls == before
    assert command(kiosk_stage, "style udnie") == 200
    assert kiosk_stage.board.controls.style == "udnie"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        *(
            (path, "GET")
            for path in ("/app.js", "/api/commands", "/wall.jpg", "/preview.mjpg", "/snapshot.png", "/leave.js")
        ),
        *((path, "POST") for path in ("/api/mask", "/api/clips", "/api/presets", "/")),
        *((path, "POST") for path in ("/api/command/quit", "/api/command/save-preset/mine", "/api/command/next")),
        ("/api/command/next", "GET"),
        ("/api/state", "DELETE"),
    ],
)
def test_nothing_else_is_there_for_guests_whatever_routes_there_are(
    kiosk_stage: KioskStage, path: str, method: str
) -> None:
    status, _, body = ask(kiosk_stage, path, method=method)
    assert status == 403
    assert b"PIN" in body


def test_the_settings_lead_guests_back_to_the_kiosk(kiosk_stage: KioskStage) -> None:
    assert b"kiosk.js" in ask(kiosk_stage, "/")[2]
    assert b"kiosk.js" in ask(kiosk_stage, "/settings")[2]  # redirected


@pytest.mark.parametrize("path", ["/other", "/pictures/source", "/pictures/wall"])
def test_another_socket_is_refused(kiosk_stage: KioskStage, path: str) -> None:
    with pytest.raises(InvalidStatus), connect(kiosk_stage.server.url.replace("http", "ws") + path):
        pass


# ---- the phases, on the server alone


def test_it_walks_through_the_styles_until_somebody_touches_it(kiosk_stage: KioskStage) -> None:
    board, clock = kiosk_stage.board, kiosk_stage.clock
    for style in (*STYLES[1:], STYLES[0]):
        clock.now += STEP
        wait_for(lambda style=style: board.controls.style == style, f"{style} was not shown")
    assert board.controls.morph == MORPH
    clock.now += STEP
    wait_for(lambda: board.controls.style == STYLES[1], "it does not begin again")
    assert ask(kiosk_stage, "/api/kiosk/begin", {})[0] == 200
    assert board.controls.style == STYLES[1]  # what the guest saw goes on
    assert board.controls.morph == 0.0
    clock.now += STEP
    state = json.loads(ask(kiosk_stage, "/api/state")[2])
    assert state["kiosk"]["phase"] == "guest"
    assert state["kiosk"]["left"] == IDLE - STEP
    assert board.controls.style == STYLES[1]


def test_it_goes_back_when_nobody_touches_it(kiosk_stage: KioskStage) -> None:
    board, clock = kiosk_stage.board, kiosk_stage.clock
    before = board.controls
    assert command(kiosk_stage, "style scream:0.5,udnie:0.5") == 200
    board.run("strength 0.2")  # by another front end
    clock.now += IDLE - 1
    assert command(kiosk_stage, "style udnie") == 200
    clock.now += IDLE - 1
    assert board.controls.style == "udnie"
    assert kiosk_stage.kiosk.phase == "guest"
    clock.now += 2
    wait_for(lambda: board.controls == before, "it does not go back")
    assert kiosk_stage.kiosk.phase == "attract"


def test_going_back_forgets_neither_a_stop_nor_a_picture() -> None:
    board = ControlBoard(Controls((("udnie", 1.0),)), STYLES)
    clock = Clock()
    kiosk = Kiosk(board, idle=IDLE, clock=clock)
    kiosk.touch()
    board.run("snapshot")
    board.run("quit")
    clock.now += IDLE + 1
    kiosk.tick()
    assert board.controls.snapshots == 1
    assert board.controls.stopping


# ---- the operator


def test_the_pin_unlocks_everything_for_whoever_entered_it(kiosk_stage: KioskStage) -> None:
    cookie = unlock(kiosk_stage)
    assert command(kiosk_stage, "strength 0.5", cookie) == 200
    assert kiosk_stage.board.controls.strength == 0.5
    assert command(kiosk_stage, "strength 0.1") == 400  # another browser
    assert command(kiosk_stage, "strength 0.1", cookie + "x") == 400
    status, _, body = ask(kiosk_stage, "/settings", cookie=cookie)
    assert status == 200
    assert b'id="leave"' in body
    assert b"/leave.js" in body
    assert ask(kiosk_stage, "/app.js", cookie=cookie)[0] == 200


def test_leaving_locks_and_keeps_what_was_set(kiosk_stage: KioskStage) -> None:
    board, clock = kiosk_stage.board, kiosk_stage.clock
    cookie = unlock(kiosk_stage)
    assert command(kiosk_stage, "strength 0.5", cookie) == 200
    assert ask(kiosk_stage, "/", cookie=cookie)[0] == 200
    assert command(kiosk_stage, "strength 0.1", cookie) == 400
    assert command(kiosk_stage, "style udnie") == 200
    clock.now += IDLE + 1
    wait_for(lambda: board.controls.style == STYLES[0], "it does not go back")
    assert board.controls.strength == 0.5


def test_a_forgotten_operator_is_locked_out_and_undone(kiosk_stage: KioskStage) -> None:
    cookie = unlock(kiosk_stage)
    assert command(kiosk_stage, "strength 0.5", cookie) == 200
    kiosk_stage.clock.now += IDLE + 1
    assert command(kiosk_stage, "bypass on", cookie) == 400
    wait_for(lambda: kiosk_stage.board.controls.strength == 1.0, "it does not go back")
    assert command(kiosk_stage, "bypass on", cookie) == 400


def test_guests_cannot_keep_it_unlocked_by_touching_it(kiosk_stage: KioskStage) -> None:
    cookie = unlock(kiosk_stage)
    for _ in range(int(OPERATOR_TIME / (IDLE - 1))):
        kiosk_stage.clock.now += IDLE - 1
        assert command(kiosk_stage, "next", cookie) == 200
    assert command(kiosk_stage, "bypass on", cookie) == 200
    kiosk_stage.clock.now += IDLE - 1
    assert command(kiosk_stage, "bypass on", cookie) == 400


def test_wrong_pins_are_refused_and_soon_not_even_compared(kiosk_stage: KioskStage) -> None:
    for pin in ("000000", "", PIN[:-1], PIN + "0", "²71828"):
        status, headers, body = ask(kiosk_stage, "/api/kiosk/unlock", {"pin": pin})
        assert status == 403
        assert "set-cookie" not in headers
        assert json.loads(body)["error"] == "that is not the PIN"
    status, _, body = ask(kiosk_stage, "/api/kiosk/unlock", {"pin": PIN})  # even the right one must wait now
    assert status == 403
    assert "wait 120 seconds" in json.loads(body)["error"]
    kiosk_stage.clock.now += 121
    unlock(kiosk_stage)


@pytest.mark.parametrize("body", [None, [], {"pin": 1}, {"pin": "1" * 101}, {"pin": PIN, "more": 1}, {}])
def test_a_body_that_is_no_pin_is_one_line_and_no_try(kiosk_stage: KioskStage, body: object) -> None:
    for _ in range(8):
        status, _, answer = ask(kiosk_stage, "/api/kiosk/unlock", body, method="POST")
        assert status == 400
        assert "\n" not in json.loads(answer)["error"]
    unlock(kiosk_stage)


def test_without_a_pin_nothing_unlocks() -> None:
    kiosk = Kiosk(ControlBoard(Controls((("udnie", 1.0),)), STYLES), idle=IDLE)
    assert kiosk.describe()["pin"] is False
    for pin in ("", "0000"):
        with pytest.raises(ConfigError, match="no PIN"):
            asyncio.run(kiosk.unlock(pin))
    assert not kiosk.is_operator("")
