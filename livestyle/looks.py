"""Colour looks: tables from colour to colour in the ``.cube`` format, which OBS and editing programs read too.

A user's looks are the ``.cube`` files in ``looks`` in the user's data folder, whoever made them. A file: comments after
``#``, keywords, then N³ lines of red, green and blue in 0..1, red changing fastest (Adobe's Cube LUT Specification).
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from livestyle.controls import find_name
from livestyle.errors import ConfigError, ModelError

SUFFIX = ".cube"
NODES = (2, 65)  # per axis: fewer is no table, more is in no program that writes them
LARGEST = 16 << 20  # bytes; 65 nodes take 8 MB
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
RESERVED = ("off", "none")

Table = NDArray[np.float32]  # (n, n, n, 3): at [blue, green, red] the RGB in 0..1 that the colour becomes

log = logging.getLogger(__name__)


class Looks:
    """The looks of a folder, as they are at the moment they are asked for. Any thread may ask."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` need not exist; the user's own is taken where none is given."""
        self.folder = folder or platformdirs.user_data_path("livestyle", appauthor=False) / "looks"
        self._tables: dict[Path, tuple[tuple[int, int, int], Table]] = {}
        self._told: set[str] = set()

    def names(self) -> list[str]:
        """Names, sorted. Files that hold no look are left out, and the log says why."""
        names: list[str] = []
        for name, path in self._list().items():
            try:
                self._read(path)
            except ModelError as error:
                if str(error) not in self._told:
                    log.warning("a look is left out: %s", error)
                    self._told.add(str(error))
                continue
            names.append(name)
        return names

    def read(self, name: str) -> Table:
        """The table of a look; the same object as long as its file does not change.

        Raises `ConfigError` for an unknown look, `ModelError` for a damaged file.
        """
        paths = self._list()
        return self._read(paths[find_name(name, paths, "look")])

    def count_bytes(self, name: str) -> int:
        """Size of a look's file. Raises `ConfigError` for an unknown look, `ModelError` when the file is gone."""
        paths = self._list()
        path = paths[find_name(name, paths, "look")]
        try:
            return path.stat().st_size
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error

    def path(self, name: str) -> Path:
        """Where a new look of that name belongs."""
        return self.folder / f"{name}{SUFFIX}"

    def check_new(self, name: str, styles: Iterable[str]) -> None:
        """Raise `ConfigError` unless a new look may have that name beside these ``styles``."""
        if NAME.fullmatch(name) is None or name.lower() in RESERVED:
            raise ConfigError(
                f"{name!r} cannot be a look's name: at most 40 letters, digits, - and _, beginning with a letter"
            )
        # without regard to case, as some file systems see names
        if twin := {style.lower(): style for style in styles}.get(name.lower()):
            raise ConfigError(f"{twin!r} is a style: give the look another name")
        if twin := {look.lower(): look for look in self._list()}.get(name.lower()):
            raise ConfigError(f"you have a look {twin!r}: give another name, or delete {self._list()[twin]}")

    def _list(self) -> dict[str, Path]:
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix.lower() == SUFFIX)
        except OSError:  # there is no such folder before the first look
            return {}
        return {path.stem: path for path in paths if not path.name.startswith(".")}

    def _read(self, path: Path) -> Table:
        try:
            facts = path.stat()
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        stamp = facts.st_ino, facts.st_mtime_ns, facts.st_size
        if path not in self._tables or self._tables[path][0] != stamp:
            self._tables[path] = stamp, read_cube(path)
        return self._tables[path][1]


def read_cube(path: Path) -> Table:
    """The table of a ``.cube`` file; values beyond 0..1 are cut. Raises `ModelError` for anything but a whole one."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ModelError(f"{path} is no colour look: it has {size:,} bytes")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is no colour look: it is not a text file") from error
    lines = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    words = [line.split() for line in lines if line[0].isalpha()]
    nodes = _count_nodes({entry[0]: entry[1:] for entry in words}, path)
    rows = lines[len(words) :]
    if not rows:  # numpy would warn
        raise ModelError(f"{path} is a damaged colour look: it has no lines of three numbers")
    try:
        values = np.loadtxt(rows, np.float32, ndmin=2, comments=None)
    except ValueError as error:
        raise ModelError(f"{path} is a damaged colour look: {error}") from error
    if values.shape != (nodes**3, 3):
        raise ModelError(f"{path} is a damaged colour look: it has {len(rows)} of {nodes**3} lines of three numbers")
    if not np.isfinite(values).all():
        raise ModelError(f"{path} is a damaged colour look: some values are no numbers")
    return values.clip(0.0, 1.0).reshape(nodes, nodes, nodes, 3)


def format_cube(table: Table, title: str) -> str:
    """The text of a ``.cube`` file."""
    rows = "\n".join("{:.5f} {:.5f} {:.5f}".format(*row) for row in table.reshape(-1, 3).tolist())
    return f'TITLE "{title}"\nLUT_3D_SIZE {len(table)}\n{rows}\n'


def _count_nodes(keywords: dict[str, list[str]], path: Path) -> int:
    """Nodes per axis by the keywords at the head of a file. Raises `ModelError`."""
    for keyword, wanted in (("DOMAIN_MIN", 0.0), ("DOMAIN_MAX", 1.0)):
        if any(_read_number(word) != wanted for word in keywords.get(keyword, [])):
            raise ModelError(f"{path} is a look for other colours than 0..1 ({keyword}): export it for video")
    size = _read_number(" ".join(keywords.get("LUT_3D_SIZE", [])))
    if size is None:
        raise ModelError(f"{path} is no colour look: it has no LUT_3D_SIZE")
    if not (NODES[0] <= size <= NODES[1] and size == int(size)):
        raise ModelError(f"{path} is no colour look: LUT_3D_SIZE {size:g} is outside {NODES[0]} to {NODES[1]}")
    return int(size)


def _read_number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
