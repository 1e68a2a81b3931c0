"""Addresses as QR codes: a picture for the page, characters for the terminal. segno draws them (ISO/IEC 18004)."""

import io

import segno

BORDER = 4  # modules of light around the code, as the standard asks


def draw_qr(text: str) -> str:
    """An SVG picture of ``text``, black on white with its light border, of no fixed size.

    At most 2,331 bytes of UTF-8 fit, with error correction of level M or better. Raises `ValueError` for more.
    """
    picture = io.BytesIO()
    _make(text).save(
        picture, kind="svg", border=BORDER, dark="#000", light="#fff", xmldecl=False, omitsize=True, nl=False
    )
    return picture.getvalue().decode()


def draw_qr_lines(text: str) -> str:
    """The code as lines of half blocks, two modules a character, for a terminal: to be shown white on black.

    Limits and errors are those of `draw_qr`.
    """
    lines = io.StringIO()
    _make(text).terminal(lines, border=BORDER, compact=True)
    return lines.getvalue().rstrip("\n")


def _make(text: str) -> segno.QRCode:
    """`segno.DataOverflowError`, for more than fits, is a `ValueError`."""
    return segno.make(text, error="M", micro=False)
