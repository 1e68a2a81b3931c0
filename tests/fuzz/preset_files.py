"""Fuzzes presets: ``python tests/fuzz/preset_files.py -atheris_runs=1000000`` (see harness.py).

The input is a preset's file, which is listed and taken up; or, after ``!``, lines of commands about presets. What is
taken up keeps the promises of controls and can be saved again.
"""

import functools
import tempfile
from pathlib import Path
from random import Random

from command_lines import STYLES, check_promises
from harness import Target, refusal, scramble, watch
from model_files import change_json

with watch():
    from livestyle.controls import ControlBoard, Controls
    from livestyle.presets import Presets


def check(data: bytes) -> None:
    presets = _presets()
    presets.folder.mkdir(exist_ok=True)
    for left in presets.folder.iterdir():
        left.unlink()
    board = ControlBoard(
        Controls(((STYLES[0], 1.0),)), STYLES, ("face.png",), lambda: ("warm", "cold"), presets=presets
    )
    if data.startswith(b"!"):
        lines = data[1:].decode("utf-8", "surrogateescape").split("\n")[:20]
    else:
        (presets.folder / "mine.json").write_bytes(data)
        lines = ["preset mine", "save-preset other", "preset other"]
        assert set(presets.names()) <= {"mine"}
    for line in lines:
        with refusal():
            board.run(line)
        check_promises(board.controls)
    assert all(path.suffix == ".json" for path in presets.folder.iterdir())


@functools.cache
def _presets() -> Presets:
    return Presets(Path(tempfile.mkdtemp()) / "presets")


def change(data: bytes, luck: Random) -> bytes:
    return change_json(data, luck) if data.startswith(b"{") else scramble(data, luck, TARGET.words)


FULL = (
    b'{"mix": {"udnie": 0.7, "scream": 0.3}, "regions": [{"mask": "left", "mix": {"udnie": 1}, "share": 0.5},'
    b' {"mask": "0,0,0.5,1", "mix": {"scream": 1}}], "strength": 0.8, "morph": 0.3, "keep_colors": false,'
    b' "look": "warm", "coherence": true}'
)

TARGET = Target(
    check,
    seeds=(
        FULL,
        b"{}",
        b'{"strength": null}',
        b"!save-preset one\nstyle udnie\npreset one\ndelete-preset one",
        b"!save-preset ../one\npreset ../one\ndelete-preset ..",
    ),
    found=(
        b'{"mix": {"udnie": 1e-320, "scream": 1000000}}',
        b'{"mi\\nx": 1}',
        b'{"mix": ' + b'{"a":' * 2000,
        b'{"regions": [{"mask": "0,0,1,1\\u0000", "mix": {"udnie": 1}}]}',
        b"!save-preset " + b"a" * 300,
        b"!save-preset a\0b\npreset \xff",
    ),
    words=(
        b"null",
        b"1e308",
        b"1e-320",
        b'"share"',
        b"face.png",
        b"save-preset ",
        b"preset ",
        b"..",
        b"/",
        b"\n",
        b"nan",
    ),
    mutate=change,
)

if __name__ == "__main__":
    TARGET.run()
