"""Fuzzes the commands of all front ends: ``python tests/fuzz/command_lines.py -atheris_runs=1000000`` (see harness.py).

The input is a run of command lines, one after the other on one board. After each the controls keep their promises; in
the end they can be shown and laid out for painting.
"""

import math
from fractions import Fraction

import numpy as np
from harness import Target, check_line, refusal, watch

with watch():
    from livestyle.control.state import describe_change, encode_json, read_state
    from livestyle.controls import COMMANDS, MOST_REGIONS, ControlBoard, Controls
    from livestyle.live.regions import Grid, Moment, RegionMap
    from livestyle.media import Frame

STYLES = ("starry_night", "udnie", "scream", "great_wave")
MOMENT = Moment(Frame(np.zeros((36, 64, 3), np.uint8), 0, 0, Fraction(1, 30), 0.0), Grid(20, 13, 4, 8))
MASK = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)


def check(data: bytes) -> None:
    board = ControlBoard(Controls(((STYLES[0], 1.0),)), STYLES, ("face.png",), lambda: ("warm", "cold"))
    painting = RegionMap({"face.png": lambda moment: MASK})
    for line in data.decode("utf-8", "surrogateescape").split("\n")[:40]:
        before = board.controls
        with refusal():
            after = board.run(line)
            if news := describe_change(before, after):
                check_line(news)
        check_promises(board.controls)
    encode_json(read_state(board, dict))
    for layer in painting.split(board.controls, MOMENT):
        assert layer.cover is None or (layer.cover.min() >= 0 and layer.cover.max() <= 1)


def check_promises(controls: Controls) -> None:
    for mix in (controls.mix, *(region.mix for region in controls.regions)):
        assert all(weight > 0 and name in STYLES for name, weight in mix), mix
        assert math.isclose(sum(weight for _, weight in mix), 1, rel_tol=1e-6), mix
        assert len(dict(mix)) == len(mix)
    assert len(controls.regions) <= MOST_REGIONS
    assert 0 <= controls.strength <= 1
    assert 0 <= controls.morph <= 60
    assert controls.look in ("", "warm", "cold")


EXAMPLES = (
    "style udnie",
    "style 2",
    "style starry_night:0.5,udnie:0.5",
    "region left=udnie",
    "region circle=scream:1,udnie:2",
    "region 0.1,0.2,0.3,0.4=great_wave",
    "region left=off",
    "region off",
    "region face.png=udnie",
    "morph 0.3",
    "strength 0.5",
    "keep-colors on",
    "look warm",
    "look off",
    "coherence toggle",
    "freeze off",
)
LINES = (*EXAMPLES, *(name for name, command in COMMANDS.items() if not command.argument))

TARGET = Target(
    check,
    seeds=(*(line.encode() for line in LINES), "\n".join(LINES).encode()),
    found=(
        b"style " + b"9" * 5000,
        b"style udnie:1e308,scream:1e308",
        b"style udnie:1e-320,scream:1",
        b"style udnie:1e-300,scream:1e300",
        b"style \xff",
        b"region 0,0,0.5,0.13\x0c=udnie",
        "style ²\nstyle ٣".encode(),
        b"\n".join(b"region 0,0,1,.%d=udnie" % number for number in range(10, 50)),
    ),
    words=(*(word.encode() for line in LINES for word in line.split()), b"\n", b"=", b",", b":", b"nan", b"inf"),
    longest=400,
)

if __name__ == "__main__":
    TARGET.run()
