"""The kiosk's page in a real Chromium, by real clicks."""

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from browser import Browser, wait_for
from kiosk_stage import IDLE, PIN, KioskStage
from page_stage import addresses

from livestyle.control.access import Access
from livestyle.control.kiosk import STEP

pytestmark = pytest.mark.slow

TOKEN = "J1yGeF0pXqLk2c8WmZtR5v"


def open_kiosk(chromium: Browser, stage: KioskStage, query: str = "") -> None:
    chromium.open(f"http://127.0.0.1:{stage.server.port}/{query}")
    chromium.wait("return document.body.dataset.link === 'up'")
    chromium.wait("return document.querySelector('.picture').classList.contains('live')")


@pytest.fixture
def kiosk_stage() -> Iterator[KioskStage]:
    stage = KioskStage()
    yield stage
    stage.close()


@pytest.fixture
def kiosk(chromium: Browser, kiosk_stage: KioskStage) -> Iterator[Browser]:
    """The kiosk's page, which asks nobody but its server."""
    chromium.log("performance")
    open_kiosk(chromium, kiosk_stage)
    yield chromium
    asked = list(addresses(chromium.log("performance")))
    own = rf"(http|ws)://127\.0\.0\.1:{kiosk_stage.server.port}/"
    assert [url for url in asked if not re.match(own, url)] == []
    assert any(url.endswith("/pictures/painted") for url in asked)
    chromium.open("about:blank")


def phase(stage: KioskStage, name: str) -> None:
    wait_for(lambda: stage.kiosk.phase == name, f"the kiosk is not in phase {name}")


def click_at(page: Browser, x: int, y: int) -> None:
    for kind in ("mousePressed", "mouseReleased"):
        page.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@pytest.mark.parametrize(("x", "y"), [(3, 3), (1276, 3), (3, 796), (1276, 796), (640, 400), (90, 500)])
def test_touching_anywhere_begins(kiosk: Browser, kiosk_stage: KioskStage, x: int, y: int) -> None:
    kiosk.wait("return document.body.dataset.phase === 'attract'")
    before = kiosk_stage.board.controls.mix
    click_at(kiosk, x, y)
    phase(kiosk_stage, "guest")
    kiosk.wait("return document.body.dataset.phase === 'guest'")
    assert kiosk_stage.board.controls.mix == before  # it chose nothing yet
    assert not kiosk.run("return document.getElementById('pin').open")


def test_it_shows_the_styles_by_itself_and_says_which(kiosk: Browser, kiosk_stage: KioskStage) -> None:
    kiosk.wait("return document.getElementById('now').textContent === 'Starry night'")
    kiosk_stage.clock.now += STEP
    kiosk.wait("return document.getElementById('now').textContent === 'Great wave'")


def test_a_guest_chooses_a_style_and_is_forgotten(kiosk: Browser, kiosk_stage: KioskStage) -> None:
    kiosk.click("#attract")
    kiosk.wait("return document.body.dataset.phase === 'guest'")
    kiosk.wait("return getComputedStyle(document.getElementById('bar')).transform === 'none'")
    kiosk.click("[data-style=udnie]")
    wait_for(lambda: kiosk_stage.board.controls.style == "udnie", "the card chose nothing")
    kiosk.wait("return document.querySelector('[data-style=udnie]').getAttribute('aria-pressed') === 'true'")
    kiosk_stage.clock.now += IDLE - 5
    kiosk.wait("return document.getElementById('still').textContent.includes('Still there?')")
    kiosk_stage.clock.now += 6
    kiosk.wait("return document.body.dataset.phase === 'attract'")
    wait_for(lambda: kiosk_stage.board.controls.style == "starry_night", "it does not go back")


def enter(page: Browser, pin: str) -> None:
    for digit in pin:
        page.click(f"#keys [data-key='{digit}']")
    page.click("#keys [data-key='✓']")


