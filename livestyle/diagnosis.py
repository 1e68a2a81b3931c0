"""``livestyle doctor``: every part that can be chosen, whether it works here, and why or why not."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from livestyle.artifacts import find_engines, load_model
from livestyle.backends import describe_backends
from livestyle.control.surfaces import describe_surfaces
from livestyle.errors import ModelError
from livestyle.sinks import describe_sinks
from livestyle.sources import describe_sources


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
    for name, available, why in describe_sinks():
        yield Row("sink", name, available, why)
    for name, available, why in describe_backends():
        yield Row("backend", name, available, why)
    for name, available, why in describe_surfaces():
        yield Row("control", name, available, why)
    yield from _diagnose_engines()


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
    for row in diagnose():
        mark = "[green]yes[/]" if row.available else "[red]no[/]"
        table.add_row(row.kind if row.kind != kind else "", row.name, mark, row.why.replace("[", "\\["))
        kind = row.kind
    console.print(table)
