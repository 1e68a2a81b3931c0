"""The page in a real Chromium: the wall, before and after, the brush, the blend pad, the plot, and shots."""

import re
import time

import cv2
import numpy as np
import pytest
from browser import ARROW_RIGHT, Browser, wait_for
from page_stage import BLUE, ORANGE, REPORT, STYLES, TILES, Stage, pressed
from web_rig import make_frame

from livestyle.control.access import Access
from livestyle.live.regions import Grid, Moment

pytestmark = pytest.mark.slow


def color_of(canvas: str) -> str:
    """A script that gives the colour in the middle of a canvas."""
    return (
        f"const c = document.querySelector('{canvas}');"
        "if (!c.width) return [0, 0, 0];"  # no picture has come yet, and an empty canvas cannot be drawn
        "const x = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});"
        "x.drawImage(c, c.width / 2, c.height / 2, 1, 1, 0, 0, 1, 1);"
        "return [...x.getImageData(0, 0, 1, 1).data].slice(0, 3)"
    )


def is_like(found: list[int], wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.subtract(found, wanted)).max() < 14)


def wait_color(page: Browser, canvas: str, wanted: tuple[int, int, int]) -> None:
    wait_for(lambda: is_like(page.run(color_of(canvas)), wanted), f"{canvas} never showed {wanted}")


