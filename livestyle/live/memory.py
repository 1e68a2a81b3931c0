"""How much memory a session takes: this process and the children that push its streams."""

import os
from pathlib import Path

PROC = Path("/proc")


def read_resident() -> float | None:
    """Resident memory of this process and its children in MB (10⁶ bytes), or None where there is no /proc to ask."""
    try:
        tasks = list((PROC / "self" / "task").iterdir())
        return _resident("self") + sum(_resident(child) for task in tasks for child in _children(task))
    except OSError:
        return None


def _resident(process: str) -> float:
    try:
        pages = int((PROC / process / "statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):  # a child that has just ended
        if process == "self":
            raise
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _children(task: Path) -> list[str]:
    """Processes started by a thread; none where the kernel does not say."""
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []
