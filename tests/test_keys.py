"""Terminal keys, through real pseudo-terminals."""

import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import TextIO

import pytest

from livestyle.control.keys import TerminalKeys, keys_help
from livestyle.control.terminal import decode_keys
from livestyle.controls import COMMANDS, ControlBoard, Controls

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import pty
import termios

STYLES = ("starry_night", "great_wave", "scream", "udnie")


def make_board() -> ControlBoard:
    return ControlBoard(Controls((("starry_night", 1.0),)), STYLES)


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """(the side where somebody types, the program's side)."""
    keyboard, program = pty.openpty()
    with os.fdopen(program, "r") as stream:
        yield keyboard, stream
    os.close(keyboard)


def test_every_key_of_the_table_asks_for_its_command(terminal: tuple[int, TextIO]) -> None:
    keyboard, stream = terminal
    messages: Queue[str] = Queue()
    board = make_board()
    with TerminalKeys(board, messages.put, stream) as keys:
        assert keys.active
        for typed, message in [
            (b"4", "style udnie"),
            (b"n", "style starry_night"),
            (b"P", "style udnie"),
            (b"\x1b[C", "style udnie:0.90,starry_night:0.10"),
            (b"\x1bOD", "style udnie"),
            (b"\x1b[B", "strength 90%"),
            (b"\x1b[A", "strength 100%"),
            (b"c", "coherence off"),
            (b" ", "freeze on"),
            (b"b", "bypass on"),
            (b"s", "snapshot"),
            (b"q", "stopping"),
        ]:
            os.write(keyboard, typed)
            assert messages.get(timeout=5) == message
    assert board.controls.stopping


def test_keys_that_mean_nothing_change_nothing(terminal: tuple[int, TextIO]) -> None:
    keyboard, stream = terminal
    messages: Queue[str] = Queue()
    board = make_board()
    before = board.controls
    with TerminalKeys(board, messages.put, stream):
        os.write(keyboard, "9xé\t\x1b[15~\x1b[1;5C\x1b".encode())
        time.sleep(0.1)  # the Escape key alone is told from an arrow only by the time that passes
        assert board.controls is before
        os.write(keyboard, b"s")
        assert messages.get(timeout=5) == "snapshot"


def test_an_arrow_may_come_in_pieces(terminal: tuple[int, TextIO]) -> None:
    assert decode_keys("\x1b") == ([], "\x1b")
    assert decode_keys("\x1b[") == ([], "\x1b[")
    assert decode_keys("\x1b[Dx\x1b[") == (["left", "x"], "\x1b[")
    assert decode_keys("\x1b[1;2A\x1bxQ") == (["q"], "")


def test_the_terminal_gets_its_settings_back(terminal: tuple[int, TextIO]) -> None:
    keyboard, stream = terminal
    before = termios.tcgetattr(stream.fileno())
    messages: Queue[str] = Queue()
    keys = TerminalKeys(make_board(), messages.put, stream)
    os.write(keyboard, b"s")
    messages.get(timeout=5)
    assert not termios.tcgetattr(stream.fileno())[3] & termios.ICANON
    assert termios.tcgetattr(stream.fileno())[3] & termios.ISIG  # Ctrl-C stays a signal
    keys.close()
    keys.close()
    assert termios.tcgetattr(stream.fileno()) == before
    assert not any(thread.name == "keys" for thread in threading.enumerate())


def test_a_terminal_that_goes_away_ends_the_thread() -> None:
    keyboard, program = pty.openpty()
    with os.fdopen(program, "r") as stream:
        keys = TerminalKeys(make_board(), None, stream)
        os.close(keyboard)
        keys._thread.join(5)
        assert not keys._thread.is_alive()
        keys.close()


def test_without_a_terminal_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("qqq")
    board = make_board()
    with (tmp_path / "input").open() as stream, TerminalKeys(board, None, stream) as keys:
        assert not keys.active
    with TerminalKeys(board, None, io.StringIO("q")) as keys:
        assert not keys.active
    assert not board.controls.stopping


