"""MIDI: messages of mido through a backend of the tests' own, for want of a sequencer; a real program steered by it."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue

import fake_midi
import mido
import pytest
from mido import Message
from steered import Steered
from web_rig import STYLES, wait_until

from livestyle.control.midi import AUTO, MidiInput, Target, plan_midi
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import ConfigError

MAP = {
    "note 36": "style udnie",
    "note 37": "next",
    "cc 7": "strength 0..1",
    "cc 8": "morph 5..0",
    "cc 20": "keep-colors",
    "cc 21": "snapshot",
}


class Desk:
    """A folder of controllers, and a board that one of them steers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board = ControlBoard(Controls((("starry_night", 1.0),)), STYLES)
        self.said: Queue[str] = Queue()

    def plug(self, name: str) -> None:
        (self.folder / name).touch()

    def listen(self, port: str = AUTO) -> MidiInput:
        return MidiInput(self.board, port, plan_midi(MAP), self.said.put)

    def play(self, name: str, *messages: Message) -> None:
        with (self.folder / name).open("a") as file:
            file.writelines(message.hex() + "\n" for message in messages)

    def reach(self, check: Callable[[Controls], bool]) -> None:
        wait_until(lambda: check(self.board.controls), 60)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    folder = tmp_path / "controllers"
    folder.mkdir()
    monkeypatch.setenv("FAKE_MIDI", str(folder))
    before = mido.backend
    monkeypatch.setattr("livestyle.control.midi.LOOK", 0.1)
    mido.set_backend("fake_midi")
    yield Desk(folder)
    mido.set_backend(before)
    assert not any(thread.name in ("midi", "fake-midi") for thread in threading.enumerate())


def cc(control: int, value: int, channel: int = 0) -> Message:
    return Message("control_change", control=control, value=value, channel=channel)


@pytest.mark.slow
def test_a_controller_steers_a_running_stream(tmp_path: Path):
    desk = Desk(tmp_path / "controllers")
    desk.folder.mkdir()
    desk.plug("nanoKONTROL2 CTRL 24:0")
    config = tmp_path / "live.toml"
    config.write_text('midi = "nanokontrol"\n[midi_map]\n"note 36" = "style udnie"\n"cc 7" = "strength 0..1"\n')
    surroundings = {
        "FAKE_MIDI": str(desk.folder),
        "MIDO_BACKEND": "fake_midi",
        "PYTHONPATH": f"{Path(fake_midi.__file__).parent}:{Path(__file__).parent.parent}",
    }
    with Steered(tmp_path, "--config", str(config), **surroundings) as live:
        live.wait_line("MIDI: nanoKONTROL2 CTRL 24:0")
        desk.play("nanoKONTROL2 CTRL 24:0", Message("note_on", note=36), cc(7, 0), cc(7, 127), cc(7, 32))
        live.wait_controls(lambda c: c["style"] == "udnie" and c["strength"] == pytest.approx(32 / 127, abs=1e-5))
        desk.play("nanoKONTROL2 CTRL 24:0", cc(99, 5))
        live.wait_line('MIDI: "cc 99" does nothing')
        live.quit()


def test_keys_ask_and_knobs_set(desk: Desk):
    desk.plug("pads")
    with desk.listen():
        desk.play("pads", cc(7, 127, channel=9), cc(8, 127), cc(7, 64))
        desk.reach(lambda c: (c.strength, c.morph) == (0.503937, 0.0))
        desk.play("pads", cc(8, 0), cc(7, 0))
        desk.reach(lambda c: (c.strength, c.morph) == (0.0, 5.0))
        desk.play("pads", Message("note_on", note=36, velocity=1), Message("note_off", note=36))
        desk.reach(lambda c: c.style == "udnie")
        # a key let go is no press, however its controller says so
        desk.play(
            "pads", Message("note_on", note=37), Message("note_on", note=37, velocity=0), Message("note_off", note=37)
        )
        desk.play("pads", cc(20, 127), cc(20, 0))
        desk.reach(lambda c: c.keep_colors)
        assert desk.board.controls.style == "starry_night"  # once further, round the end
        # a knob on a button's place asks once as it passes the middle
        desk.play("pads", *(cc(21, value) for value in (10, 63, 64, 65, 127, 64, 63, 70)), cc(20, 127))
        desk.reach(lambda c: not c.keep_colors)
        assert desk.board.controls.snapshots == 2


