"""Training state on disk: written whole or not at all, so that the last good one survives a full disk or a kill."""

import os
from pathlib import Path
from typing import Any

import torch

from livestyle.errors import ConfigError, ModelError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` beside ``path`` and rename it over. Raises `ConfigError` when the folder takes no file."""
    partial = path.with_suffix(".part")
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError when the disk is full
        partial.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error}; the previous checkpoint is untouched") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Raises `ConfigError` when it is missing, `ModelError` when it is corrupt."""
    if not path.is_file():
        raise ConfigError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a corrupt file raises anything from zip, pickle and torch
        # torch's own text advises to load it as code: that is for -vv only
        raise ModelError(f"{path} is not a checkpoint: damaged, cut off or of another kind") from error
    if not isinstance(state, dict):
        raise ModelError(f"{path} is not a checkpoint of livestyle")
    return state


def open_run(folder: Path, resume: bool) -> dict[str, Any]:
    """The checkpoint of the run in ``folder`` that is to go on, or nothing where one is to begin.

    Raises `ConfigError` where a run is there and ``resume`` is not asked for, or the other way round; `ModelError` for
    a damaged one.
    """
    exists = (folder / "checkpoint.pt").is_file()
    if resume and not exists:
        raise ConfigError(f"there is no run to resume in {folder}")
    if exists and not resume:
        raise ConfigError(f"{folder} already holds a run: give --resume, or another --out")
    return load_checkpoint(folder / "checkpoint.pt") if resume else {}
