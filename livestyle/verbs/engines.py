"""Verbs that make engines: compile, calibrate."""

from pathlib import Path
from typing import Annotated

import typer

from livestyle.terminal import needing_torch


def compile_engines(
    backend: Annotated[
        str,
        typer.Option(help="tensorrt (for the card in here) or rtx (for all GeForce RTX cards from the 30 series on)."),
    ],
    size: Annotated[
        list[str] | None, typer.Option(metavar="WxH", help="Size of the frames; may be repeated. 640x360 otherwise.")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="f32, f16 or int8; may be repeated. f16 otherwise, as when running.")
    ] = None,
    profile: Annotated[list[str] | None, typer.Option(help="Models to build; all otherwise.")] = None,
) -> None:
    """Build the engines of a graphics card ahead of their first use, and show what became of every graph."""
    from rich.console import Console

    from livestyle.artifacts import find_profiles, load_model
    from livestyle.backends.engine_files import EngineRecord, choose_precision, engine_folder
    from livestyle.backends.tensorrt_library import LIBRARIES
    from livestyle.config import parse_size
    from livestyle.controls import find_name
    from livestyle.errors import ConfigError

    try:
        from livestyle.deploy.compile import compile_model, draw_table
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'livestyle[{backend}]'") from error
    backend = find_name(backend, LIBRARIES, "backend")
    sizes = [parse_size(text) for text in size or ["640x360"]]
    precisions = [choose_precision(word) for word in precision or ["f16"]]
    known = find_profiles()
    models = [load_model(find_name(name, known, "profile")) for name in profile or known]
    console = Console(stderr=True)
    rows: list[tuple[EngineRecord, bool]] = []
    try:
        for model in models:
            compile_model(model, backend, precisions, sizes, console, lambda *row: rows.append(row))
    finally:
        if rows:
            Console().print(draw_table(rows))
    console.print(f"{len(rows)} engines in {engine_folder()}", soft_wrap=True)


def calibrate(
    source: Annotated[
        str, typer.Option("--from", metavar="CLIP|DIR|scene", help="What to measure on: a video, a folder of pictures.")
    ] = "scene",
    profile: Annotated[str, typer.Option(help="The model.")] = "live",
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model folder; the shipped one of the profile otherwise.")
    ] = None,
    records: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for what was measured; calibration beside the engines.")
    ] = None,
) -> None:
    """Give a model its form in whole numbers, where that does not show, for processors and cards that gain by it."""
    from rich.console import Console

    from livestyle.artifacts import find_engines
    from livestyle.errors import ModelError

    with needing_torch():
        from livestyle.deploy.calibrate import calibrate as run_calibration
        from livestyle.deploy.calibrate import draw_table
        from livestyle.deploy.stills import gather_stills
    folder = model or find_engines() / profile
    kept = records or find_engines().parent / "calibration"
    pictures = gather_stills(source)
    outcome = run_calibration(folder, pictures, Path(source).name, kept, lambda line: typer.echo(line, err=True))
    Console().print(draw_table(outcome))
    missed = [variant for variant, verdict in outcome.verdicts.items() if not verdict.passed]
    if missed:
        raise ModelError(f"not shipped, for it misses the gate: {', '.join(missed)}")
