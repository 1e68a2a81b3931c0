"""The page in a real Chromium: what a click, a key or a slider does to the board."""

import time

import pytest
from browser import ARROW_RIGHT, SPACE, Browser, wait_for
from page_stage import Stage, drag, pressed

pytestmark = pytest.mark.slow


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

    page.wait("return document.querySelectorAll('#region-part option').length === 7")
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
