"""How the program speaks in a terminal: how much it tells, and every failure as one line."""

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator

import typer

from livestyle.errors import ConfigError, LivestyleError

# typer before 0.20 raises click's UsageError, later ones raise that of their own copy of click
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def take_verbosity(arguments: list[str]) -> tuple[int, list[str]]:
    """Take ``-v``, ``-vv`` and ``--verbose`` from wherever they stand before a ``--``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    counts = {"-v": 1, "--verbose": 1, "-vv": 2}
    verbosity = sum(counts.get(argument, 0) for argument in arguments[:end])
    return verbosity, [argument for argument in arguments[:end] if argument not in counts] + arguments[end:]


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever ``sys.stderr`` is at that moment, which the status line replaces to stay below messages."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> object:
        return sys.stderr


def set_up_logging(verbosity: int) -> None:
    if not verbosity and not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries, for their callers; no user can act on them
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("livestyle: %(message)s"))
    logger = logging.getLogger("livestyle")
    logger.handlers = [handler]
    logger.setLevel(level)


def explain(error: Exception, verbosity: int) -> None:
    if verbosity > 1:
        sys.stderr.write("".join(traceback.format_exception(error)))
    if isinstance(error, UsageError):
        text = error.format_message()  # type: ignore[attr-defined]
    elif isinstance(error, LivestyleError):
        text = str(error)
    elif isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    else:
        text = f"unexpected {type(error).__name__}: {error} (-vv shows where)"
    if text:  # empty where the help has been shown already
        sys.stderr.write(f"livestyle: {' '.join(text.split())}\n")


@contextlib.contextmanager
def needing_torch() -> Iterator[None]:
    """Around imports that only the ``train`` extra satisfies."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'livestyle[train]'") from error
