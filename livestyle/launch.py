"""What ``livestyle live`` does: puts source, sinks, painter, session and the front ends together, and takes them down.

It stands above both ``live`` and ``control``, which do not know each other.
"""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

import msgspec
import platformdirs
from rich.console import Console
from rich.live import Live
from rich.text import Text

from livestyle.artifacts import Thumbnails, load_model, write_whole
from livestyle.backends import open_person
from livestyle.config import LiveConfig
from livestyle.control.access import open_network
from livestyle.control.ctl import CtlServer
from livestyle.control.keys import TerminalKeys, keys_help
from livestyle.control.kiosk import Kiosk
from livestyle.control.parts import PageParts
from livestyle.control.qr import draw_qr_lines
from livestyle.control.surfaces import open_surfaces, plan_surfaces
from livestyle.control.web import LOOPBACK, WebServer
from livestyle.controls import UNPAINTED, ControlBoard, Controls, format_mix, parse_mix
from livestyle.errors import ConfigError, LivestyleError
from livestyle.live.clip import record_clip
from livestyle.live.fit import fit_painting
from livestyle.live.look import Grader, LookThumbnails
from livestyle.live.memory import limit_arenas
from livestyle.live.outlet import SinkPlan
from livestyle.live.person import PersonMasks
from livestyle.live.regions import DrawnMask, read_regions
from livestyle.live.scaling import ScaledPainter
from livestyle.live.session import Session
from livestyle.live.stats import Stats
from livestyle.live.stylizer import Stylizer
from livestyle.live.wall import Wall
from livestyle.looks import Looks
from livestyle.media import Source, StreamInfo
from livestyle.presets import Presets
from livestyle.sinks import open_sink, sink_name
from livestyle.sinks.web import PreviewSink
from livestyle.sources import open_auto, open_source

PAINTED = "painted"  # the mask that is drawn on the page
REFRESH = 4  # times a second that the status line changes
STOPPING = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def launch(config: LiveConfig, console: Console | None = None) -> None:
    """Run one live session from open to end; messages and the status line go to ``console`` (stderr unless given).

    Ends with the source, after ``config.frames``, by a command, by Ctrl-C or by SIGTERM. Raises `LivestyleError`.
    """
    console = console or Console(stderr=True, highlight=False)
    limit_arenas()
    _check_report(config.report)
    surfaces = plan_surfaces(config)
    preview, sources = PreviewSink(), PreviewSink()  # painted frames for the page, and unpainted ones
    plans = plan_sinks(config.sinks, preview)
    _check_recordings(plans, config.source)
    if (config.lan or config.kiosk) and all(plan.name != "web" for plan in plans):
        raise ConfigError(f"{'--lan' if config.lan else '--kiosk'} needs the page: add --sink web")
    access, token_file = open_network() if config.lan else (LOOPBACK, None)
    model = load_model(config.profile)
    unpainted = config.style == UNPAINTED
    style = model.default_style if unpainted else config.style or model.default_style
    person = PersonMasks(open_person)
    regions, masks = read_regions(config.regions, model.styles, person.sources())
    person.prepare(regions)
    masks[PAINTED] = drawn = DrawnMask()
    controls = Controls(
        mix=parse_mix(style, model.styles),
        regions=regions,
        strength=config.strength,
        morph=config.morph,
        keep_colors=config.keep_colors,
        look=config.look,
        coherence=config.coherence,
        bypass=unpainted,
    )
    for name in controls.styles:
        model.read_kernel(name)  # a damaged one is told now; later it would only let frames pass unpainted
    looks = Looks()
    if config.look:
        looks.read(config.look)  # the same
    board = ControlBoard(controls, lambda: model.styles, tuple(masks), looks.names, Presets())
    stats = Stats()
    say = functools.partial(_say, console)

    def open_painter(info: StreamInfo) -> Grader:
        output = info.width, info.height
        painter = ScaledPainter(
            lambda: Stylizer(model, backend=config.backend, flow=config.flow, masks=masks),
            fit_painting(output, config.size),
            output,
            fps=float(info.fps) if info.live and not config.fixed_size else None,
            on_rung=stats.set_painting,
        )
        painter.prepare()
        return Grader(painter, looks)

    source = SourceChoice(config)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sources)
        page = None
        if any(plan.name == "web" for plan in plans):
            wall = Wall(model, sources, board)
            stack.callback(wall.close)
            server = WebServer(
                board,
                preview,
                lambda: dict(stats.report()),
                access=access,
                port=config.port,
                thumbnails=LookThumbnails(looks, Thumbnails(model)),
                kiosk=Kiosk(board, idle=config.idle, pin=config.pin) if config.kiosk else None,
                parts=PageParts(
                    source=sources,
                    wall=wall,
                    draw_mask=functools.partial(_draw_mask, drawn, board),
                    record_clip=functools.partial(record_clip, preview),
                ),
            )
            page = stack.enter_context(server)
        session = Session(
            source.open,
            plans,
            open_painter,
            board,
            stats,
            size=config.output_size or config.size,
            fps=config.fps,
            frames=config.frames,
            snapshots=config.snapshots or default_snapshots(),
            watch=sources.write,
            on_message=say,
        )
        stack.callback(session.close)
        port = None if page is None else page.port
        try:
            stack.enter_context(CtlServer(board, lambda: dict(stats.report()), port=port))
        except ConfigError as error:  # a home that cannot be written to is no reason not to run
            say(f"without 'livestyle ctl': {error}")
        keys = stack.enter_context(TerminalKeys(board, say))
        stack.enter_context(_stop_on_signals(board))
        size = f"{session.info.width}x{session.info.height}"
        if config.output_size is not None:
            size += f" painted at {stats.report()['painting']['size']}"
        say(f"source {source.spec}, {size}, style {format_mix(controls.mix)}")
        if page is not None:
            _tell_address(console, page.url, access.token, token_file)
        if keys.active:
            say(keys_help())
        stack.enter_context(open_surfaces(surfaces, board, say))
        if console.is_terminal:
            line = functools.partial(_status_line, source, board, stats)
            stack.enter_context(Live(get_renderable=line, console=console, refresh_per_second=REFRESH, transient=True))
        try:
            session.run()
        finally:
            _write_report(config.report, stats)


