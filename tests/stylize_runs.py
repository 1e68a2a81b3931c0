"""Runs of ``livestyle stylize`` in this process, what they are given and what they leave."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from textures import make_texture

from livestyle.cli import main
from livestyle.pictures import write_picture


def run(*arguments: str) -> int:
    """The exit code of ``livestyle stylize`` with these arguments."""
    with pytest.raises(SystemExit) as exit_:
        main(["stylize", *arguments])
    return int(exit_.value.code or 0)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a run that fails with nothing but one line on stderr, and the line."""
    code = run(*arguments)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return code, err


def picture(name: str, width: int = 96, height: int = 64) -> str:
    """The name of a new picture in the working folder."""
    write_picture(Path(name), make_texture(width, height, seed=0))
    return name


def images(path: Path | str) -> list[tuple[Fraction, np.ndarray]]:
    """(seconds, RGB) of every frame of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in frames]


def sound(path: Path | str) -> list[tuple[float, bytes]]:
    """(seconds, data) of every packet of sound that is heard (an encoder's first one lies before 0)."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        heard = [packet for packet in packets if packet.pts >= 0]
        return [(round(float(packet.pts * packet.time_base), 4), bytes(packet)) for packet in heard]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())
