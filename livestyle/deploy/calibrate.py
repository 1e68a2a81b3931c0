"""``livestyle calibrate``: which layers of a model may compute in whole numbers, at what scale, and whether it shows.

Pictures go through the float graphs in every style, in blends of two and at half strength; that gives the scales.
Layers that hurt by themselves stay float. What is written has passed a gate: painted by this processor, in every
style, against float32. All of it, measured and decided, is kept as JSON, from which the same files come again.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from rich.table import Table

from livestyle.artifacts import VARIANTS, GraphEntry, Kernel, Model, hash_file, write_whole
from livestyle.controls import Mix
from livestyle.deploy.gate import Gate, StyleQuality, Verdict, measure_psnr
from livestyle.deploy.quantize import (
    Arrays,
    Range,
    Sample,
    Session,
    list_inputs,
    list_layers,
    quantize,
    sample_inputs,
)
from livestyle.deploy.serialize import serialize_graph
from livestyle.errors import ModelError
from livestyle.media import Pixels

# Shares of the magnitudes of which one is kept, the rest clipped: for each layer that with which its worst style is
# best. One style may need them all where the others are better off clipped. Of the decoder on photos, mean of four
# styles: all 37.4 dB, 99.99 % 42.2 dB. NNCF 3.4 (lowest to highest value, biases corrected) gave 38.5 dB.
KEPT = (0.9999, 0.99999, 1.0)
QUANTIZED = ("encode", "decode")  # the bank's kernel is an input: it has no scale before somebody chooses a style
PROBED = 4  # pictures on which layers are judged one by one
DROPPED = 3  # layers, the worst first, that are made float again one by one until the gate opens
LEAST_ALONE = 36.0  # dB; a layer that costs more by itself stays float. Ten of 42 dB together still pass the gate

log = logging.getLogger(__name__)
Tell = Callable[[str], None]
Floats = NDArray[np.floating]


class LayerRecord(msgspec.Struct, frozen=True):
    """One layer alone in whole numbers: PSNR of the worst style in dB against float32, and whether it may be so.

    ``range`` is the lowest and highest value that it takes of its input, the ``kept`` share of all.
    """

    psnr: float
    whole: bool
    kept: float
    range: Range


class Calibration(msgspec.Struct, frozen=True):
    """What ``calibration/PROFILE.json`` says.

    ``layers`` by graph and name, ``quality`` by variant and style, ``bare`` by variant: dB of the auto-encoded picture.
    """

    profile: str
    autoencoder_sha256: str
    source: str
    pictures: int
    styles: tuple[str, ...]
    layers: dict[str, dict[str, LayerRecord]]
    quality: dict[str, dict[str, StyleQuality]]
    bare: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """``calibration`` as it is stored, and of each variant what the gate found and the files by graph."""

    calibration: Calibration
    verdicts: Mapping[str, Verdict]
    files: Mapping[str, Mapping[str, bytes]]

    @property
    def passed(self) -> list[str]:
        """The variants that are shipped."""
        return [variant for variant, verdict in self.verdicts.items() if verdict.passed]


class Chain:
    """The float graphs behind each other in ONNX Runtime, one picture at a time and nothing carried along."""

    def __init__(self, graphs: Mapping[str, onnx.ModelProto]) -> None:
        self._sessions = {name: Session(graph) for name, graph in graphs.items()}

    def encode(self, pixels: Pixels) -> Floats:
        return self._run("encode", {"pixels": pixels[None]})

    def apply_bank(self, features: Floats, kernel: Kernel, strength: float = 1.0) -> Floats:
        how = np.array([strength], np.float32)
        return self._run("bank", {"features": features, "weight": kernel.weight, "bias": kernel.bias, "strength": how})

    def decode(self, painted: Floats) -> Pixels:
        return np.asarray(self._run("decode", {"painted": painted})[0], np.uint8)

    def paint(self, pixels: Pixels, kernel: Kernel, strength: float = 1.0) -> Pixels:
        return self.decode(self.apply_bank(self.encode(pixels), kernel, strength))

    def _run(self, graph: str, inputs: Arrays) -> Floats:
        (output,) = self._sessions[graph].run(inputs)
        return output


def calibrate(folder: Path, pictures: Sequence[Pixels], source: str, records: Path, tell: Tell = log.info) -> Outcome:
    """Calibrate the model in ``folder``, write ``records/PROFILE.json`` and the variants that pass, and list them.

    ``pictures`` are at least two, (H, W, 3), sides multiples of 8: every second one gives the scales, the others judge.
    ``source`` says for people where they are from. A variant that misses the gate is not written, and an older one of
    that name is taken off the list. Raises `ModelError` for a damaged model.
    """
    model = Model(folder)
    graphs = {name: onnx.load(model.graph_path(name)) for name in (*QUANTIZED, "bank")}
    learn, probe = pictures[::2], pictures[1::2]
    tell(f"scales from {len(learn)} pictures in {len(model.manifest.banks)} styles")
    samples = sample_layers(model, graphs, learn)
    gate = Gate(model, probe)
    tell("the layers one by one")
    layers = find_layers(model, graphs, samples, probe[:PROBED])
    tell("all of them")
    files: dict[str, dict[str, bytes]] = {}
    verdicts: dict[str, Verdict] = {}
    for variant in VARIANTS:
        for dropped in range(DROPPED + 1):
            files[variant] = write_variant(graphs, drop_worst(layers, dropped), variant)
            verdicts[variant] = gate.judge(files[variant])
            if verdicts[variant].passed:
                break
    calibration = Calibration(
        profile=model.manifest.profile,
        autoencoder_sha256=model.manifest.autoencoder_sha256,
        source=source,
        pictures=len(pictures),
        styles=tuple(model.manifest.banks),
        layers=layers,
        quality={variant: dict(verdict.styles) for variant, verdict in verdicts.items()},
        bare={variant: verdict.bare for variant, verdict in verdicts.items()},
    )
    outcome = Outcome(calibration, verdicts, files)
    write_whole(records / f"{model.manifest.profile}.json", _json(calibration))
    ship(model, {variant: files[variant] for variant in outcome.passed})
    return outcome


def sample_layers(
    model: Model, graphs: Mapping[str, onnx.ModelProto], pictures: Sequence[Pixels]
) -> dict[str, dict[str, Sample]]:
    """What every layer takes, over all styles, blends of neighbours and half strengths."""
    chain = Chain(graphs)
    painted: list[Arrays] = []
    for pixels in pictures:
        features = chain.encode(pixels)
        for mix, strength in list_looks(list(model.manifest.banks)):
            painted.append({"painted": chain.apply_bank(features, model.mix_kernels(mix), strength)})
    runs: dict[str, list[Arrays]] = {"encode": [{"pixels": pixels[None]} for pixels in pictures], "decode": painted}
    return {name: sample_inputs(graphs[name], runs[name]) for name in QUANTIZED}


def list_looks(styles: Sequence[str]) -> list[tuple[Mix, float]]:
    """Each style at full strength, half and half with the next one, and, in turn, at half strength or none."""
    looks: list[tuple[Mix, float]] = [(((style, 1.0),), 1.0) for style in styles]
    if len(styles) > 1:
        looks += [(((style, 0.5), (styles[(index + 1) % len(styles)], 0.5)), 1.0) for index, style in enumerate(styles)]
    return [*looks, (((styles[0], 1.0),), 0.5), (((styles[0], 1.0),), 0.0)]


def find_layers(
    model: Model,
    graphs: Mapping[str, onnx.ModelProto],
    samples: Mapping[str, Mapping[str, Sample]],
    pictures: Sequence[Pixels],
) -> dict[str, dict[str, LayerRecord]]:
    """Every layer alone in whole numbers: how far the pictures of the worst style are from float32.

    The auto-encoded picture counts as one more style: steps made for strokes can be too coarse for it. One layer that
    cost no style more than 44 dB left it with 21.
    """
    kernels = [model.read_kernel(style) for style in model.manifest.banks]
    looks = [(kernel, 1.0) for kernel in kernels] + [(kernels[0], 0.0)]
    exact = Chain(graphs)
    features = [exact.encode(pixels) for pixels in pictures]
    painted = [[exact.apply_bank(of, *look) for of in features] for look in looks]
    expected = [[exact.decode(of) for of in row] for row in painted]

    def judge(name: str, layer: str, kept: float) -> LayerRecord:
        span = samples[name][list_inputs(graphs[name])[layer]].range(kept)
        chain = Chain({**graphs, name: quantize(graphs[name], {layer: span}, variant="int8")})
        if name == "decode":
            got = [[chain.decode(of) for of in row] for row in painted]
        else:
            got = [[chain.paint(pixels, *look) for pixels in pictures] for look in looks]
        psnr = min(
            float(np.mean([measure_psnr(one, other) for one, other in zip(*rows, strict=True)]))
            for rows in zip(got, expected, strict=True)
        )
        return LayerRecord(round(psnr, 2), psnr >= LEAST_ALONE, kept, span)

    return {
        name: {
            layer: max((judge(name, layer, kept) for kept in KEPT), key=lambda record: record.psnr)
            for layer in list_layers(graphs[name])
        }
        for name in QUANTIZED
    }


def drop_worst(layers: Mapping[str, Mapping[str, LayerRecord]], count: int) -> dict[str, dict[str, LayerRecord]]:
    """The layers with the ``count`` worst of those in whole numbers made float."""
    whole = sorted(
        (record.psnr, graph, layer) for graph, of in layers.items() for layer, record in of.items() if record.whole
    )
    changed = {graph: dict(of) for graph, of in layers.items()}
    for _, graph, layer in whole[:count]:
        changed[graph][layer] = msgspec.structs.replace(changed[graph][layer], whole=False)
    return changed


def write_variant(
    graphs: Mapping[str, onnx.ModelProto], layers: Mapping[str, Mapping[str, LayerRecord]], variant: str
) -> dict[str, bytes]:
    """ONNX files of the graphs that have a layer in whole numbers, by graph; the same facts give the same bytes."""
    files: dict[str, bytes] = {}
    for name in QUANTIZED:
        ranges = {layer: record.range for layer, record in layers[name].items() if record.whole}
        if ranges:
            files[name] = serialize_graph(quantize(graphs[name], ranges, variant=variant))
    return files


def ship(model: Model, variants: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write the variants into the model's folder and its manifest; those that are not given are taken away."""
    entries: dict[str, dict[str, GraphEntry]] = {}
    for variant, files in variants.items():
        entries[variant] = {}
        for graph, data in files.items():
            plain = model.manifest.graphs[graph]
            name = f"{variant}/{graph}.onnx"
            write_whole(model.folder / name, data)
            entries[variant][graph] = GraphEntry(name, hash_file(model.folder / name), plain.inputs, plain.output)
    manifest = msgspec.structs.replace(model.manifest, variants={name: e for name, e in entries.items() if e})
    write_whole(model.folder / "manifest.json", _json(manifest))
    for variant in VARIANTS:
        for path in (model.folder / variant).glob("*.onnx"):
            if path.stem not in manifest.variants.get(variant, {}):
                path.unlink()


