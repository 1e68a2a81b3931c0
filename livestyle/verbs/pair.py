"""Verbs on a pair of pictures: analogy, look."""

from pathlib import Path
from typing import Annotated

import typer

from livestyle.terminal import needing_torch
from livestyle.verbs.options import Seed, Vgg


def analogy(
    a: Annotated[Path, typer.Argument(metavar="A", help="A picture.")],
    b: Annotated[
        Path, typer.Argument(metavar="B", help="A picture that shows the same kind of thing in another look.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for A', B, both fields and refined versions.")],
    mode: Annotated[
        str, typer.Option(help="photo-to-style, style-to-style, style-to-photo or photo-to-photo.")
    ] = "photo-to-style",
    levels: Annotated[int, typer.Option(help="Feature levels from the coarsest, 1 to 5.")] = 5,
    size: Annotated[int, typer.Option(help="Longest side in pixels.")] = 448,
    one_way: Annotated[bool, typer.Option("--one-way", help="Only A to B: half the time.")] = False,
    seed: Seed[int] = 0,
    vgg: Vgg = None,
) -> None:
    """Exchange the looks of two pictures of like things (Deep Image Analogy; needs livestyle[train])."""
    with needing_torch():
        from livestyle.analogy.command import run_analogy
    for path in run_analogy(a, b, out, mode=mode, levels=levels, size=size, seed=seed, one_way=one_way, vgg=vgg):
        typer.echo(path)


def look(
    name: Annotated[str, typer.Argument(help="What the look will be called.")],
    a: Annotated[
        str, typer.Argument(metavar="A", help="A photo of your scene; or camera or scene, for a frame of it.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="A photo of like things in the colours that you want.")],
    sheet: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Show A, B, the analogy and A in the look side by side.")
    ] = None,
    seed: Seed[int] = 0,
    vgg: Vgg = None,
) -> None:
    """Make a colour look for live video from two photos of like things (needs livestyle[train])."""
    with needing_torch():
        from livestyle.analogy.look import make_look
    typer.echo(make_look(name, a, b, sheet=sheet, seed=seed, vgg=vgg, say=lambda line: typer.echo(line, err=True)))
