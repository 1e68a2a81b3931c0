"""The page in a real Chromium: presets are saved, taken up, replaced and deleted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import SPACE, Browser, wait_for
from page_stage import Stage, drag

from livestyle.presets import Presets

pytestmark = pytest.mark.slow

ENTER, ESCAPE = "\ue007", "\ue00c"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(presets=Presets(tmp_path / "presets"))
    yield stage
    stage.close()


def message(page: Browser, part: str) -> None:
    page.wait(f"return document.getElementById('message').textContent.includes({part!r})")


def save(page: Browser, name: str) -> None:
    page.click("#preset-open")
    page.type(name + ENTER, "#preset-name")
    page.wait("return document.getElementById('preset-form').hidden")


def test_a_preset_is_saved_taken_up_and_deleted(page: Browser, stage: Stage) -> None:
    assert page.run("return document.getElementById('preset-list').hidden")
    stage.board.run("strength 0.4")
    save(page, "bcs")  # letters in the field are no shortcuts
    wait_for(lambda: stage.board.list_presets() == ["bcs"], "nothing was saved")
    assert stage.board.controls.snapshots == 0
    assert stage.board.controls.coherence
    page.click("[data-style=udnie]")
    drag(page, "strength", 90)
    wait_for(lambda: (stage.board.controls.style, stage.board.controls.strength) == ("udnie", 0.9), "no other style")
    page.wait("return document.querySelectorAll('[data-preset]').length === 1")
    page.click("[data-preset=bcs]")
    wait_for(lambda: stage.board.controls.mix == (("starry_night", 1.0),), "the preset was not taken up")
    page.wait("return document.getElementById('strength').value === '40'")
    page.click("[data-forget=bcs]")
    message(page, "Press again")
    assert stage.board.list_presets() == ["bcs"]
    page.click("[data-forget=bcs]")
    wait_for(lambda: stage.board.list_presets() == [], "nothing was deleted")
    page.wait("return document.getElementById('preset-list').hidden")


def test_the_field_says_what_no_name_can_be_and_which_one_is_taken(page: Browser, stage: Stage) -> None:
    page.click("#preset-open")
    page.type("_late" + ENTER, "#preset-name")
    message(page, "cannot be a preset's name")
    page.wait("return document.getElementById('preset-name').getAttribute('aria-invalid') === 'true'")
    assert not page.run("return document.getElementById('preset-form').hidden")
    (refusal,) = page.log("browser")  # the browser notes each answer that is no success
    assert "/api/command" in refusal["message"]
    page.run("document.getElementById('preset-name').value = ''")
    page.type("late" + ENTER, "#preset-name")
    wait_for(lambda: stage.board.list_presets() == ["late"], "nothing was saved")
    stage.board.run("style scream")
    page.wait("return document.querySelectorAll('[data-preset=late]').length === 1")
    page.click("#preset-open")
    page.type("late", "#preset-name")
    assert page.run("return document.getElementById('preset-save').textContent") == "Replace"
    page.click("#preset-save")
    page.wait("return document.getElementById('preset-form').hidden")
    stage.board.run("style udnie")
    page.click("[data-preset=late]")
    wait_for(lambda: stage.board.controls.style == "scream", "the preset was not replaced")


def test_presets_by_keyboard_alone(page: Browser, stage: Stage) -> None:
    save(page, "calm")
    save(page, "loud")
    page.type(SPACE, "#preset-open")
    page.type(ESCAPE, "#preset-name")
    page.wait("return document.activeElement.id === 'preset-open'")
    stage.board.run("style scream")
    page.wait("return document.querySelectorAll('[data-preset]').length === 2")
    page.type(SPACE, "[data-preset=calm]")
    wait_for(lambda: stage.board.controls.style == "starry_night", "the preset was not taken up")
    page.type(SPACE, "[data-forget=calm]")
    page.type(SPACE, "[data-forget=loud]")  # another one is asked about, and the first no more
    assert page.run("return document.querySelectorAll('.armed').length") == 1
    page.type(SPACE, "[data-forget=loud]")
    wait_for(lambda: stage.board.list_presets() == ["calm"], "not the one that was asked about twice")
    page.wait("return document.activeElement.id === 'preset-open'")  # it was the last one
    assert not stage.board.controls.paused
