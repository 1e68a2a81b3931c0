"""Where frames come from: the table of sources, and `open_source` that turns what a user typed into one of them."""

import importlib
import logging
import threading
from fractions import Fraction
from typing import Any

from livestyle.errors import ConfigError, SourceError
from livestyle.media import Source

SOURCES = {
    "camera": "livestyle.sources.camera:CameraSource",
    "scene": "livestyle.sources.scene:SceneSource",
    "stream": "livestyle.sources.stream:StreamSource",
}
SCENE_SIZE = (640, 360)
SCENE_FPS = 30.0

log = logging.getLogger(__name__)


def open_source(
    spec: str,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    cancel: threading.Event | None = None,
) -> Source:
    """Open a source by name.

    ``auto`` is the first camera that works, else the scene; ``camera`` the first camera, ``camera:N`` that of
    /dev/videoN; ``scene`` the rendered scene; an address (rtmp, rtmp-listen, http, rtsp) a network stream; all else the
    path of a video file. ``size`` (width, height) and ``fps`` are wishes that only camera and scene heed. ``cancel``,
    set by another thread, ends a waiting open (a listener waits a minute for its publisher) with a `SourceError`.

    Raises `ConfigError` for a spec that makes no sense, `SourceError` when it cannot be opened.
    """
    kind, _, rest = spec.partition(":")
    if spec == "auto":
        return open_auto(size=size, fps=fps, cancel=cancel)[1]
    if kind == "camera":
        return _open("camera", _camera_index(rest, spec), size, fps, cancel=cancel)
    if spec == "scene":
        return _open_scene(size, fps)
    if not spec:
        raise ConfigError("the source is empty; give auto, camera, camera:N, scene, an address or a file")
    return _open("stream", spec, cancel=cancel)


def open_auto(
    lost: str = "",
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    cancel: threading.Event | None = None,
) -> tuple[str, Source]:
    """The first camera that works, else the scene, each after its spec.

    After ``lost``, the spec of what this gave before, that is asked first; a camera is then followed by cameras alone,
    and the `SourceError` of the first is raised when none works.
    """
    from livestyle.sources.camera import list_cameras

    if lost == "scene":
        return "scene", _open_scene(size, fps)
    cameras = [f"camera:{camera.index}" for camera in list_cameras() if not camera.virtual]
    failures: list[SourceError] = []
    for spec in sorted(cameras, key=lambda spec: spec != lost) or ["camera"]:  # which one, the system may not tell
        try:
            return spec, open_source(spec, size=size, fps=fps, cancel=cancel)
        except SourceError as error:
            log.info("%s", error)
            failures.append(error)
    if lost:
        raise failures[0]
    return "scene", _open_scene(size, fps)


def describe_sources() -> list[tuple[str, bool, str]]:
    """(name, available, why) of each source, for `livestyle doctor`."""
    return [(name, *_availability(name)) for name in SOURCES]


def _open(name: str, *args: Any, **options: Any) -> Source:
    source: Source = _load(name)(*args, **options)
    return source


def _load(name: str) -> Any:
    module, _, attribute = SOURCES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _open_scene(size: tuple[int, int] | None, fps: float | None) -> Source:
    width, height = size or SCENE_SIZE
    return _open("scene", width, height, Fraction(fps or SCENE_FPS).limit_denominator(1001), live=True)


def _camera_index(text: str, spec: str) -> int | None:
    if not text and spec == "camera":
        return None
    if not text.isdecimal() or len(text) > 9:
        raise ConfigError(f"{spec!r} is not a camera: write camera:0 for the first, camera:1 for the second")
    return int(text)


def _availability(name: str) -> tuple[bool, str]:
    try:
        _load(name)
    except ImportError as error:
        return False, f"not installed: {error}"
    if name == "scene":
        return True, "rendered here"
    if name == "stream":
        from livestyle.sources.stream import SCHEMES

        return True, "files, " + ", ".join(f"{scheme}://" for scheme in SCHEMES)
    return _camera_availability()


def _camera_availability() -> tuple[bool, str]:
    from livestyle.sources.camera import first_camera, list_cameras

    try:
        first_camera()
    except SourceError as error:
        return False, str(error)
    return True, ", ".join(f"camera:{camera.index} {camera.name}" for camera in list_cameras()) or "not listed here"
