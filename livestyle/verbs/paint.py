"""Verbs that paint pictures and videos and show the styles: stylize, styles."""

from pathlib import Path
from typing import Annotated

import typer

from livestyle.errors import ConfigError
from livestyle.verbs.options import AsJson, Backend, FileProfile, KeepColors, Look, Regions, Strength, Style


def stylize(
    given: Annotated[Path, typer.Argument(metavar="IN", help="A picture or a video.")],
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="A picture, a video, or a folder ending in / for numbered pictures.")
    ],
    style: Style = None,
    strength: Strength[float] = 1.0,
    region: Regions = None,
    keep_colors: KeepColors[bool] = False,
    look: Look[str] = "",
    coherence: Annotated[
        bool, typer.Option("--coherence/--no-coherence", help="Keep a video's painting steady from frame to frame.")
    ] = True,
    profile: FileProfile = "live",
    backend: Backend[str] = "auto",
    precision: Annotated[str, typer.Option(help="auto or f32.")] = "auto",
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Size of the result; the source's otherwise.")] = None,
    output_size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Paint at --size, or 640x360, and enlarge to this by the source's detail."),
    ] = None,
) -> None:
    """Paint a picture or a video; a video keeps its sound."""
    from livestyle.artifacts import load_model
    from livestyle.stylize import make_job
    from livestyle.stylize import stylize as paint

    model = load_model(profile)
    job = make_job(
        model,
        style,
        regions=region or (),
        strength=strength,
        keep_colors=keep_colors,
        look=look,
        coherence=coherence,
        backend=backend,
        precision=precision,
        size=size,
        output_size=output_size,
    )
    paint(model, given, target, job)


def styles(
    pictures: Annotated[
        list[Path] | None, typer.Argument(metavar="[PICTURE]...", help="For the sheet; the rendered scene otherwise.")
    ] = None,
    profile: FileProfile = "live",
    as_json: AsJson = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Paint pictures in every style and lay them out on a sheet.")
    ] = None,
    elements: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Draw the strokes that each style has learned on a sheet.")
    ] = None,
) -> None:
    """List the styles, or show what they do on a contact sheet."""
    import json

    from livestyle.artifacts import load_model
    from livestyle.styles import format_table, list_styles, write_elements, write_sheet

    model = load_model(profile)
    if pictures and sheet is None:
        raise ConfigError("pictures are for the contact sheet: give --sheet OUT.png too")
    if sheet is not None:
        write_sheet(model, sheet, pictures or [])
    if elements is not None:
        write_elements(model, elements)
    if as_json or (sheet is None and elements is None):
        rows = list_styles(model)
        typer.echo(json.dumps(rows, indent=2) if as_json else format_table(rows))
