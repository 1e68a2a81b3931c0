"""What is fixed for a run: one frozen `LiveConfig`, read from a TOML file, with the command line's flags on top.

The file's keys are the names of the fields::

    source = "camera:0"
    sinks = ["virtualcam", "web"]
    style = "starry_night:0.7,udnie:0.3"
    size = "640x360"
    fps = 30
"""

import re
import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from livestyle.arguments import check_morph
from livestyle.controls import find_name
from livestyle.errors import ConfigError

SIDES = (16, 8192)  # pixels
RATES = (1, 240)  # frames per second
IDLE = (5, 3600)  # s
RATE = re.compile(r"[+-]?\d{1,9}(\.\d{1,18}|/\d{1,9})?")  # `Fraction` would work for hours on 1e999999999
DIGITS = 9  # of a number; Python refuses to read thousands of them
CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # no system takes a NUL in a path, no message stays one line with the others


class LiveConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What ``livestyle live`` runs with. None leaves the choice to the program.

    ``size`` is (width, height) in pixels to paint at, ``output_size`` what the sinks get where that is more. A live
    stream is painted smaller than ``size`` when it could not hold its rate otherwise, unless ``fixed_size``. ``fps`` is
    the rate of live sinks, and asked of cameras and the scene. ``regions`` are texts ``MASK=STYLE``, masks that are
    pictures by paths from the working folder; style ``none`` paints nothing, for a ``look`` alone. ``morph`` is in
    seconds. ``flow`` says who finds the motion, as in `livestyle.live.stylizer`. ``frames`` ends the run after so many.
    ``port`` 0 takes a free one, ``lan`` opens the page to the network for those who show the token. ``kiosk`` makes it
    a page for guests, whose time ends after ``idle`` seconds without a touch, and whose settings ``pin`` unlocks ("":
    nobody does).

    ``hotkeys`` are changes to the usual ones, from command to combination, None for no hotkeys at all. ``osc`` is a
    port, perhaps behind a host. ``midi`` is a part of a controller's name, ``midi_map`` from its controls to commands.
    """

    source: str = "auto"
    sinks: tuple[str, ...] = ("auto",)
    style: str | None = None
    regions: tuple[str, ...] = ()
    strength: float = 1.0
    morph: float = 0.3
    keep_colors: bool = False
    look: str = ""
    coherence: bool = True
    size: tuple[int, int] | None = None
    output_size: tuple[int, int] | None = None
    fixed_size: bool = False
    fps: Fraction | None = None
    frames: int | None = None
    profile: str = "live"
    backend: str = "auto"
    flow: str = "auto"
    port: int = 8765
    lan: bool = False
    kiosk: bool = False
    pin: str = ""
    idle: float = 60.0
    hotkeys: dict[str, str] | None = None
    osc: int | str | None = None
    midi: str | None = None
    midi_map: dict[str, str] = {}
    report: Path | None = None
    snapshots: Path | None = None

    def __post_init__(self) -> None:
        for text in (self.source, *self.sinks, *self.regions, str(self.report), str(self.snapshots)):
            if CONTROL.search(text):
                raise ConfigError(f"{text!r} holds a control character, which no name or path may have")
        if not self.sinks:
            raise ConfigError("no sink is given: name at least one")
        if not 0.0 <= self.strength <= 1.0:
            raise ConfigError(f"strength {self.strength:g} is outside 0 to 1")
        check_morph(self.morph)
        for size in (self.size, self.output_size):
            if size is not None and not all(SIDES[0] <= side <= SIDES[1] for side in size):
                raise ConfigError(f"size {size[0]}x{size[1]}: each side must be {SIDES[0]} to {SIDES[1]} pixels")
        if self.fps is not None and not RATES[0] <= self.fps <= RATES[1]:
            raise ConfigError(f"{float(self.fps):g} frames per second is outside {RATES[0]} to {RATES[1]}")
        if self.frames is not None and self.frames < 1:
            raise ConfigError(f"frames is {self.frames}: it must be at least 1")
        if self.pin and not (self.pin.isascii() and self.pin.isdecimal() and 4 <= len(self.pin) <= 12):
            raise ConfigError("the PIN has 4 to 12 digits")
        if not IDLE[0] <= self.idle <= IDLE[1]:
            raise ConfigError(f"{self.idle:g} idle seconds are outside {IDLE[0]} to {IDLE[1]}")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} is outside 0 to 65535")


def read_config(file: Path | None, flags: Mapping[str, object]) -> LiveConfig:
    """The configuration of ``file`` (None: the defaults), overridden by those ``flags`` that are not None.

    ``flags`` are by field name and as typed: a size as ``640x360``, a rate as ``30`` or ``30000/1001``. Raises
    `ConfigError` for a file that cannot be read, an unknown key (it names the nearest known one) and a wrong value.
    """
    values = {} if file is None else _read_file(file)
    table = values.get("hotkeys")
    values |= {key: value for key, value in flags.items() if value is not None}
    if isinstance(values.get("hotkeys"), bool):  # the flag: on with the file's changes, or off in spite of them
        values["hotkeys"] = (table if isinstance(table, dict) else {}) if values["hotkeys"] else None
    try:
        for key in values.keys() & {"size", "output_size"}:
            values[key] = parse_size(values[key])
        if "fps" in values:
            values["fps"] = parse_rate(values["fps"])
        return msgspec.convert(values, LiveConfig, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(_say(error)) from error


def parse_size(text: object) -> tuple[int, int]:
    """Read ``640x360`` into (640, 360). Raises `ConfigError`."""
    width, _, height = str(text).lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and max(len(width), len(height)) <= DIGITS):
        raise ConfigError(f"size {text!r} is not of the form 640x360")
    return int(width), int(height)


def parse_rate(text: object) -> Fraction:
    """Read frames per second, ``30``, ``29.97`` or ``30000/1001``. Raises `ConfigError`."""
    words = str(text).strip()
    try:
        rate = Fraction(words) if RATE.fullmatch(words) else None
    except ZeroDivisionError:
        rate = None
    if rate is None:
        raise ConfigError(f"{text!r} is not a number of frames per second")
    return rate.limit_denominator(1001)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not a text file") from error
    except ValueError as error:  # TOMLDecodeError, or a number that Python refuses for its length
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{file} is not valid TOML: it is nested too deep") from error
    for key in values:
        find_name(key, LiveConfig.__struct_fields__, f"key in {file}:")
    for key in ("report", "snapshots"):
        if isinstance(values.get(key), str):  # paths in a file are from that file's folder
            values[key] = file.parent / _expand(values[key])
    return values


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return _expand(value)
    if isinstance(value, kind):
        return value
    raise ValueError(f"{value!r} is not a {kind.__name__.lower()}")


def _expand(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~NAME of nobody here
        raise ConfigError(f"{path!r} names no home folder that is here") from error


def _say(error: msgspec.ValidationError) -> str:
    """msgspec says ``Expected `int`, got `str` - at `$.port```."""
    text, _, where = str(error).partition(" - at `$.")
    return f"{where.rstrip('`')}: {text[:1].lower()}{text[1:]}" if where else text
