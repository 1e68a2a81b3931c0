"""The page in a real Chromium: what a click, a key or a slider does to the board, and what the page shows of it."""

import json
import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser import ARROW_RIGHT, SPACE, Browser, wait_for

import livestyle.control
from livestyle.control.web import WebServer
from livestyle.controls import ControlBoard, Controls
from livestyle.media import Frame
from livestyle.sinks.web import PreviewSink

pytestmark = pytest.mark.slow

STYLES = ("starry_night", "great_wave", "scream", "udnie")
ORANGE = (240, 150, 20)
REPORT: dict[str, object] = {
    "frames_in": 1820,
    "frames_out": 1804,
    "dropped": 16,
    "repeated": 3,
    "fps": 29.73,
    "latency_ms": {"p50": 41.2, "p95": 55.0},
    "stages_ms": {"encode": {"p50": 12.2, "p95": 16.8}, "decode": {"p50": 9.9, "p95": 12.1}},
    "switches": 7,
    "reconnects": 1,
    "source": "camera 0",
    "sinks": {"virtual camera": "live", "rtmp": "stalled, trying again"},
}


class Stage:
    """A server with a board and a picture that is painted 20 times a second."""

    def __init__(self, port: int = 0) -> None:
        self.board = ControlBoard(Controls((("starry_night", 1.0),)), STYLES, masks=("my mask.png",))
        self.report = dict(REPORT)
        self.preview = PreviewSink()
        thumbnail = cv2.imencode(".jpg", np.full((40, 64, 3), 90, np.uint8))[1].tobytes()
        self.server = WebServer(
            self.board, self.preview, lambda: self.report, port=port, thumbnails={"starry_night": thumbnail}
        )
        self._stop = threading.Event()
        self._painter = threading.Thread(target=self._paint, name="painter")
        self._painter.start()

    def _paint(self) -> None:
        pixels = np.full((90, 160, 3), ORANGE, np.uint8)
        index = 0
        while not self._stop.wait(0.05):
            self.preview.write(Frame(pixels, index, index, Fraction(1, 20), time.monotonic()))
            index += 1

    def close(self) -> None:
        self._stop.set()
        self._painter.join()
        self.server.close()
        self.preview.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def page(chromium: Browser, stage: Stage) -> Iterator[Browser]:
    """The page, connected; at the end nothing was logged and nothing but this server was asked."""
    chromium.log("browser")
    chromium.log("performance")
    chromium.open(stage.server.url)
    chromium.wait("return document.body.dataset.link === 'up' && document.querySelectorAll('.style').length === 4")
    yield chromium
    assert chromium.log("browser") == []
    address = stage.server.url.removeprefix("http://")
    asked = list(addresses(chromium.log("performance")))
    assert any(url.endswith("/preview.mjpg?fps=30&round=1") for url in asked)
    assert [url for url in asked if not re.match(rf"(http|ws)://{re.escape(address)}/", url)] == []
    chromium.open("about:blank")


def addresses(log: list[dict[str, Any]]) -> Iterator[str]:
    for entry in log:
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]
        if message["method"] == "Network.webSocketCreated":
            yield message["params"]["url"]


def pressed(style: str) -> str:
    return f"return document.querySelector('[data-style={style}]').getAttribute('aria-pressed')"


def drag(page: Browser, slider: str, value: int) -> None:
    page.run(f"const s = document.getElementById('{slider}'); s.value = {value}; s.dispatchEvent(new Event('input'))")


def test_a_style_button_changes_the_board(page: Browser, stage: Stage) -> None:
    for style in ("udnie", "great_wave", "scream", "starry_night"):
        page.click(f"[data-style={style}]")
        wait_for(lambda style=style: stage.board.controls.mix == ((style, 1.0),), f"{style} was not chosen")
        page.wait(pressed(style) + " === 'true'")
        assert page.run("return document.querySelectorAll('.style[aria-pressed=true]').length") == 1


def test_what_another_front_end_does_shows(page: Browser, stage: Stage) -> None:
    stage.board.run("style scream:0.25,udnie:0.75")
    page.wait(pressed("udnie") + " === 'mixed'")
    page.wait("return document.getElementById('blend').value === '75'")
    assert page.run("return document.getElementById('second').value") == "udnie"
    stage.board.run("freeze on")
    page.wait("return !document.getElementById('badge-frozen').hidden")
    stage.board.run("strength 0.4")
    page.wait("return document.getElementById('strength').value === '40'")


