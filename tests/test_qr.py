"""QR codes, read back from what people would point a phone at."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import Browser

from livestyle.control.qr import draw_qr, draw_qr_lines

ADDRESS = "http://192.168.178.23:8765/?token=J1yGeF0pXqLk2c8WmZtR5v"
HALVES = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0), "\xa0": (0, 0)}  # upper and lower module


def read_code(picture: np.ndarray) -> str:
    return cv2.QRCodeDetector().detectAndDecode(picture)[0]


def test_the_terminal_form_reads_back() -> None:
    lines = draw_qr_lines(ADDRESS).splitlines()
    assert len({len(line) for line in lines}) == 1
    rows = [[HALVES[character][half] for character in line] for line in lines for half in (0, 1)]
    picture = np.kron(np.array(rows, np.uint8), np.ones((6, 6), np.uint8))
    assert picture[0].min() == 255  # the light border
    assert read_code(picture) == ADDRESS


@pytest.mark.slow
@pytest.mark.parametrize("text", [ADDRESS, "häuschen 語", "https://example.org/" + "x" * 400])
def test_the_picture_reads_back_from_a_dark_page(chromium: Browser, tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<body style='background:#000'><div style='width:500px;margin:40px'>{draw_qr(text)}</div>")
    chromium.open(page.as_uri())
    chromium.screenshot(tmp_path / "page.png")
    assert read_code(cv2.imread(str(tmp_path / "page.png"))) == text


def test_more_than_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="Data too large"):
        draw_qr("x" * 2400)


def test_text_cannot_leave_the_picture() -> None:
    assert "<script" not in draw_qr("</svg><script>alert(1)</script>")
