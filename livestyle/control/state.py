"""What front ends show: the controls, the styles and the live report as one JSON-able mapping."""

from collections.abc import Callable

import msgspec

from livestyle.controls import COMMANDS, SHAPES, ControlBoard, Controls, format_mix, format_regions

Report = Callable[[], dict[str, object]]


def read_state(board: ControlBoard, report: Report) -> dict[str, object]:
    """Controls, style names in order, and the newest live report.

    Keys: ``controls`` (the fields of `Controls` plus ``style``; ``mix`` as a list of [name, weight], ``regions`` as a
    list of {mask, mix}), ``styles``, ``masks`` that regions may use, ``looks``, ``presets``, ``report``.
    """
    controls = board.controls
    return {
        "controls": {
            "style": controls.style,
            "mix": [[name, weight] for name, weight in controls.mix],
            "regions": [
                {"mask": region.mask, "mix": [[name, weight] for name, weight in region.mix]}
                for region in controls.regions
            ],
            "strength": controls.strength,
            "morph": controls.morph,
            "keep_colors": controls.keep_colors,
            "look": controls.look,
            "coherence": controls.coherence,
            "paused": controls.paused,
            "bypass": controls.bypass,
            "snapshots": controls.snapshots,
            "stopping": controls.stopping,
        },
        "styles": list(board.styles),
        "masks": [*SHAPES, *board.masks],
        "looks": list(board.looks),
        "presets": board.list_presets(),
        "report": report(),
    }


def encode_json(value: object) -> bytes:
    """JSON on one line. NaN becomes null (a report before its first frame), a Fraction or a Path its text."""
    return msgspec.json.encode(value, enc_hook=str)


def list_commands() -> list[dict[str, object]]:
    """The `COMMANDS` table for a front end in another language: name, summary, keys, argument."""
    return [
        {"name": name, "summary": command.summary, "keys": list(command.keys), "argument": command.argument}
        for name, command in COMMANDS.items()
    ]


def describe_change(before: Controls, after: Controls) -> str:
    """One line for people about what a command changed, such as ``style udnie`` or ``coherence off``; "" if nothing."""
    changes: list[str] = []
    if after.mix != before.mix:
        changes.append(f"style {format_mix(after.mix)}")
    if after.strength != before.strength:
        changes.append(f"strength {after.strength:.0%}")
    if after.regions != before.regions:
        changes.append(f"regions {format_regions(after.regions)}")
    if after.morph != before.morph:
        changes.append(f"morph {after.morph:g} s")
    if after.keep_colors != before.keep_colors:
        changes.append(f"source colours {_switch(after.keep_colors)}")
    if after.look != before.look:
        changes.append(f"look {after.look or 'off'}")
    if after.coherence != before.coherence:
        changes.append(f"coherence {_switch(after.coherence)}")
    if after.paused != before.paused:
        changes.append(f"freeze {_switch(after.paused)}")
    if after.bypass != before.bypass:
        changes.append(f"bypass {_switch(after.bypass)}")
    if after.snapshots != before.snapshots:
        changes.append("snapshot")
    if after.stopping and not before.stopping:
        changes.append("stopping")
    return ", ".join(changes)


def _switch(value: bool) -> str:
    return "on" if value else "off"
