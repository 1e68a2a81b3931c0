"""Presets: named sets of controls, one small JSON file each in ``presets`` in the user's configuration folder.

::

    {"mix": {"udnie": 0.7, "scream": 0.3}, "regions": [{"mask": "left", "mix": {"sketch": 1.0}}], "strength": 0.8,
     "morph": 0.3, "keep_colors": false, "look": "", "coherence": true}

What a file leaves out stays as it is when the preset is taken up.
"""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import platformdirs

from livestyle.arguments import LONGEST_MORPH
from livestyle.artifacts import write_whole
from livestyle.controls import MOST_REGIONS, ControlBoard, Controls, Mix, Region, find_mask, find_name
from livestyle.errors import ConfigError

SUFFIX = ".json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
LARGEST = 64 * 1024  # bytes of a file
MOST = 200  # presets; each state that goes to the page lists them

log = logging.getLogger(__name__)

Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Weights = Annotated[
    dict[str, Annotated[float, msgspec.Meta(ge=1e-30, le=1e6)]], msgspec.Meta(min_length=1, max_length=100)
]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mask: str
    mix: Weights
    share: Fraction = 1.0


class _Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file holds; None leaves a control as it is."""

    mix: Weights | None = None
    regions: Annotated[tuple[_Part, ...], msgspec.Meta(max_length=MOST_REGIONS)] | None = None
    strength: Fraction | None = None
    morph: Annotated[float, msgspec.Meta(ge=0.0, le=LONGEST_MORPH)] | None = None
    keep_colors: bool | None = None
    look: str | None = None
    coherence: bool | None = None


class Presets:
    """The presets of a folder, as they are at the moment they are asked for. Any thread may ask."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` need not exist; the user's own is taken where none is given."""
        self.folder = folder or platformdirs.user_config_path("livestyle", appauthor=False) / "presets"
        self._problems: dict[Path, tuple[tuple[int, int, int], str]] = {}  # path -> stamp of the file, what is wrong
        self._told: set[str] = set()

    def names(self) -> list[str]:
        """Names, sorted. Files that hold no preset are left out, and the log says why."""
        return [name for name, path in self._list().items() if not self._tell_problem(path)]

    def recall(self, name: str, controls: Controls, board: ControlBoard) -> Controls:
        """``controls`` with what the preset holds.

        Raises `ConfigError` for an unknown preset, a damaged file, and a style, mask or look that is there no more.
        """
        paths = self._list()
        preset = _read(paths[find_name(name, paths, "preset")])
        try:
            return _apply(preset, controls, board)
        except ConfigError as error:
            raise ConfigError(f"preset {name!r}: {error}") from None

    def save(self, name: str, controls: Controls) -> None:
        """Keep the styles, regions, strength, morph, colours, look and coherence of ``controls``.

        A preset of that name is replaced. Raises `ConfigError` for a name that no preset can have, when there are
        `MOST` others, and when the file cannot be written.
        """
        if NAME.fullmatch(name) is None:
            raise ConfigError(
                f"{name!r} cannot be a preset's name: at most 40 letters, digits, - and _, beginning with no - or _"
            )
        others = self._list()
        if len(others) >= MOST and name not in others:
            raise ConfigError(f"there are {MOST} presets already: delete one with delete-preset")
        preset = _Preset(
            mix=dict(controls.mix),
            regions=tuple(_Part(region.mask, dict(region.mix), region.share) for region in controls.regions),
            strength=controls.strength,
            morph=controls.morph,
            keep_colors=controls.keep_colors,
            look=controls.look,
            coherence=controls.coherence,
        )
        path = self.folder / f"{name}{SUFFIX}"
        try:
            write_whole(path, msgspec.json.format(msgspec.json.encode(preset), indent=1) + b"\n")
        except OSError as error:
            raise ConfigError(f"the preset {path} cannot be written: {error.strerror or error}") from None

    def delete(self, name: str) -> None:
        """Remove a preset's file. Raises `ConfigError` for an unknown preset and one that cannot be removed."""
        paths = self._list()
        path = paths[find_name(name, paths, "preset")]
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"the preset {path} cannot be removed: {error.strerror or error}") from None

    def _list(self) -> dict[str, Path]:
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX and path.is_file())
        except OSError:  # there is no such folder before the first preset
            return {}
        return {path.stem: path for path in paths if NAME.fullmatch(path.stem)}

    def _tell_problem(self, path: Path) -> str:
        """What is wrong with a file, "" if nothing; the log has it once."""
        try:
            facts = path.stat()
        except OSError as error:
            return error.strerror or str(error)
        stamp = facts.st_ino, facts.st_mtime_ns, facts.st_size
        if path not in self._problems or self._problems[path][0] != stamp:
            self._problems[path] = stamp, _find_problem(path)
        problem = self._problems[path][1]
        if problem and problem not in self._told:
            self._told.add(problem)
            log.warning("a preset is left out: %s", problem)
        return problem


def _find_problem(path: Path) -> str:
    try:
        _read(path)
    except ConfigError as error:
        return str(error)
    return ""


def _read(path: Path) -> _Preset:
    """A file's preset. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"the preset {path} cannot be read: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"{path} is no preset: it has more than {LARGEST:,} bytes")
    try:
        return msgspec.json.decode(data, type=_Preset)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = str(error).encode("unicode_escape").decode()  # it quotes the file, line breaks and all
        raise ConfigError(f"{path} is no preset: {reason}") from None


def _apply(preset: _Preset, controls: Controls, board: ControlBoard) -> Controls:
    if preset.mix is not None:
        controls = replace(controls, mix=_read_mix(preset.mix, board))
    if preset.regions is not None:
        regions = [
            Region(find_mask(part.mask, board.masks), _read_mix(part.mix, board), part.share) for part in preset.regions
        ]
        controls = replace(controls, regions=tuple(regions))
    if preset.look is not None:
        controls = replace(controls, look=preset.look and find_name(preset.look, board.looks, "look"))
    return replace(
        controls,
        strength=controls.strength if preset.strength is None else preset.strength,
        morph=controls.morph if preset.morph is None else preset.morph,
        keep_colors=controls.keep_colors if preset.keep_colors is None else preset.keep_colors,
        coherence=controls.coherence if preset.coherence is None else preset.coherence,
    )


def _read_mix(weights: dict[str, float], board: ControlBoard) -> Mix:
    styles = board.styles
    total = sum(weights.values())
    return tuple((find_name(style, styles, "style"), weight / total) for style, weight in weights.items())
