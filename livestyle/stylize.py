"""``livestyle stylize``: one picture or one video, painted to a file or to a folder of numbered pictures.

Decoding runs on the source's thread, encoding on a thread of ours; painting, on the caller's, is what takes the time.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from livestyle import pictures
from livestyle.artifacts import Model
from livestyle.backends import open_person
from livestyle.controls import UNPAINTED, Controls, parse_mix
from livestyle.errors import ConfigError, LivestyleError, SinkError, SourceError
from livestyle.live.fit import Size, fit_painting, fit_pixels
from livestyle.live.handoff import Closed, Group, Lane
from livestyle.live.look import Grader
from livestyle.live.person import PersonMasks
from livestyle.live.regions import MaskSource, read_regions
from livestyle.live.scaling import ScaledPainter
from livestyle.live.styling import Painter
from livestyle.live.stylizer import Stylizer
from livestyle.looks import Looks
from livestyle.media import AudioPacket, Frame, Pixels, Sink, Source
from livestyle.sinks import FILE_SUFFIXES, open_sink
from livestyle.sources import open_source

AHEAD = 4  # painted frames that may wait for the encoder
LARGEST = 40_000_000  # pixels painted at once; measured: 130 bytes of memory for each, 1.6 GB at 4000x3000
PICTURE_NAMES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """How to paint: with these ``controls``, at ``size`` (width, height) or the source's.

    With an ``output_size`` the result has that one: painted at ``size`` at most, or 640×360, and enlarged. ``masks``
    are those that the regions of the controls name beside shapes. At another shape than the source's, the size is kept
    and bars are added. ``backend`` and ``precision`` as in `livestyle.backends.open_backend`. Coherence steadies video;
    a picture has nothing to be steady with.
    """

    controls: Controls
    masks: Mapping[str, MaskSource]
    backend: str = "auto"
    precision: str = "auto"
    size: Size | None = None
    output_size: Size | None = None


def make_job(
    model: Model,
    style: str | None,
    *,
    regions: Sequence[str] = (),
    strength: float = 1.0,
    keep_colors: bool = False,
    look: str = "",
    coherence: bool = True,
    backend: str = "auto",
    precision: str = "auto",
    size: str | None = None,
    output_size: str | None = None,
) -> Job:
    """A `Job` from what a user typed; without ``style`` the model's default one. ``regions`` are texts ``MASK=STYLE``.

    Style ``none`` paints nothing. Raises `ConfigError`, and `ModelError` for a damaged look or network.
    """
    if not 0.0 <= strength <= 1.0:
        raise ConfigError(f"strength {strength:g} is outside 0 to 1")
    unpainted = style == UNPAINTED
    mix = ((model.default_style, 1.0),) if unpainted or not style else parse_mix(style, model.styles)
    if look:
        Looks().read(look)
    person = PersonMasks(open_person)
    parsed, masks = read_regions(regions, model.styles, person.sources())
    person.prepare(parsed)
    controls = Controls(
        mix, parsed, strength, keep_colors=keep_colors, look=look, coherence=coherence, bypass=unpainted
    )
    sizes = (None if each is None else parse_size(each) for each in (size, output_size))
    return Job(controls, masks, backend, precision, *sizes)


def parse_size(text: str) -> Size:
    """(width, height) of ``640x360``. Raises `ConfigError`."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or not (int(match[1]) and int(match[2])):
        raise ConfigError(f"size {text!r} is not WIDTHxHEIGHT in pixels, such as 640x360")
    return int(match[1]), int(match[2])


def stylize(model: Model, given: Path, target: str, job: Job) -> int:
    """Paint ``given`` into ``target`` and return the number of frames painted.

    ``given`` is a picture or a video, by its content. ``target`` is a picture (`pictures.WRITTEN`) for a picture, a
    video (`FILE_SUFFIXES`) for a video, or for both a folder ending in ``/``, filled with ``000000.png`` and so on.
    Sound and the frames' times are carried over to a video. A progress bar shows on stderr when that is a terminal.

    Raises `ConfigError`, `SourceError`, `SinkError`, `ModelError` or `BackendError`, and `LivestyleError` after Ctrl-C.
    What was painted of a video until then is playable, and the message says where it is.
    """
    pictures.check_input(given)
    picture = pictures.is_picture(given)
    _check_target(given, target, picture)
    painter = Stylizer(model, backend=job.backend, precision=job.precision, masks=job.masks)
    try:
        if picture:
            return _paint_picture(painter, given, target, job)
        return _paint_video(painter, given, target, job)
    except KeyboardInterrupt:
        raise LivestyleError("stopped before anything was written") from None
    finally:
        painter.close()


@contextmanager
def show_progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar with the time left; gives what to call after each step. Shows nothing where stderr is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=hidden, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def paint_picture(painter: Painter, pixels: Pixels, controls: Controls) -> Pixels:
    """Paint one picture that has no past; it comes back at its size."""
    frame = Frame(pixels, 0, 0, Fraction(1), time.monotonic())
    return painter.paint(frame, replace(controls, coherence=False)).pixels


class NumberedPictures:
    """A folder as a sink: every frame becomes ``000000.png``, ``000001.png`` and so on; sound is left out."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if only it is missing. Raises `SinkError`."""
        if not folder.exists():
            pictures.check_folder(folder.parent, folder)
            try:
                folder.mkdir()
            except OSError as error:
                raise SinkError(f"cannot make the folder {folder}: {error.strerror}") from error
        pictures.check_folder(folder, folder / picture_name(0))
        self._folder = folder
        self._count = 0

    def write(self, frame: Frame) -> None:
        """Write one picture. Raises `SinkError`."""
        pictures.write_picture(self._folder / picture_name(self._count), frame.pixels)
        self._count += 1

    def write_audio(self, packet: AudioPacket) -> None:
        """Pictures are silent."""

    def interrupt(self) -> None:
        """Nothing to do: `write` waits for the disk only."""

    def close(self) -> None:
        """Every picture is whole already; warn of more numbers than ours, which an earlier run left behind."""
        if (self._folder / picture_name(self._count)).exists():
            log.warning(
                "%s still holds pictures of an earlier run, from %s on", self._folder, picture_name(self._count)
            )


