"""Fuzzes colour looks: ``python tests/fuzz/cube_looks.py -atheris_runs=1000000`` (see harness.py).

The input is a ``.cube`` file in a folder of looks, which is listed and read.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np
from harness import Target, refusal, watch

with watch():
    from livestyle.looks import Looks, format_cube, read_cube


def check(data: bytes) -> None:
    file = _file()
    file.write_bytes(data)
    with refusal():
        table = read_cube(file)
        assert table.dtype == np.float32
        assert table.shape == (len(table),) * 3 + (3,)
        assert 2 <= len(table) <= 65
        assert 0 <= table.min() <= table.max() <= 1
        assert Looks(file.parent).names() == [file.stem]


@functools.cache
def _file() -> Path:
    return Path(tempfile.mkdtemp()) / "warm.cube"


PLAIN = format_cube(np.indices((2, 2, 2), np.float32).transpose(1, 2, 3, 0), "plain").encode()

TARGET = Target(
    check,
    seeds=(
        PLAIN,
        b"# a comment\n\n" + PLAIN,
        b"DOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n" + PLAIN,
        PLAIN.replace(b"\n", b"\r\n"),
        "\ufeff".encode() + PLAIN,
    ),
    found=(
        b"LUT_3D_SIZE 2\n",
        b"LUT_3D_SIZE 2\n" + b"1e999 0 0\n" * 8,
        b"LUT_3D_SIZE 2\n" + b"1_0 0 0\n" * 8,
        b"LUT_3D_SIZE nan\n",
        b"LUT_3D_SIZE inf\n",
        b"LUT_3D_SIZE 1e999\n",
        b"LUT_3D_SIZE 2\n" + b"1 2 3 4\n1\n",
        b"LUT_3D_SIZE 2\n" + "٣ 0 0\n".encode() * 8,
        b"LUT_3D_SIZE 2\n" + b"\0 0 0\n" * 8,
        b"LUT_3D_SIZE 2\n" + b'"0 0" 0 0\n' * 8,
    ),
    words=(
        b"LUT_3D_SIZE",
        b"LUT_1D_SIZE",
        b"DOMAIN_MIN",
        b"TITLE",
        b"nan",
        b"inf",
        b"1e999",
        b"\n",
        b"#",
        b"\0",
        b"0x1",
    ),
)

if __name__ == "__main__":
    TARGET.run()
