"""Verbs that make engines: compile."""

from typing import Annotated

import typer


def compile_engines(
    backend: Annotated[str, typer.Option(help="tensorrt (for the graphics card in here) or rtx (for all of them).")],
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
