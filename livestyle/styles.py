"""``livestyle styles``: what the model can paint in, as a table, as JSON, or as a contact sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from livestyle.artifacts import Model
from livestyle.contact_sheet import Named, draw_scenes, make_sheet
from livestyle.elements import make_elements_sheet
from livestyle.errors import ConfigError
from livestyle.live.stylizer import Stylizer
from livestyle.looks import Looks
from livestyle.pictures import check_target, read_picture, write_picture
from livestyle.stylize import show_progress

LOOK = "look"


class StyleRow(TypedDict):
    """One style: its name, the profile of the model it belongs to, the size of its file. A look's profile is `LOOK`."""

    name: str
    profile: str
    bytes: int


def list_styles(model: Model) -> list[StyleRow]:
    """The styles in the order of keys and numbers, then the user's looks."""
    profile, looks = model.manifest.profile, Looks()
    styles = [StyleRow(name=name, profile=profile, bytes=model.bank_bytes(name)) for name in model.styles]
    return styles + [StyleRow(name=name, profile=LOOK, bytes=looks.count_bytes(name)) for name in looks.names()]


def format_table(rows: Sequence[StyleRow]) -> str:
    """The rows for people, under a line of headings."""
    table = [("NAME", "PROFILE", "BYTES"), *((row["name"], row["profile"], f"{row['bytes']:,}") for row in rows)]
    name, profile, size = (max(len(cell) for cell in column) for column in zip(*table, strict=True))
    return "\n".join(f"{a:{name}}  {b:{profile}}  {c:>{size}}" for a, b, c in table)


def write_sheet(model: Model, target: Path, pictures: Sequence[Path]) -> None:
    """Paint ``pictures`` (the rendered scene when there are none) in every style and write the contact sheet.

    Raises `ConfigError` for a picture that cannot be read, `SinkError` when the sheet cannot be written.
    """
    check_target(target)
    if any(path.exists() and target.exists() and path.samefile(target) for path in pictures):
        raise ConfigError(f"{target} would overwrite one of the pictures: give another name")
    named = [Named(path.name, read_picture(path)) for path in pictures] or draw_scenes()
    painter = Stylizer(model)
    try:
        with show_progress("painting", len(named) * len(model.styles)) as advance:
            sheet = make_sheet(model, painter, named, advance)
    finally:
        painter.close()
    write_picture(target, sheet)


def write_elements(model: Model, target: Path) -> None:
    """Draw what every bank has learned, see `livestyle.elements`. Raises `SinkError` when it cannot be written."""
    check_target(target)
    with show_progress("drawing", len(model.styles)) as advance:
        sheet = make_elements_sheet(model, advance)
    write_picture(target, sheet)
