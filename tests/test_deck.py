"""Commands as addresses, for Stream Deck and Companion: POST for all whom the guard lets in, GET for the token."""

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner
from web_rig import Rig, fetch

from livestyle.cli import app
from livestyle.control.access import Access, open_network
from livestyle.control.ctl import CtlServer

TOKEN = "J1yGeF0pXqLk2c8WmZtR5v"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, for the token, and a folder in which no livestyle runs."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def ask(rig: Rig, path: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{rig.server.port}{path}"
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, body = fetch(urllib.request.Request(url, b"" if method == "POST" else None, headers, method=method))
    return status, json.loads(body) if body.startswith(b"{") else body


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("next", "style", "great_wave"),
        ("style/udnie", "style", "udnie"),
        ("style/scream:0.5,udnie:0.5", "mix", [["scream", 0.5], ["udnie", 0.5]]),
        ("region/left=udnie", "regions", [{"mask": "left", "mix": [["udnie", 1.0]]}]),
        ("region/0.1,0.2,0.3,0.4=udnie", "regions", [{"mask": "0.1,0.2,0.3,0.4", "mix": [["udnie", 1.0]]}]),
        ("strength/0.25", "strength", 0.25),
        ("freeze", "paused", True),
        ("freeze/on", "paused", True),
    ],
)
def test_a_post_runs_the_command_of_its_address(rig: Rig, path: str, field: str, value: object):
    status, state = ask(rig, f"/api/command/{path}", "POST")
    assert status == 200
    assert state["controls"][field] == value


@pytest.mark.parametrize(
    "path", ["nxt", "style/udnei", "style", "next/3", "strength/nan", "preset/../../etc/passwd", "style/"]
)
def test_a_wrong_command_is_400_with_one_line(rig: Rig, path: str):
    before = rig.board.controls
    status, answer = ask(rig, f"/api/command/{path}", "POST")
    assert status == 400
    assert "\n" not in answer["error"]
    assert rig.board.controls is before


def test_a_get_needs_the_token_even_where_the_page_does_not(rig: Rig):
    before = rig.board.controls
    path = "/api/command/style/udnie"
    for address, headers in [
        (path, {}),
        (f"{path}?token=", {}),
        (f"{path}?token={TOKEN}", {}),
        (path, {"Authorization": f"Bearer {TOKEN}"}),
        (path, {"Authorization": "Bearer "}),
    ]:
        status, answer = ask(rig, address, **headers)
        assert status == 403
        assert "livestyle ctl --address" in answer["error"]
    assert rig.board.controls is before
    token = open_network()[0].token
    assert ask(rig, f"{path}?token={token}")[0] == 200
    assert ask(rig, "/api/command/next", Authorization=f"Bearer {token}")[0] == 200
    assert rig.board.controls.style == "starry_night"  # udnie, and then round the end


def test_other_sites_get_nowhere(rig: Rig):
    before = rig.board.controls
    token = open_network()[0].token
    path = "/api/command/style/udnie"
    assert ask(rig, path, "POST", Origin="http://evil.example")[0] == 403
    assert ask(rig, path, "POST", Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(rig, path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 403  # a link: has no token
    assert ask(rig, path, Host="evil.example")[0] == 403
    assert ask(rig, f"{path}?token={token}", "HEAD")[0] == 405  # what looks at an address asks for nothing
    assert ask(rig, path, "PUT")[0] == 405
    assert rig.board.controls is before


def test_on_a_network_the_token_may_stand_in_the_address_of_a_command_and_nowhere_else():
    rig = Rig(Access("", TOKEN))
    try:
        assert ask(rig, "/api/command/next", "POST")[0] == 401
        assert ask(rig, f"/api/command/next?token={TOKEN[:-1]}", "POST")[0] == 401
        assert ask(rig, f"/api/command/next?token={TOKEN[:-1]}%ff%00")[0] == 401
        assert ask(rig, f"/api/state?token={TOKEN}")[0] == 401
        assert ask(rig, f"/api/command?token={TOKEN}", "POST")[0] == 401
        assert rig.board.controls.style == "starry_night"
        assert ask(rig, f"/api/command/next?token={TOKEN}")[0] == 200
        assert ask(rig, "/api/command/next", "POST", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert rig.board.controls.style == "scream"
    finally:
        rig.server.close()
        rig.preview.close()


def test_the_address_that_is_printed_does_it(rig: Rig):
    runner = CliRunner()
    for text, field, value in [
        (["style", "scream:0.5,udnie:0.5"], "mix", [["scream", 0.5], ["udnie", 0.5]]),
        (["next"], "style", "great_wave"),
    ]:
        rig.board.run("style starry_night")
        with CtlServer(rig.board, dict, port=rig.server.port):
            result = runner.invoke(app, ["ctl", "--address", *text])
        assert result.exit_code == 0
        url = urlsplit(result.output.strip())
        assert url.netloc == f"127.0.0.1:{rig.server.port}"
        status, state = ask(rig, f"{url.path}?{url.query}")
        assert status == 200
        assert state["controls"][field] == value
    assert "did you mean 'next'" in str(runner.invoke(app, ["ctl", "--address", "nxt"]).exception)


def test_without_a_page_that_runs_the_address_has_the_usual_port(rig: Rig):
    runner = CliRunner()
    assert runner.invoke(app, ["ctl", "--address", "next"]).output.startswith("http://127.0.0.1:8765/")
    with CtlServer(rig.board, dict):
        assert runner.invoke(app, ["ctl", "--address", "next"]).output.startswith("http://127.0.0.1:8765/")
    assert "no livestyle is running" in str(runner.invoke(app, ["ctl", "--address", "--pid", "1", "next"]).exception)
