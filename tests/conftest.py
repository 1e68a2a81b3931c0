"""Fixtures that several files share."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser
from color_tables import make_table
from page_stage import Stage, addresses
from web_rig import Rig

from livestyle.looks import Looks, format_cube


@pytest.fixture(scope="session", autouse=True)
def no_data_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The styles, looks and presets of whoever runs the tests would be listed beside the shipped ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the module's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_log() -> Iterator[None]:
    """The program's log is afterwards as it was before."""
    logger = logging.getLogger("livestyle")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = handlers, level, propagate


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


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    """The user's looks, in a new home: one, ``warm``."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    looks = Looks()
    assert tmp_path in looks.folder.parents
    looks.folder.mkdir(parents=True)
    looks.path("warm").write_text(format_cube(make_table(), "warm"))
    return looks
