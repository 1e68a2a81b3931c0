"""Styles that a user has added to a model: bank files in the user's data folder, ``banks/PROFILE/``.

``NAME.safetensors`` is a bank as in a model folder (see `livestyle.artifacts`), ``NAME.jpg`` its thumbnail, ``NAME.pt``
what ``livestyle add-style --resume`` needs. The header says which profile and which weights the bank was made for.
"""

import logging
import time
from collections.abc import Collection
from pathlib import Path

import platformdirs
import safetensors

from livestyle.controls import find_name
from livestyle.errors import ConfigError, ModelError

SETTLED = 2_000_000_000  # ns; a folder changed more recently may change again within one tick of its clock

log = logging.getLogger(__name__)


class OwnBanks:
    """The styles that a user has added to one model: a folder, listed again whenever it has changed."""

    def __init__(self, profile: str, autoencoder: str, shipped: Collection[str], folder: Path | None = None) -> None:
        """``autoencoder`` is the hash of the weights that a bank must have been made for.

        Names in ``shipped`` are taken. ``folder`` is that of the user's data unless given; it need not exist.
        """
        self.folder = folder or platformdirs.user_data_path("livestyle", appauthor=False) / "banks" / profile
        self._profile = profile
        self._autoencoder = autoencoder
        self._shipped = shipped
        self._stamp = 0
        self._names: tuple[str, ...] = ()
        self._told: set[str] = set()

    def names(self) -> tuple[str, ...]:
        """Names, sorted. Files that do not fit the model are left out, and the log says why."""
        try:
            stamp = self.folder.stat().st_mtime_ns
        except OSError:
            return ()
        if stamp != self._stamp:
            self._names = tuple(path.stem for path in sorted(self.folder.glob("*.safetensors")) if self._fits(path))
            self._stamp = stamp if time.time_ns() - stamp > SETTLED else 0
        return self._names

    def path(self, style: str) -> Path:
        """Where the bank of a style is, or would be; its thumbnail lies beside it."""
        return self.folder / f"{style}.safetensors"

    def remove(self, style: str) -> None:
        """Delete a style. Raises `ConfigError` when it is none of these, `ModelError` when it cannot be deleted."""
        if style in self._shipped:
            raise ConfigError(f"style {style!r} comes with livestyle: only your own can be removed")
        path = self.path(find_name(style, (path.stem for path in self.folder.glob("*.safetensors")), "own style"))
        try:
            for suffix in (".safetensors", ".jpg", ".pt"):  # bank, thumbnail, what --resume needs
                path.with_suffix(suffix).unlink(missing_ok=True)
        except OSError as error:
            raise ModelError(f"{path} cannot be removed: {error.strerror}") from error

    def _fits(self, path: Path) -> bool:
        if path.stem in self._shipped:
            return self._leave_out(f"{path} has the name of a style that comes with livestyle: rename it")
        try:
            facts = read_bank_facts(path, self._profile)
        except ModelError as error:
            return self._leave_out(str(error))
        if facts.get("autoencoder") != self._autoencoder:
            return self._leave_out(f"{path} was made for another version of the network: add it again")
        return True

    def _leave_out(self, why: str) -> bool:
        if why not in self._told:
            log.warning("a style is left out: %s", why)
            self._told.add(why)
        return False


def read_bank_facts(path: Path, profile: str) -> dict[str, str]:
    """The header of a style's file. Raises `ModelError` when it is damaged or belongs to another profile."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            facts = dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path} is not a style bank: {error}") from error
    if facts.get("profile") != profile:
        belongs = facts.get("profile")
        raise ModelError(f"{path} is a bank of profile {belongs!r}, not {profile!r}: train it for this profile")
    return facts