def test_the_blend_slider_mixes_the_chosen_pair(page: Browser, stage: Stage) -> None:
    page.run("const s = document.getElementById('second'); s.value = 'udnie'; s.dispatchEvent(new Event('change'))")
    drag(page, "blend", 30)
    wait_for(lambda: stage.board.controls.mix == (("starry_night", 0.7), ("udnie", 0.3)), "no blend")
    page.wait(pressed("udnie") + " === 'mixed'")
    page.run("const s = document.getElementById('second'); s.value = 'scream'; s.dispatchEvent(new Event('change'))")
    wait_for(lambda: stage.board.controls.mix == (("starry_night", 0.7), ("scream", 0.3)), "no other partner")
    drag(page, "blend", 100)
    wait_for(lambda: stage.board.controls.mix == (("scream", 1.0),), "no full blend")
    time.sleep(0.7)  # several states later the slider still stands where the user left it
    assert page.run("return document.getElementById('blend').value") == "100"
    drag(page, "blend", 0)
    wait_for(lambda: stage.board.controls.mix == (("starry_night", 1.0),), "no way back")


def test_strength_and_switches(page: Browser, stage: Stage) -> None:
    drag(page, "strength", 35)
    wait_for(lambda: stage.board.controls.strength == 0.35, "no strength")
    page.click("#coherence")
    wait_for(lambda: not stage.board.controls.coherence, "coherence stayed on")
    page.click("#freeze")
    page.click("#bypass")
    wait_for(lambda: stage.board.controls.paused and stage.board.controls.bypass, "no freeze or no bypass")
    page.wait("return document.getElementById('coherence').getAttribute('aria-pressed') === 'false'")
    page.wait("return document.getElementById('freeze').getAttribute('aria-pressed') === 'true'")
    page.click("#freeze")
    wait_for(lambda: not stage.board.controls.paused, "the freeze stayed")
    page.click("#snapshot")
    wait_for(lambda: stage.board.controls.snapshots == 1, "no snapshot")
    assert "snapshot" in page.run("return document.getElementById('message').textContent").lower()


def test_several_styles_are_mixed_by_cards_and_sliders(page: Browser, stage: Stage) -> None:
    page.click("#mixing")
    page.click("[data-style=udnie]")
    wait_for(lambda: dict(stage.board.controls.mix) == {"starry_night": 0.5, "udnie": 0.5}, "no second style")
    page.wait("return document.querySelectorAll('#mixer input').length === 2")
    page.click("[data-style=scream]")
    wait_for(lambda: len(stage.board.controls.mix) == 3, "no third style")
    page.wait("return document.querySelectorAll('#mixer input').length === 3")
    drag(page, "mix-scream", 60)
    wait_for(lambda: abs(dict(stage.board.controls.mix)["scream"] - 0.6) < 0.001, "the share did not change")
    assert dict(stage.board.controls.mix)["udnie"] == pytest.approx(0.2, abs=0.001)
    page.wait("return document.getElementById('mix-udnie').value === '20'")
    page.click("[data-style=starry_night]")
    wait_for(lambda: set(dict(stage.board.controls.mix)) == {"udnie", "scream"}, "the card did not remove its style")
    page.click("#mixing")
    page.wait("return document.getElementById('mixer').hidden && !document.getElementById('blend-row').hidden")
    page.click("[data-style=great_wave]")
    wait_for(lambda: stage.board.controls.mix == (("great_wave", 1.0),), "a card does not choose again")


def test_parts_are_set_changed_and_taken_away(page: Browser, stage: Stage) -> None:
    def choose(part: str, style: str) -> None:
        for name, value in (("part", part), ("style", style)):
            page.run(f"document.getElementById('region-{name}').value = '{value}'")
        page.click("#region-add")

    def parts() -> list[tuple[str, str]]:
        return [(region.mask, region.mix[0][0]) for region in stage.board.controls.regions]

    page.wait("return document.querySelectorAll('#region-part option').length === 6")
    choose("left", "udnie")
    wait_for(lambda: parts() == [("left", "udnie")], "the left half was not set")
    choose("my mask.png", "scream")
    choose("left", "great_wave")
    wait_for(lambda: parts() == [("left", "great_wave"), ("my mask.png", "scream")], "the parts are others")
    page.wait("return document.querySelector('[data-mask=left]').textContent === 'Left half: Great wave'")
    page.click("[data-mask='my mask.png']")
    wait_for(lambda: parts() == [("left", "great_wave")], "the part was not taken away")
    stage.board.run("region off")
    page.wait("return document.getElementById('region-list').hidden")


