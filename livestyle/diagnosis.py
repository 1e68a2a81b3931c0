"""``livestyle doctor``: every part that can be chosen, whether it works here, and why or why not."""

import re
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from livestyle.artifacts import find_engines, load_model
from livestyle.backends import describe_backends
from livestyle.control.doors import listen
from livestyle.control.surfaces import describe_surfaces
from livestyle.control.web import DEFAULT_PORT
from livestyle.errors import ConfigError, ModelError
from livestyle.sinks import describe_sinks
from livestyle.sources import describe_sources
from livestyle.sources.camera import describe_cameras

COSTS = {  # (kind, name) of a part that may be missing -> what goes on without it
    ("source", "camera"): "--source auto shows the rendered scene",
    ("sink", "virtualcam"): "call programs cannot choose livestyle; page, files and RTMP go on",
    ("card", "NVIDIA"): "painting stays on the processor",
    ("backend", "tensorrt"): "painting stays on the processor",
    ("backend", "rtx"): "painting stays on the processor",
    ("control", "hotkeys"): "keys work in livestyle's own terminal and on its page",
    ("control", "osc"): "no OSC surface steers livestyle",
    ("control", "midi"): "no MIDI surface steers livestyle",
}


class Row(NamedTuple):
    """One part: what it is, its name, whether it can be used, and why or why not."""

    kind: str
    name: str
    available: bool
    why: str


def diagnose() -> Iterator[Row]:
    """All rows, in the order in which a stream passes the parts. Raises nothing for what is missing."""
    for name, available, why in describe_sources():
        yield Row("source", name, available, why)
    for name, available, why in describe_cameras():
        yield Row("camera", name, available, why)
    for name, available, why in describe_sinks():
        yield Row("sink", name, available, why)
    yield Row("sound", "streams", True, "AAC and MP3 of a stream or file are passed on; a camera brings none")
    yield _diagnose_card()
    for name, available, why in describe_backends():
        yield Row("backend", name, available, why)
    for name, available, why in describe_surfaces():
        yield Row("control", name, available, why)
    yield _diagnose_port(DEFAULT_PORT)
    yield from _diagnose_engines()


def _diagnose_card() -> Row:
    found = shutil.which("nvidia-smi") is not None  # comes with the driver
    return Row("card", "NVIDIA", found, "its driver is installed" if found else "no NVIDIA driver is installed")


def _diagnose_port(port: int) -> Row:
    try:
        listen("127.0.0.1", port).close()
    except ConfigError as error:
        return Row("page", f"port {port}", False, str(error))
    return Row("page", f"port {port}", True, f"free: http://127.0.0.1:{port} while livestyle runs")


def _diagnose_engines() -> Iterator[Row]:
    try:
        folder = find_engines()
        profiles = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
    except ModelError as error:
        yield Row("engine", "live", False, str(error))
        return
    if not profiles:
        yield Row("engine", "live", False, f"there is no model in {folder}")
    for profile in profiles:
        try:
            model = load_model(profile)
            yield Row("engine", profile, True, str(model.folder))
            for style in model.styles:
                model.read_kernel(style)
                yield Row("style", style, True, model.caption(style))
        except ModelError as error:
            yield Row("engine", profile, False, str(error))


def show_diagnosis(console: Console | None = None) -> None:
    """Print the table of `diagnose` to ``console`` (stdout unless given)."""
    console = console or Console(highlight=False)
    table = Table("", "name", "here", "why", box=None, pad_edge=False)
    kind = ""
    commands = []
    for row in diagnose():
        if not row.available:
            commands += [f"{row.name}: {command}" for command in re.findall("`(sudo [^`]+)`", row.why)]
        mark = "[green]yes[/]" if row.available else "[red]no[/]"
        cost = COSTS.get((row.kind, row.name), "")
        why = f"{row.why}. Without it {cost}" if cost and not row.available else row.why
        table.add_row(row.kind if row.kind != kind else "", row.name, mark, why.replace("[", "\\["))
        kind = row.kind
    console.print(table)
    for command in commands:  # whole, to be copied: the table breaks its lines
        console.print(command, markup=False, soft_wrap=True)
