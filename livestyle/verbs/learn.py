"""Verbs that make models and styles: train, export, add-style, remove-style."""

import math
from pathlib import Path
from typing import Annotated

import typer

from livestyle.errors import ConfigError
from livestyle.terminal import needing_torch
from livestyle.verbs.options import Resume, Seed, Steps, Vgg


def train(
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run: weights, curves, sample sheets.")],
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos to learn from; every eighth is kept out.")
    ] = None,
    paintings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Paintings; a style has its file's name.")
    ] = None,
    style: Annotated[list[str] | None, typer.Option(help="Train only this painting; may be repeated.")] = None,
    resume: Resume = False,
    start: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Start from the weights of another run, or of a model folder.")
    ] = None,
    vgg: Vgg = None,
    profile: Annotated[
        str | None, typer.Option(help="Shape of the network: live, or studio, StyleBank's published one.")
    ] = None,
    steps: Steps = None,
    batch: Annotated[int | None, typer.Option(help="Crops in a step.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of a crop in pixels, a multiple of 8.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Before the cosine.")] = None,
    style_weight: Annotated[float | None, typer.Option(help="Style loss over content loss.")] = None,
    painting_weight: Annotated[
        list[str] | None,
        typer.Option(metavar="STYLE:WEIGHT", help="Times the style weight, for one painting; may be repeated."),
    ] = None,
    balance: Annotated[
        float | None, typer.Option(help="Gradient of the auto-encoder over that of the painting; more keeps colours.")
    ] = None,
    stability_weight: Annotated[float | None, typer.Option(help="Of the penalty on flicker; 0 leaves it out.")] = None,
    seed: Seed[int | None] = None,
) -> None:
    """Train an auto-encoder and the banks of several paintings together (needs livestyle[train])."""
    settings = {
        "photos": str(photos) if photos else None,
        "styles": str(paintings) if paintings else None,
        "names": tuple(style) if style else None,
        "profile": profile,
        "steps": steps,
        "batch": batch,
        "crop": crop,
        "learning_rate": learning_rate,
        "style_weight": style_weight,
        "painting_weights": _read_weights(painting_weight) if painting_weight else None,
        "balance": balance,
        "stability_weight": stability_weight,
        "seed": seed,
    }
    with needing_torch():
        from livestyle.train.trainer import train as run_training
    run_training(out, settings, resume=resume, start=start, vgg=vgg)


def _read_weights(given: list[str]) -> dict[str, float]:
    """``STYLE:WEIGHT`` as numbers by style. Raises `ConfigError`."""
    weights: dict[str, float] = {}
    for text in given:
        name, _, number = text.rpartition(":")
        try:
            weights[name] = float(number)
        except ValueError:
            weights[name] = math.nan
        if not name or not 0.0 < weights[name] < math.inf:
            raise ConfigError(f"--painting-weight {text}: it must be STYLE:WEIGHT, the weight above 0")
    return weights


def train_motion(
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run.")],
    start: Annotated[
        Path | None, typer.Option(metavar="FROM", help="Run or model folder whose painting it is to steady.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos to set in motion; every eighth is kept out.")
    ] = None,
    style: Annotated[list[str] | None, typer.Option(help="Train with this style only; may be repeated.")] = None,
    resume: Resume = False,
    flow_steps: Annotated[int | None, typer.Option(help="Steps of the flow alone, which come first.")] = None,
    steps: Steps = None,
    seed: Seed[int | None] = None,
) -> None:
    """Train the flow and the mask that steady video, for a network as it is; 'export RUN' puts them into the model."""
    settings = {
        "start": str(start) if start else None,
        "photos": str(photos) if photos else None,
        "names": tuple(style) if style else None,
        "flow_steps": flow_steps,
        "steps": steps,
        "seed": seed,
    }
    with needing_torch():
        from livestyle.train.motion import train_motion as run_training
    run_training(out, settings, resume=resume)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of train, or of train-motion.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model folder to write; the shipped one otherwise.")
    ] = None,
) -> None:
    """Make the model that runs live from a training run: ONNX graphs, checked against torch, and banks."""
    with needing_torch():
        from livestyle.deploy.export import export_run
    folder, manifest = export_run(run, out)
    typer.echo(
        f"wrote {folder}: profile {manifest.profile}, {len(manifest.graphs)} graphs, {len(manifest.banks)} styles"
    )


def add_style(
    name: Annotated[str, typer.Argument(help="What the style will be called.")],
    image: Annotated[Path, typer.Argument(help="The painting.")],
    minutes: Annotated[float, typer.Option(help="How long it may take, from start to end.")] = 8.0,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photos to learn on; your camera and the rendered scene otherwise."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a style that was stopped.")] = False,
    style_weight: Annotated[
        float | None,
        typer.Option(help="Style over content; lower shows more of what is painted. The model's own otherwise."),
    ] = None,
    profile: Annotated[str, typer.Option(help="The network to add it to: live or studio.")] = "live",
    vgg: Vgg = None,
) -> None:
    """Learn a painting of yours as a new style; a running livestyle has it at once (needs livestyle[train])."""
    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.train import own_style
    own_style.add_style(
        load_model(profile),
        name,
        image,
        minutes=minutes,
        photos=photos,
        resume=resume,
        style_weight=style_weight,
        vgg=vgg,
        say=lambda line: typer.echo(line, err=True),
    )


def remove_style(
    name: Annotated[str, typer.Argument(help="A style that you have added.")],
    profile: Annotated[str, typer.Option(help="The network that it was added to.")] = "live",
) -> None:
    """Delete a style of your own."""
    from livestyle.artifacts import load_model

    load_model(profile).own.remove(name)