def test_the_help_names_every_key() -> None:
    lines = keys_help().splitlines()
    assert len(lines) == sum(bool(command.keys) for command in COMMANDS.values())
    assert lines[0].startswith("1-9 ")
    for command in COMMANDS.values():
        assert not command.keys or any(command.summary in line for line in lines)


PROGRAM = """
import sys, threading
from livestyle.control.keys import TerminalKeys
from livestyle.controls import ControlBoard, Controls
seen = threading.Event()
keys = TerminalKeys(ControlBoard(Controls((("a", 1.0),)), ["a"]), lambda text: (print(text, flush=True), seen.set()))
how = sys.argv[1]
try:
    print("ready", flush=True)
    if how == "fail":
        seen.wait(20)
        raise RuntimeError("something broke")
    threading.Event().wait(20)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def read_until(fd: int, text: bytes) -> bytes:
    """What a terminal shows up to ``text``; b"" at its end counts as what came so far."""
    shown = b""
    deadline = time.monotonic() + 20
    while text not in shown and time.monotonic() < deadline:
        ready, _, _ = select.select([fd], [], [], 0.5)
        if not ready:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:  # EIO: nobody holds the other side any more
            break
        if not data:
            break
        shown += data
    return shown


@pytest.mark.slow
@pytest.mark.parametrize(("how", "typed"), [("interrupt", b"\x03"), ("fail", b"s")])
def test_a_program_that_forgets_to_close_restores_its_terminal(how: str, typed: bytes) -> None:
    keyboard, program = pty.openpty()
    before = termios.tcgetattr(program)
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", f"import os\nos.login_tty(0)\n{PROGRAM}", how],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, program, fd) for fd in (0, 1, 2)],
        setsid=True,
        setsigdef=[signal.SIGINT],  # a shell starts its background jobs with SIGINT ignored
    )
    try:
        assert b"ready" in read_until(keyboard, b"ready")
        deadline = time.monotonic() + 10
        while termios.tcgetattr(program)[3] & termios.ICANON and time.monotonic() < deadline:
            time.sleep(0.02)
        os.write(keyboard, typed)  # the terminal turns Ctrl-C into SIGINT for its foreground group
        expected = b"interrupted" if how == "interrupt" else b"something broke"
        assert expected in read_until(keyboard, expected)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if how == "interrupt" else 1)
        child = 0
        assert termios.tcgetattr(program) == before
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(program)
        os.close(keyboard)


JOB = """
import os, sys, threading, time
os.login_tty(0)
if os.fork():
    sys.stdin.readline()  # "go": what a shell's fg does
    os.tcsetpgrp(0, int(open(sys.argv[1]).read()))
    os._exit(0 if os.wait()[1] == 0 else 1)
os.setpgid(0, 0)
from livestyle.control.keys import TerminalKeys
from livestyle.controls import ControlBoard, Controls
seen = threading.Event()
with TerminalKeys(ControlBoard(Controls((("a", 1.0),)), ["a"]), lambda text: (print(text, flush=True), seen.set())):
    time.sleep(0.3)
    with open(sys.argv[1], "w") as file:
        file.write(str(os.getpid()))
    print("working", flush=True)
    assert seen.wait(20)
"""


@pytest.mark.slow
def test_a_background_job_runs_on_and_takes_keys_in_the_foreground(tmp_path: Path) -> None:
    keyboard, program = pty.openpty()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", JOB, str(tmp_path / "pid")],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, program, fd) for fd in (0, 1, 2)],
        setsid=True,
    )
    try:
        assert b"working" in read_until(keyboard, b"working")  # not stopped by SIGTTIN or SIGTTOU
        assert termios.tcgetattr(program)[3] & termios.ICANON
        os.write(keyboard, b"go\n")
        deadline = time.monotonic() + 10
        while termios.tcgetattr(program)[3] & termios.ICANON and time.monotonic() < deadline:
            time.sleep(0.02)
        os.write(keyboard, b"s")
        assert b"snapshot" in read_until(keyboard, b"snapshot")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        child = 0
        assert termios.tcgetattr(program)[3] & termios.ICANON
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(program)
        os.close(keyboard)