class SourceChoice:
    """Opens the configured source, and after a loss the same one again; where it is ``auto``, another camera will do.

    ``spec`` is what was opened, with keys of addresses removed.
    """

    def __init__(self, config: LiveConfig) -> None:
        self._wanted = config.source
        self._found = ""  # what ``auto`` was the last time
        self._size = config.output_size or config.size
        self._fps = None if config.fps is None else float(config.fps)

    @property
    def spec(self) -> str:
        """The source for people."""
        if "://" not in self._wanted:
            return self._found or self._wanted
        from livestyle.sources.stream import public_name

        return public_name(self._wanted)

    def open(self, cancel: threading.Event) -> Source:
        """Open it; ``cancel`` ends a waiting open. Raises `LivestyleError`."""
        if self._wanted != "auto":
            return open_source(self._wanted, size=self._size, fps=self._fps, cancel=cancel)
        self._found, source = open_auto(self._found, size=self._size, fps=self._fps, cancel=cancel)
        return source


def plan_sinks(specs: tuple[str, ...], preview: PreviewSink) -> list[SinkPlan]:
    """Plans for ``--sink`` values. ``auto`` is the virtual camera if there is one, and the page.

    The page's sink is ``preview``. Raises `ConfigError` for a value that names no sink.
    """
    wanted: dict[str, bool] = {}  # spec -> required
    for spec in specs:
        if spec == "auto":
            wanted.setdefault("virtualcam", False)
        wanted["web" if spec == "auto" else spec] = True
    plans: list[SinkPlan] = []
    for spec, required in wanted.items():
        plan = _plan(spec, required, preview)
        twins = sum(other.name.partition(" #")[0] == plan.name for other in plans)  # differ in their hidden keys only
        plans.append(replace(plan, name=f"{plan.name} #{twins + 1}") if twins else plan)
    return plans