def wait_still(page: Browser, sink: object) -> None:
    """Nobody looks at a sink any more."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        before = sink.looks  # type: ignore[attr-defined]
        time.sleep(0.5)
        if sink.looks == before:  # type: ignore[attr-defined]
            return
    raise AssertionError("somebody still looks")


def box_of(page: Browser, selector: str) -> list[float]:
    found = page.run(
        f"const e = document.querySelector('{selector}'); e.scrollIntoView({{block: 'center'}});"
        "const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]"
    )
    return [float(side) for side in found]


def drag_on(page: Browser, selector: str, *points: tuple[float, float]) -> None:
    """Press at the first of ``points``, fractions of an element, move over the others and let go."""
    left, top, width, height = box_of(page, selector)
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
        page.command(
            "Input.dispatchMouseEvent",
            type=kind,
            x=left + x * width,
            y=top + y * height,
            button="left",
            buttons=0 if kind == "mouseReleased" else 1,
            clickCount=1,
        )


def test_the_wall_shows_each_style_and_a_tap_chooses_it(page: Browser, stage: Stage) -> None:
    page.wait("return !document.getElementById('wall-open').hidden")
    time.sleep(0.3)
    assert stage.wall.looks == 0  # nothing is asked for before it is opened
    page.click("#wall-open")
    for style, color in zip(STYLES, TILES, strict=True):
        wait_color(page, f"[data-tile={style}] canvas", color)
    page.click("[data-tile=scream]")
    wait_for(lambda: stage.board.controls.mix == (("scream", 1.0),), "the tile chose nothing")
    page.wait("return document.querySelector('[data-tile=scream]').getAttribute('aria-pressed') === 'true'")
    page.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.click("[data-tile=udnie]")
    wait_for(lambda: stage.board.controls.mix == (("udnie", 1.0),), "the tile chose nothing on a phone")
    page.command("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
    page.click("#wall-open")
    page.wait("return document.getElementById('wall').hidden")
    wait_still(page, stage.wall)


def test_the_wall_of_fourteen_styles_fills_a_small_screen(chromium: Browser) -> None:
    stage = Stage(styles=(*STYLES, *(f"style_{number}" for number in range(10))))
    try:
        chromium.open(stage.server.url)
        chromium.wait("return document.getElementById('frame').classList.contains('live')")
        chromium.click("#wall-open")
        chromium.wait("return document.querySelectorAll('.tile').length === 14")
        right = "document.querySelector('{}').getBoundingClientRect().right"
        gap = chromium.run(f"return {right.format('#view')} - {right.format('.tile:last-child')}")
        assert abs(gap) < 1.0  # no empty cell behind the last
        assert chromium.run("return document.documentElement.scrollHeight <= innerHeight")
    finally:
        chromium.open("about:blank")
        stage.close()


def test_before_and_after_lie_side_by_side(page: Browser, stage: Stage) -> None:
    wait_color(page, "#preview", ORANGE)
    assert stage.sources.looks == 0
    page.click("#compare")
    wait_color(page, "#source", BLUE)
    drag_on(page, "#cut", (0.5, 0.5), (0.25, 0.5))
    page.wait("return Math.abs(document.getElementById('cut').value - 250) < 12")
    assert page.run("return getComputedStyle(document.getElementById('source')).clipPath").startswith("inset(0px 7")
    page.type(ARROW_RIGHT, "#cut")  # the keyboard moves it too, and blends nothing
    page.wait("return document.getElementById('cut').value > 250 - 12")
    assert stage.board.controls.mix == (("starry_night", 1.0),)
    page.click("#compare")
    assert page.run("return document.getElementById('source').hidden")
    wait_still(page, stage.sources)


def test_a_finger_paints_a_mask(page: Browser, stage: Stage) -> None:
    wait_color(page, "#preview", ORANGE)
    page.click("#paint")
    page.run("document.getElementById('brush-style').value = 'udnie'")
    drag_on(page, "#brush", (0.2, 0.5), (0.5, 0.5), (0.8, 0.5))
    wait_for(lambda: [region.mask for region in stage.board.controls.regions] == ["painted"], "no region")
    assert stage.board.controls.regions[0].mix == (("udnie", 1.0),)
    moment = Moment(make_frame(0), Grid(24, 16, 4, 0))

    def level(x: float, y: float) -> float:
        mask = stage.mask(moment)
        return float(mask[int(y * len(mask)), int(x * len(mask[0]))])

    wait_for(lambda: level(0.78, 0.5) == 1.0, "the stroke did not arrive whole")
    assert stage.mask(moment).shape == (90, 160)
    assert level(0.5, 0.2) == 0.0
    page.click("#brush-erase")
    drag_on(page, "#brush", (0.5, 0.5), (0.6, 0.5))
    wait_for(lambda: level(0.5, 0.5) == 0.0, "nothing was erased")
    assert level(0.3, 0.5) == 1.0
    page.click("#brush-clear")
    wait_for(lambda: not stage.mask(moment).any() and not stage.board.controls.regions, "nothing was cleared")
    page.click("#paint")
    assert page.run("return document.getElementById('brush').hidden")


def test_a_point_is_dragged_among_three_styles(page: Browser, stage: Stage) -> None:
    page.click("#mixing")
    page.click("[data-style=udnie]")
    page.wait(pressed("udnie") + " === 'mixed'")
    assert page.run("return document.getElementById('pad').hidden")  # two have a slider
    page.click("[data-style=scream]")
    page.wait("return !document.getElementById('pad').hidden")
    corners = page.run(
        "return Object.fromEntries([...document.querySelectorAll('.corner')].map((e) => [e.textContent,"
        " [parseFloat(e.style.left) / 100, parseFloat(e.style.top) / 100]]))"
    )
    corner, middle = tuple(corners["Scream"]), tuple(np.mean(list(corners.values()), axis=0))
    drag_on(page, "#pad", middle, corner)
    wait_for(lambda: dict(stage.board.controls.mix).get("scream", 0) > 0.97, "the corner is not its style")
    assert len(stage.board.controls.mix) == 3
    drag_on(page, "#pad", corner, middle)
    wait_for(lambda: np.allclose([weight for _, weight in stage.board.controls.mix], 1 / 3, atol=0.02), "no middle")
    page.type(ARROW_RIGHT * 3, ".point")
    wait_for(lambda: max(weight for _, weight in stage.board.controls.mix) > 0.36, "the arrows do not move the point")
    stage.board.run("style starry_night:0.6,udnie:0.2,scream:0.2")
    page.wait("return document.querySelector('.point').getAttribute('aria-valuetext').includes('Starry night 60 %')")


def test_the_plot_draws_the_stages(page: Browser, stage: Stage) -> None:
    page.click("#details summary")
    stage.report = {**REPORT, "frames_out": 2000}
    page.wait(  # the first two stages of the report, in the first two colours
        "const c = document.getElementById('plot'); if (!c.width) return false; const seen = new Set();"
        "const x = new OffscreenCanvas(1, c.height).getContext('2d', {willReadFrequently: true});"
        "x.drawImage(c, c.width - 4, 0, 1, c.height, 0, 0, 1, c.height);"
        "const d = x.getImageData(0, 0, 1, c.height).data;"
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) seen.add([d[i], d[i + 1], d[i + 2]].join());"
        "return seen.has('224,160,48') && seen.has('90,169,230')"
    )


def test_trouble_is_told_with_what_to_do(page: Browser, stage: Stage) -> None:
    page.wait("return document.querySelectorAll('#flow .trouble').length === 1")
    assert "connects again by itself" in page.run("return document.querySelector('.trouble .advice').textContent")
    stage.report = {**REPORT, "source": "lost: the camera is gone", "sinks": {"out.mp4": "failed: the disk is full"}}
    page.wait("return document.querySelectorAll('#flow .trouble').length === 2")
    told = page.run("return document.getElementById('flow').textContent")
    assert "cable" in told
    assert ".part" in told


def test_a_snapshot_and_a_clip_are_kept_and_shown(page: Browser, stage: Stage) -> None:
    wait_color(page, "#preview", ORANGE)
    page.click("#snapshot")
    page.wait("return document.querySelector('dialog[open] #shot-view img')?.naturalWidth === 160")
    assert page.run("return document.getElementById('shot-code').hidden")  # no phone reaches loopback
    assert "--lan" in page.run("return document.getElementById('shot-hint').textContent")
    page.click("#shot-close")
    page.click("#clip")
    page.wait("return document.querySelector('#shot-view video')?.readyState >= 2")
    assert page.run("return document.querySelector('#shot-view video').videoWidth") == 160
    page.click("#shot-close")
    page.wait("return document.querySelectorAll('#shots li').length === 2")
    page.click("#shots button[data-kind=picture]")
    page.wait("return document.getElementById('shot').open")
    page.click("#shot-close")


def test_a_phone_finds_the_way_by_a_code(chromium: Browser) -> None:
    stage = Stage(access=Access("127.0.0.1", "a-token-of-twenty-two-characters"))
    try:
        chromium.open(f"{stage.server.url}/?token=a-token-of-twenty-two-characters")
        chromium.wait("return document.body.dataset.link === 'up' && document.getElementById('preview').width === 160")
        chromium.click("#snapshot")
        chromium.wait("return document.querySelector('dialog[open] #shot-code')?.naturalWidth > 0")
        address = chromium.run("return document.getElementById('shot-save').href")
        chromium.run("Object.assign(document.getElementById('shot-code').style, {width: '320px', height: '320px'})")
        png = np.frombuffer(chromium.picture(), np.uint8)
        screen = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert screen is not None
        read, _, _ = cv2.QRCodeDetector().detectAndDecode(screen)
        assert read == address
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/shots/[\w-]{22}", read)
    finally:
        chromium.open("about:blank")
        stage.close()
