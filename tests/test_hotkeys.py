"""Global hotkeys: a real program, a real X server, keys pressed by xdotool; and what is read from the configuration."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from display import Display
from steered import Steered

from livestyle.control.combos import Combo, default_combos, parse_combo, plan_hotkeys
from livestyle.control.hotkeys import Hotkeys
from livestyle.controls import COMMANDS, ControlBoard, Controls, read_command
from livestyle.errors import ConfigError

needs_x = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Xvfb and xdotool")


@pytest.fixture
def display() -> Iterator[Display]:
    with Display() as display:
        yield display


def write(folder: Path, text: str) -> str:
    file = folder / "live.toml"
    file.write_text(text)
    return str(file)


@needs_x
@pytest.mark.slow
def test_keys_pressed_in_any_program_steer_a_running_stream(tmp_path: Path, display: Display):
    changes = '[hotkeys]\n"style sketch" = "ctrl+shift+x"\n"strength 0.3" = "F9"\nbypass = ""\n'
    file = write(tmp_path, changes)
    with Steered(tmp_path, "--hotkeys", "--config", file, DISPLAY=display.name) as live:
        live.wait_line("hotkeys are on")
        styles = live.state()["styles"]
        live.wait_controls(lambda c: c["style"] == styles[2], lambda: display.press("key", "ctrl+alt+3"))
        for keys, wanted in [
            ("ctrl+alt+n", {"style": styles[3]}),
            ("ctrl+alt+p", {"style": styles[2]}),
            ("ctrl+alt+Right", {"mix": [[styles[2], 0.9], [styles[3], pytest.approx(0.1)]]}),
            ("ctrl+alt+Down", {"strength": 0.9}),
            ("ctrl+alt+k", {"keep_colors": True}),
            ("ctrl+alt+h", {"coherence": False}),
            ("ctrl+alt+space", {"paused": True}),
            ("ctrl+alt+g", {"snapshots": 1}),
            ("ctrl+shift+x", {"style": "sketch"}),
            ("F9", {"strength": 0.3}),
        ]:
            display.press("key", "--delay", "0", keys)  # pressed and released at once
            controls = live.wait_controls(lambda c, wanted=wanted: all(c[name] == wanted[name] for name in wanted))
        # none of these is a hotkey; the last one is, and comes after them
        for keys in ("n", "ctrl+n", "alt+n", "ctrl+alt+shift+n", "super+alt+n", "ctrl+alt+b", "ctrl+alt+q", "3"):
            display.press("key", keys)
        display.press("key", "ctrl+alt+Up")
        after = live.wait_controls(lambda c: c["strength"] == 0.4)
        assert after == {**controls, "strength": 0.4}
        # held, it fires once although the keyboard repeats
        display.press("keydown", "ctrl", "keydown", "alt", "keydown", "Up", "sleep", "1.5")
        display.press("keyup", "Up", "keyup", "alt", "keyup", "ctrl", "key", "ctrl+alt+k")
        assert live.wait_controls(lambda c: not c["keep_colors"])["strength"] == 0.5
        assert any("style sketch" in line for line in live.lines)
        live.quit()


@needs_x
@pytest.mark.slow
def test_a_display_that_goes_away_ends_the_hotkeys_and_no_stream(tmp_path: Path, display: Display):
    with Steered(tmp_path, "--hotkeys", DISPLAY=display.name) as live:
        live.wait_line("hotkeys are on")
        live.wait_controls(lambda c: c["snapshots"] > 0, lambda: display.press("key", "ctrl+alt+g"))
        display.close()
        live.wait_line("hotkeys are gone")
        live.quit()


@needs_x
@pytest.mark.slow
def test_without_a_display_the_stream_runs_and_a_line_says_what_to_do_instead(tmp_path: Path):
    with Steered(tmp_path, "--hotkeys") as live:
        live.wait_line("without hotkeys: there is no X11 display: bind 'livestyle ctl COMMAND' to a shortcut")
        live.quit()


@needs_x
@pytest.mark.parametrize("sign", [("XDG_SESSION_TYPE", "wayland"), ("WAYLAND_DISPLAY", "wayland-0")])
def test_under_wayland_there_are_none(monkeypatch: pytest.MonkeyPatch, sign: tuple[str, str]):
    monkeypatch.setenv(*sign)
    board = ControlBoard(Controls((("one", 1.0),)), ["one"])
    with pytest.raises(ConfigError, match="'livestyle ctl COMMAND' to a shortcut in your desktop"):
        Hotkeys(board, plan_hotkeys({}), print)


def test_without_pynput_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("XDG_SESSION_TYPE", "x11")
    monkeypatch.setitem(sys.modules, "pynput", None)  # type: ignore[arg-type]
    board = ControlBoard(Controls((("one", 1.0),)), ["one"])
    with pytest.raises(ConfigError, match=r"pip install 'livestyle\[hotkeys\]'"):
        Hotkeys(board, plan_hotkeys({}), print)


def test_the_usual_ones_come_from_the_table():
    combos = default_combos()
    for name, command in COMMANDS.items():
        lines = [line for line in combos if line.partition(" ")[0] == name]
        assert len(lines) == (0 if name == "quit" else len(command.keys))
        for line in lines:
            assert read_command(line)[0] == name
    assert all(combo.modifiers == {"ctrl", "alt"} for combo in combos.values())
    assert len(set(combos.values())) == len(combos)
    assert not {"c", "s", "z", "q"} & {combo.key for combo in combos.values()}  # what a terminal does at Ctrl with them
    assert str(combos["blend-more"]) == "Ctrl+Alt+Right"


def test_changes_move_and_take_away():
    plan = plan_hotkeys(
        {"next": "super+Page_Down", "style 1": "", "  preset   calm": "f13", "quit": "ctrl+alt+shift+q"}
    )
    assert plan[Combo(frozenset({"super"}), "page_down")] == "next"
    assert plan[Combo(frozenset(), "f13")] == "preset calm"
    assert plan[Combo(frozenset({"ctrl", "alt", "shift"}), "q")] == "quit"
    lines = list(plan.values())
    assert "style 1" not in lines
    assert lines.count("next") == 1
    assert parse_combo("ctrl+alt+n") not in plan
    moved = plan_hotkeys({"snapshot": "ctrl+alt+n", "next": "ctrl+alt+m"})
    assert moved[parse_combo("Ctrl+Alt+N")] == "snapshot"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"snapshot": "ctrl+alt+n"}, "'next' and 'snapshot' are both on Ctrl+Alt+N"),
        ({"preset a": "f5", "preset b": "f5"}, '"preset a" = ""'),
        ({"nxt": "f5"}, "did you mean 'next'"),
        ({"style": "f5"}, "needs an argument"),
        ({"next 3": "f5"}, "takes no argument"),
        ({"next": "crtl+alt+n"}, "did you mean 'ctrl'"),
        ({"next": "ctrl+alt+spcae"}, "did you mean 'space'"),
        ({"next": "ctrl+ctrl+n"}, "twice"),
        ({"next": "ctrl+alt"}, "ends without a key"),
        ({"next": "ctrl+"}, "ends without a key"),
        ({"next": "n"}, "while you type"),
        ({"next": "shift+n"}, "while you type"),
        ({"next": "space"}, "while you type"),
        ({"next": "ctrl+shift+1"}, "another character"),
    ],
)
def test_a_mistake_is_one_line_that_helps(changes: dict[str, str], says: str):
    with pytest.raises(ConfigError) as caught:
        plan_hotkeys(changes)
    assert str(caught.value).startswith("hotkeys: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