def _plan(spec: str, required: bool, preview: PreviewSink) -> SinkPlan:
    kind = sink_name(spec)
    if kind == "web":
        return SinkPlan("web", lambda info: preview, realtime=True)
    name = spec
    if kind == "rtmp":
        from livestyle.sinks.rtmp import public_url

        name = public_url(spec)
    # the first opening fails at once, so that a wrong address is told; after that the push heals itself
    return SinkPlan(name, lambda info: open_sink(spec, info), realtime=kind not in ("file", "null"), required=required)


def default_snapshots() -> Path:
    """The folder for snapshots when none is given: ``livestyle`` in the user's Pictures, else the current one."""
    pictures = Path(platformdirs.user_pictures_dir())
    return pictures / "livestyle" if pictures.is_dir() and os.access(pictures, os.W_OK) else Path.cwd()


def _draw_mask(mask: DrawnMask, board: ControlBoard, levels: bytes, width: int, height: int) -> None:
    mask.draw(levels, width, height)
    board.tell_mask()


def _say(console: Console, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads the log any more, or its disk is full: the stream goes on
        console.print(Text(line), soft_wrap=True)


def _tell_address(console: Console, url: str, token: str, token_file: Path | None) -> None:
    """The page's address, on a network with its token; but that stays out of a log, which others may read."""
    if token_file is None:
        _say(console, f"page: {url}")
        return
    if not console.is_terminal:
        _say(console, f"page: {url}/?token=TOKEN, with the token in {token_file}")
        return
    address = f"{url}/?token={token}"
    _say(console, f"page, for whoever has this address: {address}")
    code = draw_qr_lines(address)
    if console.width > code.index("\n"):
        with contextlib.suppress(OSError):
            console.print(Text(code, style="#ffffff on #000000"), soft_wrap=True)


def _status_line(source: SourceChoice, board: ControlBoard, stats: Stats) -> Text:
    controls, report = board.controls, stats.report()
    notes = [word for word, on in (("frozen", controls.paused), ("bypass", controls.bypass)) if on]
    if report["source"] != "ok":
        notes.append(f"source {report['source']}")
    notes += [f"{name}: {status}" for name, status in report["sinks"].items() if status not in ("ok", "streaming")]
    parts = [
        f"{report['fps']:4.1f} fps",
        f"{report['latency_ms']['p50']:3.0f} ms",
        f"{report['painting']['size']}{'' if report['painting']['level'] == 0 else ' to hold the rate'}",
        *notes,
        format_mix(controls.mix),
        *([f"look {controls.look}"] if controls.look else []),
        f"coherence {'on' if controls.coherence else 'off'}",
        source.spec,
    ]
    return Text("  ·  ".join(parts), no_wrap=True, overflow="ellipsis")


@contextlib.contextmanager
def _stop_on_signals(board: ControlBoard) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the session cleanly; a second signal does what it always did."""
    if threading.current_thread() is not threading.main_thread():  # Python lets only the main thread handle signals
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}  # nohup

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        restore()
        # on a thread: the handler runs inside whatever the main thread was doing, perhaps holding the board's lock
        threading.Thread(target=board.run, args=("quit",), name="signal", daemon=True).start()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _check_report(path: Path | None) -> None:
    """Tell before the run, not after it, that its report cannot be written."""
    if path is not None and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
        raise ConfigError(f"cannot write the report {path}: give a file in a folder that can be written to")


def _check_recordings(plans: Sequence[SinkPlan], source: str) -> None:
    """A recording takes its name when it is finished, and would replace the very file that it was made from."""
    for plan in plans:
        if sink_name(plan.name) == "file" and "://" not in source and _is_same_file(plan.name, source):
            raise ConfigError(f"{plan.name} would overwrite the source: give another output")


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one of them does not exist
        return False


def _write_report(path: Path | None, stats: Stats) -> None:
    if path is None:
        return
    try:
        facts = {**stats.report(), "timeline": stats.timeline()}
        write_whole(path, msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    except OSError as error:
        raise LivestyleError(f"cannot write the report {path}: {error.strerror or error}") from error
