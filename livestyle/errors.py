"""Every error that livestyle raises on purpose; the message is one line for the user.

LivestyleError
├── ConfigError           a flag, file, key or name given by the user is wrong
├── SourceError           frames cannot be had
│   └── SourceLost        a source that worked stopped working; worth reopening
├── SinkError             frames cannot be delivered
│   └── SinkStalled       a sink takes nothing any more; worth reopening
├── BackendError          a graph cannot be run
│   ├── BackendUnavailable  the runtime or its hardware is not here
│   └── EngineMismatch      an engine was made for something else
└── ModelError            a weights file is missing, corrupt or of another profile

The command line prints the message to stderr and exits with 1 (2 for ``ConfigError``).
"""

import re

# what breaks a line, steers a terminal or cannot be encoded; names of files and foreign programs' words may hold it
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class LivestyleError(Exception):
    """Something went wrong that the message explains to the user in one line.

    Characters that are no text are written as escapes, so that one line it is whatever ``text`` quotes.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(_UNSHOWN.sub(lambda found: ascii(found[0])[1:-1], text))


class ConfigError(LivestyleError):
    """A flag, a file, a key or a name given by the user is wrong."""


class SourceError(LivestyleError):
    """Frames cannot be had from a source."""


class SourceLost(SourceError):
    """A source that worked stopped working; opening it again may help."""


class SinkError(LivestyleError):
    """Frames cannot be delivered to a sink."""


class SinkStalled(SinkError):
    """A sink accepts nothing any more; opening it again may help."""


class BackendError(LivestyleError):
    """A graph cannot be run."""


class BackendUnavailable(BackendError):
    """The runtime of a backend, or the hardware it needs, is not here."""


class EngineMismatch(BackendError):
    """An engine file was made for another model, size, runtime or machine."""


class ModelError(LivestyleError):
    """A weights file is missing, corrupt or belongs to another profile."""