def test_the_time_of_a_change_and_the_sources_colours(page: Browser, stage: Stage) -> None:
    drag(page, "morph", 1)
    wait_for(lambda: stage.board.controls.morph == 1.0, "no morph")
    assert page.run("return document.getElementById('morph-value').textContent") == "1.0 s"
    page.click("#keep-colors")
    wait_for(lambda: stage.board.controls.keep_colors, "the source's colours are not kept")
    page.wait("return document.getElementById('keep-colors').getAttribute('aria-pressed') === 'true'")
    page.type("k")
    wait_for(lambda: not stage.board.controls.keep_colors, "k does not toggle")


def test_keys_are_those_of_the_terminal(page: Browser, stage: Stage) -> None:
    page.wait("return document.querySelectorAll('#keys dt').length > 5")
    page.click("[data-style=great_wave]")  # a clicked button does not keep Space for itself
    page.type("4")
    wait_for(lambda: stage.board.controls.style == "udnie", "4 is not udnie")
    page.type("9")
    page.type(ARROW_RIGHT)
    wait_for(lambda: len(stage.board.controls.mix) == 2, "the arrow does not blend")
    page.type(SPACE)
    wait_for(lambda: stage.board.controls.paused, "Space does not freeze")
    page.type("cbs")
    wait_for(lambda: stage.board.controls.snapshots == 1, "s takes no snapshot")
    assert stage.board.controls.bypass
    assert not stage.board.controls.coherence
    page.type("q")
    page.wait("return document.getElementById('quit').open")
    page.click("#quit-no")
    assert not stage.board.controls.stopping
    page.type("q")
    page.click("#quit-yes")
    wait_for(lambda: stage.board.controls.stopping, "q does not stop")


