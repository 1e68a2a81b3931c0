"""Verbs of a running stream: live, ctl, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from livestyle.verbs.options import Backend, Flow, KeepColors, Look, Regions, Strength, Style


def live(
    source: Annotated[
        str | None, typer.Option(help="auto, camera[:N], scene, an address (rtmp, rtmp-listen, http) or a video file.")
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="auto, virtualcam, web, rtmp://HOST/APP/KEY, a video file or null; may be repeated."),
    ] = None,
    style: Style = None,
    region: Regions = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size to paint at; 640x360 at most otherwise.")
    ] = None,
    output_size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Size of the result, enlarged by the source's detail; the painted one otherwise."
        ),
    ] = None,
    fixed_size: Annotated[
        bool | None,
        typer.Option("--fixed-size/--free-size", help="Never paint smaller to hold the rate of a live stream."),
    ] = None,
    fps: Annotated[str | None, typer.Option(metavar="N", help="Frames per second of live sinks.")] = None,
    frames: Annotated[int | None, typer.Option(metavar="N", help="Stop after so many frames.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write figures of the run at its end.")
    ] = None,
    coherence: Annotated[
        bool | None, typer.Option("--coherence/--no-coherence", help="Keep the painting steady from frame to frame.")
    ] = None,
    strength: Strength[float | None] = None,
    morph: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a style takes to become the next; 0 is at once.")
    ] = None,
    keep_colors: KeepColors[bool | None] = None,
    look: Look[str | None] = None,
    profile: Annotated[str | None, typer.Option(help="Which network: live, or studio for GPUs.")] = None,
    backend: Backend[str | None] = None,
    flow: Flow[str | None] = None,
    port: Annotated[int | None, typer.Option(help="Port of the page at 127.0.0.1; 0 takes a free one.")] = None,
    lan: Annotated[
        bool | None,
        typer.Option("--lan/--loopback", help="Open the page to the network, for those who have the token."),
    ] = None,
    kiosk: Annotated[
        bool | None, typer.Option("--kiosk", help="A page for guests, full screen: touch to begin, back by itself.")
    ] = None,
    pin: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="Unlocks the kiosk's settings; better kept in --config.")
    ] = None,
    idle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Without a touch, after which the kiosk goes back.")
    ] = None,
    hotkeys: Annotated[
        bool | None,
        typer.Option("--hotkeys/--no-hotkeys", help="Ctrl+Alt with a key steers from any program; sees every key."),
    ] = None,
    osc: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="Take commands by OSC; from this computer alone.")
    ] = None,
    midi: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Take commands from this MIDI controller (part of its name, or auto)."),
    ] = None,
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
        "output_size": output_size,
        "fixed_size": fixed_size,
        "fps": fps,
        "frames": frames,
        "report": report,
        "coherence": coherence,
        "strength": strength,
        "regions": region or None,
        "morph": morph,
        "keep_colors": keep_colors,
        "look": look,
        "profile": profile,
        "backend": backend,
        "flow": flow,
        "port": port,
        "lan": lan,
        "kiosk": kiosk,
        "pin": pin,
        "idle": idle,
        "hotkeys": hotkeys,
        "osc": osc,
        "midi": midi,
        "snapshots": snapshots,
    }
    launch(read_config(config, flags))


def _print_list(wanted: bool) -> None:
    if wanted:
        from livestyle.control.listing import list_commands_table

        typer.echo(list_commands_table())
        raise typer.Exit


def ctl(
    command: Annotated[list[str], typer.Argument(help="For example: next, style udnie, strength 0.5, state.")],
    list_: Annotated[
        bool,
        typer.Option("--list", callback=_print_list, is_eager=True, help="Show all commands, their keys and hotkeys."),
    ] = False,
    address: Annotated[
        bool, typer.Option("--address", help="Send nothing; print the address of this command for a Stream Deck.")
    ] = False,
    pid: Annotated[
        int | None, typer.Option(help="Process number of the livestyle to steer; the newest otherwise.")
    ] = None,
) -> None:
    """Send one command to a running livestyle; prints its state as JSON."""
    import json

    if address:
        from livestyle.control.ctl import find_page
        from livestyle.control.deck import format_address
        from livestyle.control.web import DEFAULT_PORT

        typer.echo(format_address(" ".join(command), find_page(pid) or DEFAULT_PORT))
        return
    from livestyle.control.ctl import send_command

    typer.echo(json.dumps(send_command(" ".join(command), pid=pid), indent=2))


def doctor() -> None:
    """Show which sources, sinks, backends, engines and styles can be used here, and why or why not."""
    from livestyle.diagnosis import show_diagnosis

    show_diagnosis()