def test_the_pin_opens_the_settings_and_leaving_locks_them(kiosk: Browser, kiosk_stage: KioskStage) -> None:
    kiosk.click("#lock")
    kiosk.wait("return document.getElementById('pin').open")
    enter(kiosk, "000000")
    kiosk.wait("return document.getElementById('wrong').textContent === 'that is not the PIN'")
    enter(kiosk, PIN)
    kiosk.wait("return location.pathname === '/settings' && document.body.dataset.link === 'up'")
    kiosk.wait("return document.querySelectorAll('#styles .style').length === 4")
    kiosk.click("#coherence")
    wait_for(lambda: not kiosk_stage.board.controls.coherence, "the settings change nothing")
    kiosk.click("#leave")
    kiosk.wait("return location.pathname === '/' && document.body.dataset.phase === 'attract'")
    phase(kiosk_stage, "attract")
    assert not kiosk_stage.board.controls.coherence  # what the operator set stays
    kiosk.open(f"{kiosk_stage.server.url}/settings")
    kiosk.wait("return location.pathname === '/' && !!document.getElementById('attract')")


def test_forgotten_settings_lead_back_to_the_kiosk(kiosk: Browser, kiosk_stage: KioskStage) -> None:
    kiosk.click("#lock")
    enter(kiosk, PIN)
    kiosk.wait("return location.pathname === '/settings'")
    kiosk_stage.clock.now += IDLE + 1
    kiosk.wait("return location.pathname === '/' && !!document.getElementById('attract')")
    phase(kiosk_stage, "attract")


def test_no_key_leaves_the_page_or_commands(kiosk: Browser, kiosk_stage: KioskStage) -> None:
    kiosk.click("#attract")
    kiosk.wait("return document.body.dataset.phase === 'guest'")
    kiosk.run(
        "window.passed = []; addEventListener('keydown', e => { if (!e.defaultPrevented) passed.push(e.key); });"
        "for (const kind of ['contextmenu', 'dragstart'])"
        " document.body.dispatchEvent(new Event(kind, {bubbles: true, cancelable: true})) && passed.push(kind)"
    )
    before = kiosk_stage.board.controls
    kiosk.type("qfbcs49")
    for key, modifiers in [("F5", 0), ("F11", 0), ("w", 2), ("r", 2), ("t", 2), ("F4", 1), ("s", 2), ("+", 2)]:
        kiosk.command("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers)
    assert kiosk.run("return passed") == []
    assert kiosk_stage.board.controls == before


def test_without_a_pin_there_is_no_lock_to_touch(chromium: Browser) -> None:
    stage = KioskStage(pin="")
    try:
        open_kiosk(chromium, stage)
        assert chromium.run("return document.getElementById('lock').hidden")
    finally:
        chromium.open("about:blank")
        stage.close()


def test_it_comes_back_when_livestyle_does(chromium: Browser) -> None:
    stage = KioskStage()
    open_kiosk(chromium, stage)
    stage.close()
    chromium.wait("return document.body.dataset.link === 'down'")
    again = KioskStage(port=stage.server.port)
    try:
        chromium.wait("return document.body.dataset.link === 'up'")
        wait_for(lambda: again.server.viewers == 1, "the picture did not come back")
        chromium.click("#attract")
        phase(again, "guest")
    finally:
        chromium.open("about:blank")
        again.close()


def test_the_code_beside_the_picture_brings_it_to_a_phone(chromium: Browser, tmp_path: Path) -> None:
    """The whole way of a guest: touch, shutter, and the code that a phone reads from the screen, without the token."""
    stage = KioskStage(Access("", TOKEN))
    try:
        open_kiosk(chromium, stage, f"?token={TOKEN}")
        assert chromium.run("return location.search") == ""
        chromium.click("#attract")
        chromium.wait("return getComputedStyle(document.getElementById('bar')).transform === 'none'")
        chromium.click("#shutter")
        chromium.wait("return document.getElementById('shot-code').naturalWidth > 0", 30)
        chromium.wait("return document.getElementById('shot').getAnimations().length === 0")
        chromium.screenshot(tmp_path / "shot.png")
        address = cv2.QRCodeDetector().detectAndDecode(cv2.imread(str(tmp_path / "shot.png")))[0]
        assert address.startswith(f"{stage.server.url}/shots/")
        assert TOKEN not in address
        chromium.command("Network.clearBrowserCookies")
        chromium.open(address)  # the phone
        assert chromium.run("return document.querySelector('img').naturalWidth") == 160
        chromium.open(stage.server.url)
        assert "token" in chromium.run("return document.body.textContent")
    finally:
        chromium.open("about:blank")
        stage.close()