def _json(facts: msgspec.Struct) -> bytes:
    return bytes(msgspec.json.format(msgspec.json.encode(facts), indent=2)) + b"\n"


def read_calibration(path: Path) -> Calibration:
    """What an earlier run has stored. Raises `ModelError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path} is not the record of a calibration: {error}") from error


def draw_table(outcome: Outcome) -> Table:
    """PSNR and E_warp against float32 of every style in every variant, and what the gate says to each variant."""
    table = Table(title="in whole numbers against f32: PSNR in dB, E_warp as a multiple")
    table.add_column("style")
    for variant in outcome.verdicts:
        table.add_column(variant, justify="right")
    for style in outcome.calibration.styles:
        found = (verdict.styles[style] for verdict in outcome.verdicts.values())
        table.add_row(style, *(f"{quality.psnr:.1f}  ×{quality.flicker:.3f}" for quality in found))
    table.add_section()
    verdicts = outcome.verdicts.values()
    table.add_row("mean", *(f"{verdict.psnr_mean:.1f}  ×{verdict.flicker_mean:.3f}" for verdict in verdicts))
    table.add_row("worst", *(f"{verdict.psnr_worst:.1f}  ×{verdict.flicker_worst:.3f}" for verdict in verdicts))
    table.add_row("strength 0", *(f"{verdict.bare:.1f}" for verdict in verdicts))
    table.add_row("gate", *("passed" if verdict.passed else "missed" for verdict in verdicts))
    return table
