"""Sockets of live pictures: one of each kind, never far ahead of their page, and nothing while nobody looks."""

import time

import cv2
import numpy as np
import pytest
from page_stage import BLUE, ORANGE, Stage
from web_rig import Rig, read_to_the_end, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from livestyle.control.streams import UNDRAWN


@pytest.fixture
def address(stage: Stage) -> str:
    return stage.server.url.replace("http", "ws") + "/pictures/"


def read(link: ClientConnection) -> np.ndarray:
    """The next picture, RGB."""
    picture = cv2.imdecode(np.frombuffer(bytes(link.recv(10)), np.uint8), cv2.IMREAD_COLOR)  # type: ignore[arg-type]
    assert picture is not None
    return picture[..., ::-1]


def test_each_kind_has_its_pictures(stage: Stage, address: str) -> None:
    for kind, color, shape in (("painted", ORANGE, (90, 160)), ("source", BLUE, (90, 160)), ("wall", None, (54, 384))):
        with connect(address + kind) as link:
            for _ in range(4):
                picture = read(link)
                assert picture.shape[:2] == shape
                assert color is None or np.abs(picture.astype(int) - color).max() < 12
                link.send("")
    wait_until(lambda: stage.server.viewers == 0)


def test_no_more_comes_than_was_drawn(stage: Stage, address: str) -> None:
    with connect(address + "painted") as link:
        for _ in range(UNDRAWN):
            read(link)
        with pytest.raises(TimeoutError):
            link.recv(0.5)  # ten frames were painted meanwhile
        link.send("")
        read(link)
        for _ in range(200):
            link.send("drawn!")  # more than were sent gives no credit beyond the usual
        for _ in range(UNDRAWN + 1):
            read(link)
        with pytest.raises(TimeoutError):
            link.recv(0.5)


@pytest.mark.parametrize("kind", ["other", "", "painted/..", "%2e%2e"])
def test_other_kinds_are_refused(stage: Stage, address: str, kind: str) -> None:
    with pytest.raises(InvalidStatus), connect(address + kind):
        pass


def test_a_server_without_a_wall_has_none(rig: Rig) -> None:
    with pytest.raises(InvalidStatus), connect(rig.server.url.replace("http", "ws") + "/pictures/wall"):
        pass


def test_nobody_looks_after_a_page_has_gone(stage: Stage, address: str) -> None:
    with connect(address + "wall") as link:
        read(link)
    wait_until(lambda: stage.server.viewers == 0)
    looks = stage.wall.looks
    time.sleep(0.4)
    assert stage.wall.looks <= looks + 1  # the one that was under way
    assert stage.sources.looks == 0


def test_the_end_of_the_server_ends_the_pictures(address: str) -> None:
    stage = Stage()
    with connect(stage.server.url.replace("http", "ws") + "/pictures/painted") as link:
        read(link)
        stage.close()
        with pytest.raises(ConnectionClosed):
            read_to_the_end(link)
