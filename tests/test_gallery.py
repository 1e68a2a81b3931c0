"""Shots over HTTP: what is taken, how many are kept, who may fetch which part, and what is refused."""

import io
import json
import threading
import urllib.error
import urllib.request
from typing import Any

import av
import cv2
import numpy as np
import pytest
from page_stage import ORANGE, Stage
from web_rig import Rig, wait_until

from livestyle.control.gallery import MOST, MOST_BYTES, Shots
from livestyle.errors import SinkError
from livestyle.live.clip import record_clip
from livestyle.sinks.web import PreviewSink


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def take(stage: Stage, what: str) -> dict[str, Any]:
    wait_until(lambda: stage.preview.wait_newer(0, 0.0))
    status, _, body = ask(f"{stage.server.url}/api/{what}", "POST")
    assert status == 201, body
    return dict(json.loads(body))


def kept(stage: Stage) -> list[str]:
    return [shot["id"] for shot in json.loads(ask(stage.server.url + "/api/state")[2])["shots"]]


def test_a_picture_is_what_was_shown(stage: Stage) -> None:
    shot = take(stage, "pictures")
    status, headers, data = ask(f"{stage.server.url}/shots/{shot['id']}")
    assert status == 200
    assert headers["content-type"] == "image/png"
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert (picture[..., ::-1] == ORANGE).all()
    assert len(data) == shot["bytes"]


def test_a_clip_plays(stage: Stage) -> None:
    shot = take(stage, "clips")
    status, headers, data = ask(f"{stage.server.url}/shots/{shot['id']}")
    assert (status, headers["content-type"]) == (200, "video/mp4")
    with av.open(io.BytesIO(data)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 9  # 0.6 s
    assert np.abs(frames[-1].astype(int) - ORANGE).max() < 16
    part = ask(f"{stage.server.url}/shots/{shot['id']}", Range="bytes=4-7")
    assert (part[0], part[2], part[1]["content-range"]) == (206, b"ftyp", f"bytes 4-7/{len(data)}")
    assert ask(f"{stage.server.url}/shots/{shot['id']}", Range="bytes=-5")[2] == data[-5:]
    assert ask(f"{stage.server.url}/shots/{shot['id']}", Range=f"bytes={len(data)}-")[0] == 416
    assert ask(f"{stage.server.url}/shots/{shot['id']}", Range="bytes=9-2")[0] == 416
    for strange in ("bytes=-", "bytes=0-1,3-4", "pages=1-2", f"bytes={'9' * 50}-"):
        assert ask(f"{stage.server.url}/shots/{shot['id']}", Range=strange)[0] == 200


def test_only_the_newest_are_kept(stage: Stage) -> None:
    ids = [take(stage, "pictures")["id"] for _ in range(MOST + 2)]
    assert len(set(ids)) == len(ids)
    assert kept(stage) == ids[2:]
    assert ask(f"{stage.server.url}/shots/{ids[0]}")[0] == 404


def test_shots_take_no_more_memory_than_they_may() -> None:
    shots = Shots()
    for _ in range(4):
        last = shots.add("picture", bytes(MOST_BYTES // 3 + 1))
    assert [shot["id"] for shot in shots.list()][-1] == last.id
    assert len(shots.list()) == 2
    assert shots.add("clip", bytes(MOST_BYTES + 1)).id == shots.list()[0]["id"]


@pytest.mark.parametrize("name", ["x", "..", "%2e%2e%2fetc%2fpasswd", "a" * 500, "%00", "x/qr.svg"])
def test_other_names_find_nothing(stage: Stage, name: str) -> None:
    take(stage, "pictures")
    assert ask(f"{stage.server.url}/shots/{name}")[0] == 404


def test_one_clip_at_a_time(stage: Stage) -> None:
    wait_until(lambda: stage.preview.wait_newer(0, 0.0))
    answers: list[int] = []
    takers = [
        threading.Thread(target=lambda: answers.append(ask(stage.server.url + "/api/clips", "POST")[0]))
        for _ in range(5)
    ]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(answers).count(201) >= 1
    assert set(answers) <= {201, 409, 429}
    assert len(kept(stage)) == answers.count(201) < 5


def test_nothing_is_taken_by_reading_or_without_a_picture(rig: Rig) -> None:
    assert rig.get("/api/pictures")[0] == 405
    status, _, body = ask(rig.server.url + "/api/pictures", "POST")
    assert status == 503
    assert "no picture" in json.loads(body)["error"]
    assert ask(rig.server.url + "/api/clips", "POST")[0] == 404  # it cannot record any


def test_another_site_takes_nothing(stage: Stage) -> None:
    wait_until(lambda: stage.preview.wait_newer(0, 0.0))
    for what in ("pictures", "clips", "mask?width=1&height=1"):
        assert ask(f"{stage.server.url}/api/{what}", "POST", b"x", Origin="http://evil.example")[0] == 403
    assert kept(stage) == []


def test_a_clip_needs_a_picture_and_can_be_broken_off() -> None:
    stop = threading.Event()
    with PreviewSink() as preview, pytest.raises(SinkError, match="no picture"):
        record_clip(preview, stop)
    stage = Stage()
    try:
        wait_until(lambda: stage.preview.wait_newer(0, 0.0))
        stop.set()
        with pytest.raises(SinkError, match="broken off"):
            record_clip(stage.preview, stop, seconds=600.0)
    finally:
        stage.close()