def picture_name(number: int) -> str:
    """File name of a numbered picture."""
    return f"{number:06d}.png"


def _check_target(given: Path, target: str, picture: bool) -> None:
    """Refuse, before anything is opened, a target that is of the wrong kind or is the source itself."""
    path = Path(target)
    if target.endswith("/"):
        written = path / picture_name(0)
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{target} is a file, not a folder")
    else:
        written = path
        suffix, known = path.suffix.lower(), tuple(pictures.WRITTEN) if picture else FILE_SUFFIXES
        if path.is_dir():
            raise ConfigError(f"{path} is a folder: write {path}/ for numbered pictures in it")
        if suffix not in (*pictures.WRITTEN, *FILE_SUFFIXES):
            every = ", ".join((*pictures.WRITTEN, *FILE_SUFFIXES))
            raise ConfigError(
                f"cannot tell the format of {path} from its ending: known are {every}, or a folder ending in /"
            )
        if suffix not in known:
            if not picture:
                _open_video(given).close()  # or says that it is none
            kind = "picture" if picture else "video"
            raise ConfigError(
                f"{given} is a {kind}: give an output ending in {', '.join(known)}, or a folder ending in /"
            )
        pictures.check_folder(path.parent, path)
    if written.exists() and os.path.samefile(given, written):
        raise ConfigError(f"{target} would overwrite the input: give another output")


def _result_size(source: Size, job: Job, given: Path) -> Size:
    width, height = job.output_size or job.size or source
    if width * height <= LARGEST:
        return width, height
    shrink = (LARGEST / (width * height)) ** 0.5
    fits = f"{int(width * shrink)}x{int(height * shrink)}"
    raise ConfigError(f"{given} at {width}x{height} needs too much memory: give --size {fits} or smaller")


def _scale(painter: Stylizer, result: Size, job: Job) -> ScaledPainter:
    painted = result if job.output_size is None else fit_painting(result, job.size)
    return ScaledPainter(lambda: painter, painted, result)


def _paint_picture(painter: Stylizer, given: Path, target: str, job: Job) -> int:
    pixels = pictures.read_picture(given)
    size = _result_size((pixels.shape[1], pixels.shape[0]), job, given)
    pixels = fit_pixels(pixels, size)
    path = Path(target)
    if target.endswith("/"):
        NumberedPictures(path)
        path /= picture_name(0)
    grader = Grader(_scale(painter, size, job), Looks())
    pictures.write_picture(path, paint_picture(grader, pixels, job.controls))
    return 1


def _paint_video(painter: Stylizer, given: Path, target: str, job: Job) -> int:
    source = _open_video(given)
    try:
        facts = source.info
        size = _result_size((facts.width, facts.height), job, given)
        scaled = _scale(painter, size, job)
        if not job.controls.bypass:
            scaled.prepare()
        info = replace(facts, width=size[0], height=size[1])
        sink: Sink = NumberedPictures(Path(target)) if target.endswith("/") else open_sink(target, info)
        try:
            with show_progress("painting", facts.frames) as advance:
                return _run(source.read, Grader(scaled, Looks()), sink, size, job, target, advance)
        finally:
            sink.close()
    finally:
        source.close()


def _open_video(given: Path) -> Source:
    try:
        return open_source(os.path.join(".", given))  # a file may be called "camera"
    except SourceError as error:
        if given.suffix.lower() in PICTURE_NAMES:
            raise SourceError(f"{given} is neither a picture nor a video that can be read") from error
        raise


def _run(
    read: Callable[[], Frame | AudioPacket | None],
    painter: Painter,
    sink: Sink,
    size: Size,
    job: Job,
    target: str,
    advance: Callable[[], None],
) -> int:
    """Paint until the end, an error or Ctrl-C; in each case everything painted has been given to the sink."""
    lane: Lane[Frame | AudioPacket] = Lane(AHEAD)
    group = Group()
    group.on_stop(lane.close)
    group.on_stuck(sink.interrupt)
    group.start("write", lambda: _write(lane, sink))
    painted = 0
    failure: LivestyleError | None = None
    try:
        while (item := read()) is not None:
            if isinstance(item, Frame):
                lane.put(painter.paint(replace(item, pixels=fit_pixels(item.pixels, size)), job.controls))
                painted += 1
                advance()
            else:
                lane.put(item)
    except Closed:
        pass  # the writer failed: `join` raises why
    except KeyboardInterrupt:
        failure = LivestyleError(f"stopped after {_frames(painted)}")
    except LivestyleError as error:
        failure = type(error)(f"after {_frames(painted)}: {error}")
    lane.close()
    try:
        group.wait()  # the last frames may take long to encode, so no deadline
    finally:
        group.join()
    if failure is not None:
        raise type(failure)(f"{failure}; {f'what was painted is in {target}' if painted else 'nothing was written'}")
    if not painted:
        raise SourceError("the video holds no picture that can be decoded")
    return painted


def _write(lane: Lane[Frame | AudioPacket], sink: Sink) -> None:
    while True:
        try:
            item = lane.get()
        except Closed:
            return
        if isinstance(item, AudioPacket):
            sink.write_audio(item)
        elif item is not None:
            sink.write(item)


def _frames(count: int) -> str:
    return f"{count} frame" if count == 1 else f"{count} frames"