def test_the_keyboard_alone_works_everything(page: Browser, stage: Stage) -> None:
    page.type(SPACE, "[data-style=scream]")  # Space on a focused button presses it and freezes nothing
    wait_for(lambda: stage.board.controls.style == "scream", "the button was not pressed")
    page.type(ARROW_RIGHT * 5, "#blend")
    wait_for(lambda: stage.board.controls.mix[0][1] == 0.95, "the arrows do not move the slider")
    assert not stage.board.controls.paused
    nameless = page.run(
        "return [...document.querySelectorAll('button, input, select, a')].filter(e => !(e.getAttribute('aria-label')"
        " || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_the_preview_and_the_numbers_show(page: Browser, stage: Stage) -> None:
    page.wait("return document.getElementById('frame').classList.contains('live')")
    shown = page.run(
        "const c = document.createElement('canvas'); c.width = 160; c.height = 90; const x = c.getContext('2d');"
        "x.drawImage(document.getElementById('preview'), 0, 0); return [...x.getImageData(80, 45, 1, 1).data]"
    )
    assert np.abs(np.array(shown[:3]) - ORANGE).max() < 12
    text = page.run("return document.getElementById('hud').textContent.replace(/\\s+/g, ' ')")
    assert "29.7" in text
    assert "41" in text
    assert "160 × 90" in text
    page.wait("return document.querySelectorAll('#flow .trouble').length === 1")
    assert "camera 0" in page.run("return document.getElementById('flow').textContent")
    page.click("#details summary")
    page.wait("return document.getElementById('stages').textContent.includes('12.2 (16.8) ms')")
    assert "1,804" in page.run("return document.getElementById('counters').textContent")
    assert page.run("return document.querySelector('[data-style=starry_night] img').naturalWidth") == 64


def test_a_picture_painted_smaller_than_it_is_shown_says_so(page: Browser, stage: Stage) -> None:
    stage.report = {**REPORT, "painting": {"level": 1, "size": "128x72"}}
    page.wait("return document.getElementById('hud-size').textContent === '128 × 72 → 160 × 90'")
    stage.report = {**REPORT, "painting": {"level": 0, "size": "160x90"}}
    page.wait("return document.getElementById('hud-size').textContent === '160 × 90'")


def test_a_report_before_the_first_frame_shows_dashes(page: Browser, stage: Stage) -> None:
    stage.report = {"fps": float("nan"), "latency_ms": {}, "stages_ms": {}}
    page.wait("return document.getElementById('hud-fps').textContent === '–'")
    page.wait("return document.getElementById('hud-latency').textContent === '–'")


@pytest.mark.parametrize(("width", "height"), [(360, 640), (390, 844), (820, 1180), (1280, 800), (1920, 1080)])
def test_it_fits_the_screen(page: Browser, stage: Stage, width: int, height: int) -> None:
    page.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    page.wait("return document.getElementById('frame').classList.contains('live')")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    beyond = page.run(
        "return [...document.querySelectorAll('button, input, select, a')].filter(e => e.offsetParent"
        " && (e.getBoundingClientRect().right > innerWidth || e.getBoundingClientRect().left < 0)).map(e => e.id)"
    )
    assert beyond == []
    seen = page.run("const r = document.getElementById('frame').getBoundingClientRect(); return [r.top, r.bottom]")
    assert seen[0] >= 0
    assert seen[1] <= height
    page.command("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)


def test_it_comes_back_by_itself(chromium: Browser) -> None:
    stage = Stage()
    try:
        chromium.open(stage.server.url)
        chromium.wait("return document.getElementById('frame').classList.contains('live')")
        stage.close()
        chromium.wait("return document.getElementById('link-text').textContent === 'reconnecting…'")
        assert chromium.run("return document.getElementById('veil').textContent") == "Reconnecting…"
        chromium.click("[data-style=udnie]")
        chromium.wait("return document.getElementById('message').textContent.includes('not there')")
        chromium.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        assert chromium.run("return getComputedStyle(document.querySelector('.dot')).animationName") == "none"
        stage = Stage(stage.server.port)
        chromium.wait("return document.body.dataset.link === 'up'")
        wait_for(lambda: stage.server.viewers == 1, "the preview did not come back")
        chromium.wait("return document.getElementById('frame').classList.contains('live')")
        chromium.click("[data-style=udnie]")
        wait_for(lambda: stage.board.controls.style == "udnie", "the page is not connected")
    finally:
        chromium.open("about:blank")
        chromium.command("Emulation.setEmulatedMedia", features=[])
        stage.close()


ATTACK = """<!doctype html><title>another site</title><img id="stolen"><script>
const server = "127.0.0.1:%d", done = [];
fetch(`http://${server}/api/command`, {method: "POST", mode: "no-cors", body: '{"command": "quit"}'})
  .then(() => done.push("posted"), () => done.push("posted"));
const link = new WebSocket(`ws://${server}/ws`);
link.onopen = () => { done.push("OPEN"); link.send('{"command": "quit"}'); };
link.onerror = () => done.push("refused");
stolen.onload = () => done.push("STOLEN");
stolen.onerror = () => done.push("hidden");
stolen.src = `http://${server}/snapshot.png`;
</script>"""


class AttackHandler(BaseHTTPRequestHandler):
    """Another web site, whose page tries to reach livestyle on its visitor's computer."""

    attack = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.attack.encode())

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def test_another_site_can_neither_command_nor_embed(chromium: Browser, stage: Stage) -> None:
    AttackHandler.attack = ATTACK % stage.server.port
    with ThreadingHTTPServer(("127.0.0.1", 0), AttackHandler) as site:
        thread = threading.Thread(target=site.serve_forever, name="another site")
        thread.start()
        try:
            chromium.open(f"http://evil.example:{site.server_port}/")
            chromium.wait("return done.length === 3")
            assert sorted(chromium.run("return done")) == ["hidden", "posted", "refused"]
            assert not stage.board.controls.stopping
        finally:
            chromium.open("about:blank")
            site.shutdown()
            thread.join()


def test_another_name_for_this_computer_shows_nothing(chromium: Browser, stage: Stage) -> None:
    """DNS rebinding: the site's own name suddenly leads here, and its page is of the same origin as livestyle."""
    chromium.open(f"http://evil.example:{stage.server.port}/")
    assert "only when called by the name of this computer" in chromium.run("return document.body.textContent")
    chromium.open("about:blank")


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("text", "ground"),
        ("soft", "ground"),
        ("soft", "surface"),
        ("soft", "raised"),
        ("on-accent", "accent"),
        ("accent", "raised"),
        ("bad", "ground"),
    ],
)
def test_text_stands_out(text: str, ground: str) -> None:
    css = (Path(livestyle.control.__file__).parent / "page" / "app.css").read_text()
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css))
    light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
