"""What an error quotes never makes it more than a line."""

import pytest

from livestyle.errors import ConfigError, LivestyleError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open a\nb.mp4", r"cannot open a\nb.mp4"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("a\udcffb", r"a\udcffb"),
        ("Größe 日本 \u00a0 \U0001f3a8", "Größe 日本 \u00a0 \U0001f3a8"),
    ],
)
def test_a_message_is_one_line_that_can_be_encoded(text: str, shown: str) -> None:
    error = ConfigError(text)
    assert isinstance(error, LivestyleError)
    assert str(error) == shown
    assert len(str(error).splitlines()) == 1
    assert str(error).encode()
