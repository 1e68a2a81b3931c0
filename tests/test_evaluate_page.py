"""``livestyle evaluate page``: a real stream, a real browser, real taps."""

import pytest
from rich.console import Console

from livestyle.artifacts import load_model
from livestyle.errors import ConfigError
from livestyle.evaluate.page import measure_page, print_page

pytestmark = pytest.mark.slow


def test_taps_are_timed_and_frames_counted() -> None:
    report = measure_page(load_model(), "320x180", 2, (0.0, 0.4), stretch=0.4)
    at_once, slowly = report.taps
    assert 0 < at_once.seen_p50 <= at_once.seen_p95 <= at_once.done_p95
    assert slowly.done_p50 > slowly.seen_p50
    assert slowly.done_p50 > 250  # 0.85 of 0.4 s, and frames lie 33 ms apart
    assert report.fps > 0
    console = Console(record=True, width=120)
    print_page(report, console)
    assert f"{at_once.seen_p95:g}" in console.export_text()


def test_too_few_taps_are_refused() -> None:
    with pytest.raises(ConfigError, match="taps"):
        measure_page(load_model(), "320x180", 1, (0.0,))
