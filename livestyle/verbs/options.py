"""Options that several verbs take, each with the one help that it has everywhere.

Those with a `T` are None in ``live``, whose settings may come from a file, and a value elsewhere.
"""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

T = TypeVar("T")

# What is painted.

Style = Annotated[str | None, typer.Option(help="A style, a mix such as a:0.5,b:0.5, or none.")]
Strength = Annotated[T, typer.Option(metavar="0..1", help="How much of the painting shows.")]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MASK=STYLE",
        help="Another style in a part: left, right, top, bottom, circle, x,y,w,h in fractions, or a picture that "
        "is white there; may be repeated.",
    ),
]
KeepColors = Annotated[T, typer.Option("--keep-colors", help="Paint in the colours of the source.")]
Look = Annotated[T, typer.Option(metavar="NAME", help="A colour look over all; 'livestyle look' makes them.")]

# What paints.

Backend = Annotated[T, typer.Option(help="What runs the network; 'livestyle doctor' lists them.")]
Flow = Annotated[T, typer.Option(help="Motion by dis (on the processor), learned (a network), or auto: by backend.")]
FileProfile = Annotated[str, typer.Option(help="Which network: live, or studio for GPUs and files.")]
MeasuredProfile = Annotated[str, typer.Option(help="Which network: live or studio.")]

# What is measured.

Clips = Annotated[str, typer.Argument(metavar="CLIP|DIR|scene", help="A video, a folder of videos, or 'scene'.")]
ClipFrames = Annotated[int, typer.Option(metavar="N", help="Frames of each clip.")]
FrameSize = Annotated[str, typer.Option(metavar="WxH", help="Size of the frames.")]
MeasuredStyles = Annotated[list[str] | None, typer.Option(help="Measure only this style; may be repeated.")]
MeasuredPhotos = Annotated[Path, typer.Argument(help="A folder of photos.")]
EveryPhoto = Annotated[
    int | None, typer.Option(metavar="N", help="Each N-th photo; those held out of training otherwise.")
]
Minutes = Annotated[float, typer.Option(metavar="N", help="How long it runs.")]
Johnson = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Weights of Johnson's networks (.npz) to compare with.")
]
JudgingVgg = Annotated[Path | None, typer.Option(metavar="FILE", help="VGG-16 weights; the installed ones otherwise.")]

# What is learned.

Vgg = Annotated[Path | None, typer.Option(metavar="FILE", help="VGG-16 weights; livestyle[train] brings them.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")]
Steps = Annotated[int | None, typer.Option(help="Length of the run.")]
Seed = Annotated[T, typer.Option(help="Of everything random.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
