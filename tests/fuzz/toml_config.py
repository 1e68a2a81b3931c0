"""Fuzzes the settings of a run: ``python tests/fuzz/toml_config.py -atheris_runs=1000000`` (see harness.py).

The input is a TOML file; one that begins with ``#!`` gives flags instead, ``name=value`` a line, as they are typed.
Settings that pass go on through everything that reads their texts before a stream is opened.
"""

import functools
import tempfile
from pathlib import Path

from harness import Target, refusal, watch

with watch():
    from livestyle.config import read_config
    from livestyle.control.surfaces import plan_surfaces
    from livestyle.controls import find_name, parse_mix
    from livestyle.launch import plan_sinks
    from livestyle.live.regions import read_regions
    from livestyle.sinks.web import PreviewSink

STYLES = ("starry_night", "udnie", "scream")


def check(data: bytes) -> None:
    with refusal():
        if data.startswith(b"#!"):
            lines = data[2:].decode("utf-8", "surrogateescape").split("\n")
            pairs = [line.partition("=") for line in lines]
            flags: dict[str, object] = {key: value for key, found, value in pairs if found}
            for key in flags:
                find_name(key, ("size", "output_size", "fps", "style", "source", "look", "report"), "flag")
            config = read_config(None, flags)
        else:
            file = _file()
            file.write_bytes(data)
            config = read_config(file, {})
        plan_sinks(config.sinks, _preview())
        plan_surfaces(config)
        read_regions(config.regions, STYLES, {})
        parse_mix(config.style or STYLES[0], STYLES)


@functools.cache
def _file() -> Path:
    return Path(tempfile.mkdtemp()) / "live.toml"


@functools.cache
def _preview() -> PreviewSink:
    return PreviewSink()


FULL = b"""source = "camera:1"
sinks = ["web", "null", "rtmp://h/a/k", "a.mp4"]
style = "starry_night:0.5,udnie:0.5"
regions = ["left=scream", "0,0,0.5,0.5=udnie:1,scream:2"]
strength = 0.5
morph = 2
keep_colors = true
look = "warm"
coherence = false
size = "320x180"
output_size = "640x360"
fixed_size = true
fps = "30000/1001"
frames = 10
backend = "openvino"
port = 0
report = "report.json"
snapshots = "~/pictures"
kiosk = true
pin = "1234"
idle = 60
osc = "0.0.0.0:9000"
midi = "nano"
hotkeys = { next = "<ctrl>+<alt>+n" }
midi_map = { "cc 7" = "strength", "note 36" = "style udnie" }
"""

TARGET = Target(
    check,
    seeds=(FULL, *FULL.splitlines(keepends=True), b"#!size=640x360\nfps=29.97\nstyle=udnie", b"a = [[1], {b = 2}]"),
    found=(
        b'regions = ["%s=scream"]' % (b"left=" * 60),  # a mask too long for the name of a file
        b"a = " + b"[" * 3000,
        b"port = " + b"9" * 5000,
        b"port = 0x" + b"f" * 5000,
        b'size = "' + b"9" * 5000 + b'x9"',
        b'fps = "1e999999999"',
        b'fps = "1e400"',
        b"fps = 1e308",
        b'report = "~nobody/report.json"',
        b'report = "a\\u0000b"',
        b'regions = ["a\\u0000.png=udnie"]',
        b'style = "udnie:1e308,scream:1e308"',
        b"#!fps=1e999999999",
        b"#!size=" + b"9" * 5000 + b"x9",
        b"#!report=~nobody",
        b"#!style=\xff",
        b'osc = "' + b"9" * 5000 + b'"',
        b'midi_map = { "cc ' + b"9" * 5000 + b'" = "next" }',
    ),
    words=(b"\\u0000", b"nan", b"inf", b"1e308", b"0x", b"[", b"{", b'"', b"1979-05-27", b"~", b"_", *FULL.split()),
    longest=6000,
)

if __name__ == "__main__":
    TARGET.run()
