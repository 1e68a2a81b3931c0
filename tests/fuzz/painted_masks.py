"""Fuzzes the mask painted on the page: ``python tests/fuzz/painted_masks.py -atheris_runs=1000000`` (see harness.py).

The input is a query, a line feed, and a body for POST /api/mask. A mask that is taken is laid out for painting.
"""

import functools
import json
from fractions import Fraction

import numpy as np
from harness import Target, check_line, watch
from web_messages import Application, IdleServer, make_server

with watch():
    from livestyle.control.drawing import LONGEST
    from livestyle.control.parts import PageParts
    from livestyle.controls import Controls, Region
    from livestyle.live.regions import DrawnMask, Grid, Moment, RegionMap
    from livestyle.media import Frame

MOMENT = Moment(Frame(np.zeros((36, 64, 3), np.uint8), 0, 0, Fraction(1, 30), 0.0), Grid(20, 13, 4, 8))
CONTROLS = Controls((("starry_night", 1.0),), regions=(Region("painted", (("udnie", 1.0),)),))


def check(data: bytes) -> None:
    application, mask = _stage()
    query, _, body = data.partition(b"\n")
    status, answer = application.post("/api/mask", query, body)
    if status != 200:
        assert status in (400, 413), status
        check_line(json.loads(answer)["error"])
        return
    drawn = mask(MOMENT)
    assert drawn.size == len(body)
    assert max(drawn.shape) <= LONGEST
    for layer in RegionMap({"painted": mask}).split(CONTROLS, MOMENT):
        assert layer.cover is None or (layer.cover.min() >= 0 and layer.cover.max() <= 1)


@functools.cache
def _stage() -> tuple[Application, DrawnMask]:
    mask = DrawnMask()
    return Application(make_server(IdleServer, parts=PageParts(draw_mask=mask.draw))), mask


TARGET = Target(
    check,
    seeds=(
        b"width=4&height=3\n" + bytes(range(0, 240, 20)),
        b"width=1&height=1\n\xff",
        b"height=256&width=2\n" + bytes(512),
        b"width=0&height=0\n",
        b"width=%32&height=1&width=3\n\0\0",
    ),
    found=(
        b"width=" + b"9" * 5000 + b"&height=1\n",
        "width=٣&height=1\n".encode() + bytes(3),
        b"width=\xff&height=1\n",
    ),
    words=(b"width=", b"height=", b"&", b"%00", b"%ff", b"-1", b"256", b"257", b"\n"),
)

if __name__ == "__main__":
    TARGET.run()
