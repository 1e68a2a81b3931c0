"""``livestyle ctl``: commands from another process over the local socket."""

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from livestyle.control.ctl import CtlServer, runtime_folder, send_command
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import ConfigError, LivestyleError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these tests look at the Unix socket")

STYLES = ("starry_night", "great_wave", "scream", "udnie")


def make_board() -> ControlBoard:
    return ControlBoard(Controls((("starry_night", 1.0),)), STYLES)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder of the test's own, where platformdirs finds it."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def board(runtime: Path) -> Iterator[ControlBoard]:
    board = make_board()
    with CtlServer(board, lambda: {"fps": 29.5, "frames_out": 7}):
        yield board


def test_a_command_changes_the_board_and_returns_the_state(board: ControlBoard) -> None:
    state = send_command("style scream:0.25,udnie:0.75")
    assert board.controls.mix == (("scream", 0.25), ("udnie", 0.75))
    assert state["controls"]["style"] == "udnie"  # type: ignore[index]
    assert state["controls"]["mix"] == [["scream", 0.25], ["udnie", 0.75]]  # type: ignore[index]
    assert state["styles"] == list(STYLES)


@pytest.mark.parametrize("query", ["state", "status"])
def test_a_query_returns_the_report_and_changes_nothing(board: ControlBoard, query: str) -> None:
    before = board.controls
    assert send_command(query)["report"] == {"fps": 29.5, "frames_out": 7}
    assert board.controls is before


@pytest.mark.parametrize(
    ("text", "says"),
    [("style udnei", "'udnie'"), ("stile udnie", "'style'"), ("strength 2", "outside 0 to 1"), ("", "unknown command")],
)
def test_a_wrong_command_is_one_line(board: ControlBoard, text: str, says: str) -> None:
    before = board.controls
    with pytest.raises(ConfigError, match=says) as caught:
        send_command(text)
    assert "\n" not in str(caught.value)
    assert board.controls is before


def test_a_command_that_is_no_text_is_one_line(board: ControlBoard) -> None:
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        send_command("style \udcff")


def test_nothing_runs(runtime: Path) -> None:
    with pytest.raises(ConfigError, match="no livestyle is running"):
        send_command("next")
    with pytest.raises(ConfigError, match="no livestyle is running with process number 4000000"):
        send_command("next", pid=4_000_000)


def test_folder_and_socket_belong_to_the_user_alone(runtime: Path) -> None:
    with CtlServer(make_board(), dict) as server:
        assert server.path.parent == runtime / "livestyle" == runtime_folder()
        assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    assert not server.path.exists()


def test_an_open_folder_is_closed_and_a_foreign_one_refused(runtime: Path) -> None:
    folder = runtime_folder()
    folder.chmod(0o755)
    assert stat.S_IMODE(runtime_folder().stat().st_mode) == 0o700
    folder.rmdir()
    folder.symlink_to(runtime)
    with pytest.raises(ConfigError, match="belongs to another user"):
        CtlServer(make_board(), dict)


def test_what_a_dead_process_left_is_replaced(runtime: Path) -> None:
    folder = runtime_folder()
    for name in (f"ctl-{os.getpid()}.sock", "ctl-999999.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(folder / name))
    with CtlServer(make_board(), dict) as server:
        assert [path.name for path in folder.iterdir()] == [server.path.name]
        assert send_command("next")["controls"]["style"] == "great_wave"  # type: ignore[index]


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    precious = tmp_path / "notes.txt"
    precious.write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        CtlServer(make_board(), dict, precious)
    assert precious.read_text() == "precious"


def test_one_path_serves_one_livestyle(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with CtlServer(make_board(), dict, path):
        with pytest.raises(ConfigError, match="another livestyle already answers"):
            CtlServer(make_board(), dict, path)
        assert send_command("next", path)


def test_a_path_too_long_for_a_socket_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen") as caught:
        CtlServer(make_board(), dict, tmp_path / ("long" * 50))
    assert "\n" not in str(caught.value)


OTHER = """
import sys
from livestyle.control.ctl import CtlServer
from livestyle.controls import ControlBoard, Controls
with CtlServer(ControlBoard(Controls((("only", 1.0),)), ["only"]), dict):
    print("up", flush=True)
    sys.stdin.read()
"""


def test_the_one_started_last_answers_and_pid_picks_another(board: ControlBoard) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert other.stdin
    assert other.stdout
    try:
        assert other.stdout.readline() == "up\n"
        assert send_command("state")["styles"] == ["only"]
        assert send_command("state", pid=os.getpid())["styles"] == list(STYLES)
        other.kill()  # its socket file stays
        other.wait(10)
        assert send_command("state")["styles"] == list(STYLES)
    finally:
        other.kill()
        other.wait(10)
        other.stdin.close()
        other.stdout.close()


def talk(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(data)
        return client.recv(65536)


def test_clients_that_misbehave_leave_the_server_working(runtime: Path) -> None:
    board = make_board()
    with CtlServer(board, dict) as server:
        assert b"error" in talk(server.path, b"not json\n")
        assert b"error" in talk(server.path, b'{"command": 3}\n')
        assert b"error" in talk(server.path, b'{"command": "next", "x": ' + b"[" * 2000 + b"\n")
        with socket.socket(socket.AF_UNIX) as silent:  # never says anything
            silent.connect(str(server.path))
            with socket.socket(socket.AF_UNIX) as gone:
                gone.connect(str(server.path))
            assert send_command("next")["controls"]["style"] == "great_wave"  # type: ignore[index]


def test_a_stuck_livestyle_is_reported(runtime: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(runtime_folder() / "ctl-1.sock"))
        stuck.listen()

        def hang_up() -> None:
            client, _ = stuck.accept()
            client.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(LivestyleError, match="does not answer"):
            send_command("next")
        thread.join(5)


def test_many_commands_at_once_all_count(board: ControlBoard) -> None:
    threads = [threading.Thread(target=send_command, args=("snapshot",)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert board.controls.snapshots == 12


def test_close_is_quick_with_a_silent_client_and_may_come_twice(tmp_path: Path) -> None:
    server = CtlServer(make_board(), dict, tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(server.path))
        started = time.monotonic()
        server.close()
        server.close()
        assert time.monotonic() - started < 3
    assert not any(thread.name == "ctl" for thread in threading.enumerate())
