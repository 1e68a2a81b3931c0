"""Fixtures that several files share."""

import re
import threading
import time
from collections.abc import Iterator

import pytest
from browser import Browser
from page_stage import Stage, addresses
from web_rig import Rig


@pytest.fixture(scope="session", autouse=True)
def no_data_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The styles, looks and presets of whoever runs the tests would be listed beside the shipped ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Every thread that a test started has ended, or ends soon after it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 8.0
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not left


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.server.close()
    rig.preview.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def page(chromium: Browser, stage: Stage) -> Iterator[Browser]:
    """The page, connected; at the end nothing was logged and nothing but this server was asked."""
    chromium.log("browser")
    chromium.log("performance")
    chromium.open(stage.server.url)
    chromium.wait("return document.body.dataset.link === 'up' && document.querySelectorAll('.style').length === 4")
    yield chromium
    assert chromium.log("browser") == []
    address = stage.server.url.removeprefix("http://")
    asked = list(addresses(chromium.log("performance")))
    assert any(url.endswith("/pictures/painted") for url in asked)
    assert [url for url in asked if not re.match(rf"((http|ws)://{re.escape(address)}/|data:)", url)] == []
    chromium.open("about:blank")
