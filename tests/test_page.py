"""The page in a real Chromium: what it shows, how it fits and comes back, and what it keeps out."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, wait_for
from page_stage import ORANGE, REPORT, Stage

import livestyle.control

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("text", "ground"),
        ("text", "raised"),
        ("soft", "ground"),
        ("soft", "surface"),
        ("soft", "raised"),
        ("on-fill", "fill"),
        ("accent", "raised"),
        ("accent", "lit"),
        ("bad", "ground"),
    ],
)
def test_text_stands_out(text: str, ground: str, theme: str) -> None:
    css = (Path(livestyle.control.__file__).parent / "page" / "app.css").read_text()
    dark, _, light = css.partition("@media (prefers-color-scheme: light)")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark))
    if theme == "light":
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    dim, bright = sorted((luminance(colours[text]), luminance(colours[ground])))
    assert (bright + 0.05) / (dim + 0.05) >= 4.5
