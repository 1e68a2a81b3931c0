"""Cameras and virtual cameras on a real kernel: one boot of the test machine runs all of `guest_cameras.CASES`."""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import guest_cameras
import numpy as np
import pytest
from machine import LIMIT, run_guest
from pictures import picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(LIMIT + 60.0),
    pytest.mark.skipif(sys.platform != "linux", reason="these are Linux' cameras"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the machine wrote: results, pictures, logs."""
    folder = tmp_path_factory.mktemp("machine")
    console = run_guest(Path(guest_cameras.__file__), folder)
    print(console)
    assert (folder / "results").exists(), console[-3000:]
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, dict[str, Any]]:
    lines = map(json.loads, (folder / "results").read_text().splitlines())
    return {line["case"]: line for line in lines}


@pytest.mark.parametrize("name", guest_cameras.CASES)
def test_case(name: str, results: dict[str, dict[str, Any]], folder: Path) -> None:
    assert name in results, (folder / "console").read_text(errors="replace")[-3000:]
    assert results[name]["passed"], results[name]["note"]


@pytest.mark.parametrize("name", ["video10", "video11"])
def test_the_picture_read_back_is_the_one_that_was_sent(name: str, folder: Path) -> None:
    seen = cv2.imread(str(folder / f"{name}.png"))[:, :, ::-1]
    assert np.median(np.abs(seen.astype(int) - picture(320, 180, 7))) <= 3
