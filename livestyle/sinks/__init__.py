"""Where the painted frames go. `SINKS` is the table; a sink's module is imported only when it is chosen."""

import importlib
from pathlib import PurePath
from typing import NamedTuple, cast

from livestyle.errors import ConfigError
from livestyle.media import Sink, StreamInfo

# name -> "module:Class", called with (spec, info); the RTMP push also with retry=, and the session makes the page's own
SINKS: dict[str, str] = {
    "virtualcam": "livestyle.sinks.virtualcam:VirtualCameraSink",
    "web": "livestyle.sinks.web:PreviewSink",
    "rtmp": "livestyle.sinks.rtmp:RtmpSink",
    "file": "livestyle.sinks.file:FileSink",
    "null": "livestyle.sinks.null:NullSink",
}
FILE_SUFFIXES = (".mp4", ".mkv", ".mov", ".flv")
_KNOWN = f"virtualcam[:/dev/videoN], web, rtmp://HOST/APP/KEY, a file ending in {', '.join(FILE_SUFFIXES)}, or null"


def sink_name(spec: str) -> str:
    """The name in `SINKS` of what a ``--sink`` value asks for. Raises `ConfigError` for one that nothing can serve."""
    if spec in ("virtualcam", "web", "null"):
        return spec
    if spec.startswith("virtualcam:"):
        return "virtualcam"
    if spec.startswith(("rtmp://", "rtmps://")):
        return "rtmp"
    if "://" not in spec and PurePath(spec).suffix.lower() in FILE_SUFFIXES:
        return "file"
    raise ConfigError(f"unknown sink {spec!r}: known: {_KNOWN}")


def open_sink(spec: str, info: StreamInfo, *, retry: bool = False) -> Sink:
    """Open the sink that ``spec`` names for frames of ``info``; `_KNOWN` lists the forms of ``spec``.

    ``retry`` matters to RTMP alone: True returns at once and goes on trying a server that cannot be reached, False
    raises `SinkError` for it within about 5 s. Raises `ConfigError` for a ``spec`` that makes no sense and `SinkError`
    for one that cannot be opened. ``web`` is opened by the session, which owns the page.
    """
    name = sink_name(spec)
    if name == "web":
        raise ConfigError("the sink 'web' is opened by the session that serves the page")
    module, _, class_name = SINKS[name].partition(":")
    sink_class = getattr(importlib.import_module(module), class_name)
    arguments = {"retry": retry} if name == "rtmp" else {}
    return cast(Sink, sink_class(spec, info, **arguments))


class SinkRow(NamedTuple):
    """One line of ``livestyle doctor``: can this sink be used here, and why or why not."""

    name: str
    available: bool
    why: str


def describe_sinks() -> list[SinkRow]:
    """A row for every sink of the table. Opens nothing for longer than a look; never raises for a missing package."""
    return [_describe(name) for name in SINKS]


def _describe(name: str) -> SinkRow:
    if name == "web":  # part of the program itself, and its module belongs to the page
        return SinkRow(name, True, "a page at 127.0.0.1")
    try:
        available, why = importlib.import_module(SINKS[name].partition(":")[0]).check()
    except ImportError as error:
        return SinkRow(name, False, f"cannot be imported: {error}")
    return SinkRow(name, available, why)