def test_what_is_not_in_the_map_is_told_without_a_flood(desk: Desk):
    desk.plug("pads")
    with desk.listen():
        assert desk.said.get(timeout=60) == "MIDI: pads"
        others = [Message("clock"), Message("pitchwheel", pitch=100), Message("sysex", data=[1, 2])]
        desk.play("pads", *others, *(cc(50, value) for value in range(1, 120)), cc(21, 127))
        desk.reach(lambda c: c.snapshots == 1)
        line = desk.said.get(timeout=60)
        assert line.startswith('MIDI: "cc 50" does nothing: [midi_map]')
        assert desk.said.qsize() < 5


def test_a_wrong_style_is_one_line(desk: Desk):
    desk.plug("pads")
    plan = plan_midi({"note 1": "style nosuch", "note 2": "snapshot"})
    with MidiInput(desk.board, AUTO, plan, desk.said.put):
        desk.play("pads", Message("note_on", note=1), Message("note_on", note=2))
        desk.reach(lambda c: c.snapshots == 1)
        said = [desk.said.get(timeout=60), desk.said.get(timeout=60)]
        assert any(line.startswith("MIDI: unknown style 'nosuch'") for line in said)


def test_a_controller_may_come_late_go_and_come_back(desk: Desk):
    desk.plug("Midi Through 14:0")
    desk.plug("other")
    with desk.listen("Launch"):
        line = desk.said.get(timeout=60)
        assert "named like 'Launch' among: Midi Through 14:0, other" in line
        desk.plug("Launchpad 20:0")
        assert desk.said.get(timeout=60) == "MIDI: Launchpad 20:0"
        desk.play("Launchpad 20:0", cc(7, 0))
        desk.reach(lambda c: c.strength == 0.0)
        (desk.folder / "Launchpad 20:0").unlink()
        assert "Launchpad 20:0 is gone" in desk.said.get(timeout=60)
        desk.plug("Launchpad 28:0")  # the number of a port is another each time
        assert desk.said.get(timeout=60) == "MIDI: Launchpad 28:0"
        desk.play("Launchpad 28:0", cc(7, 127))
        desk.reach(lambda c: c.strength == 1.0)


def test_the_first_controller_is_none_of_the_systems_own(desk: Desk):
    desk.plug("Midi Through 14:0")
    desk.plug("pads")
    with desk.listen():
        assert desk.said.get(timeout=60) == "MIDI: pads"


def test_where_there_is_no_midi_a_line_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def fail(**_: object) -> list[object]:
        raise OSError("no sequencer\nhere")

    monkeypatch.setattr(fake_midi, "get_devices", fail)
    with pytest.raises(ConfigError, match=r"no MIDI \(no sequencer here\)"):
        desk.listen()
    monkeypatch.undo()
    monkeypatch.setenv("FAKE_MIDI", str(desk.folder))
    mido.set_backend("no_such_backend")
    with pytest.raises(ConfigError, match=r"pip install 'livestyle\[surfaces\]'"):
        desk.listen()


@pytest.mark.skipif(sys.platform != "linux", reason="ALSA")
def test_a_kernel_without_sequencer_is_told_what_to_load(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    mido.set_backend("mido.backends.rtmidi")
    monkeypatch.setattr("livestyle.control.midi.SEQUENCER", tmp_path / "seq")
    with pytest.raises(ConfigError, match="sudo modprobe snd-seq"):
        desk.listen()
    assert capfd.readouterr() == ("", "")  # ALSA's library says more than a line


def test_the_map_says_what_a_control_does():
    plan = plan_midi(MAP)
    assert plan["cc", 7] == Target("strength", (0.0, 1.0))
    assert plan["cc", 7].at(127) == "strength 1"
    assert plan["cc", 8].at(0) == "morph 5"
    assert plan["note", 36].at(100) == "style udnie"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"knob 7": "next"}, "did you mean"),
        ({"notes 7": "next"}, "did you mean 'note'"),
        ({"cc": "next"}, "names no control"),
        ({"cc 128": "next"}, "names no control"),
        ({"cc " + "9" * 5000: "next"}, "names no control"),
        ({"cc -1": "next"}, "names no control"),
        ({"cc 1": "nxt"}, "did you mean 'next'"),
        ({"cc 1": "strength"}, "needs an argument"),
        ({"cc 1": "next", "CC  1": "previous"}, "twice"),
    ],
)
def test_a_mistake_in_the_map_is_one_line_that_helps(table: dict[str, str], says: str):
    with pytest.raises(ConfigError) as caught:
        plan_midi(table)
    assert str(caught.value).startswith("midi_map: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
