"""Fuzzes model folders: ``python tests/fuzz/model_files.py -atheris_runs=1000000`` (see harness.py).

An input that begins with ``{`` is the manifest of a small model, whose facts are then asked for; any other is the bank
file of a style of the user's own, which is listed, read and mixed.
"""

import functools
import hashlib
import json
import struct
import tempfile
from pathlib import Path
from random import Random

import numpy as np
from harness import NUMBERS, Target, refusal, scramble, watch

with watch():
    import safetensors.numpy

    from livestyle.artifacts import Manifest, Model

CHANNELS = 2


def check(data: bytes) -> None:
    folder, own = _folders()
    (folder / "manifest.json").write_bytes(data if data.startswith(b"{") else MANIFEST)
    (own / "mine.safetensors").write_bytes(BANK if data.startswith(b"{") else data)
    with refusal():
        model = Model(folder, own)
        ask(model.manifest)
        for style in model.styles:
            with refusal():
                model.caption(style)
                kernel = model.read_kernel(style)
                assert kernel.weight.shape == (model.manifest.channels, model.manifest.channels, 3, 3)
                assert kernel.weight.dtype == np.float32
                assert np.isfinite(kernel.weight).all()
                assert np.isfinite(kernel.bias).all()
                model.mix_kernels(((style, 0.5), (model.styles[0], 0.5)))
            with refusal():
                minutes = model.training_minutes(style)
                assert minutes is None or minutes >= 0
            with refusal():
                model.read_thumbnail(style)
        with refusal():
            model.motion_path()
            model.autoencoder_path()


def ask(manifest: Manifest) -> None:
    width, height = manifest.pad_size(640, 360)
    assert 640 <= width < 1 << 14
    assert 360 <= height < 1 << 14
    for graph in manifest.graphs:
        assert all(side > 0 for shape in manifest.input_shapes(graph, width, height).values() for side in shape)


@functools.cache
def _folders() -> tuple[Path, Path]:
    folder = Path(tempfile.mkdtemp())
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "own").mkdir()
    return folder, folder / "own"


def change(data: bytes, luck: Random) -> bytes:
    """A value of the JSON, which in a bank is its head, replaced or moved."""
    if data.startswith(b"{"):
        return change_json(data, luck)
    size = min(int.from_bytes(data[:8], "little"), len(data))
    head = change_json(data[8 : 8 + size], luck)
    return struct.pack("<Q", len(head)) + head + data[8 + size :]


def change_json(data: bytes, luck: Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return scramble(data, luck)
    places: list[tuple[dict[str, object], str]] = []
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            places += [(part, key) for key in part]
            pending += part.values()
    if not places:
        return scramble(data, luck)
    part, key = luck.choice(places)
    other, name = luck.choice(places)
    kind = luck.randrange(4)
    if kind == 0:
        del part[key]
    elif kind == 1:
        part[key] = luck.choice(
            (*NUMBERS, -1, 0.5, 1e308, True, None, "", "x", "../x", "/dev/zero", "a\0b", [], {}, [1])
        )
    elif kind == 2:
        part[key] = json.loads(json.dumps(other[name]))
    else:
        part[luck.choice(("x", name, key + "\0"))] = part[key]
    return json.dumps(value).encode()


def make_bank(weight: np.ndarray, bias: np.ndarray, **facts: str) -> bytes:
    head = {"profile": "live", "autoencoder": hash_of(b"auto"), "minutes": "12.5", **facts}
    return safetensors.numpy.save({"weight": weight, "bias": bias}, metadata=head)


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


WEIGHT = np.ones((CHANNELS, CHANNELS, 3, 3), np.float32)
BIAS = np.zeros(CHANNELS, np.float32)
BANK = make_bank(WEIGHT, BIAS)
FILES = {"encode.onnx": b"encode", "auto": b"auto", "motion": b"motion", "a.safetensors": BANK, "a.jpg": b"\xff\xd8"}
GRAPH = {"file": "encode.onnx", "sha256": hash_of(b"encode"), "inputs": ["pixels", "weight"], "output": "features"}
MANIFEST = json.dumps(
    {
        "format": 1,
        "profile": "live",
        "channels": CHANNELS,
        "stride": 4,
        "multiple": 8,
        "margin": 16,
        "graphs": {"encode": GRAPH},
        "autoencoder": "auto",
        "autoencoder_sha256": hash_of(b"auto"),
        "motion": "motion",
        "motion_sha256": hash_of(b"motion"),
        "banks": {"a": {"file": "a.safetensors", "sha256": hash_of(BANK), "caption": "A", "thumbnail": "a.jpg"}},
        "training": {"minutes": 40},
        "toolchain": {"torch": "2.13.0"},
        "variants": {"int8": {"encode": GRAPH}},
    }
).encode()

TARGET = Target(
    check,
    seeds=(
        MANIFEST,
        BANK,
        make_bank(WEIGHT.astype(np.float16), BIAS.astype(np.float64)),
        make_bank(WEIGHT.astype(np.int32), BIAS),
    ),
    found=(
        MANIFEST.replace(b'"multiple": 8', b'"multiple": 0'),
        MANIFEST.replace(b'"stride": 4', b'"stride": 0'),
        MANIFEST.replace(b'"margin": 16', b'"margin": -400'),
        MANIFEST.replace(b'"channels": 2', b'"channels": -1'),
        MANIFEST.replace(b'"motion": "motion"', b'"motion": "a\\u0000"'),
        MANIFEST.replace(b'"file": "encode.onnx"', b'"file": "/dev/zero"'),
        MANIFEST.replace(b'"training": {"minutes": 40}', b'"training": {"minutes": ' + b"[" * 3000),
        make_bank(WEIGHT, BIAS, minutes="soon"),
        make_bank(WEIGHT, BIAS, minutes="nan"),
        make_bank(WEIGHT * np.float32(np.nan), BIAS),
        make_bank(WEIGHT, BIAS + np.float32(np.inf)),
        BANK.replace(b'"F32"', b'"I32"'),
        BANK.replace(b'"F32","shape":[2]', b'"BF16","shape":[4]'),
        BANK.replace(b'"F32","shape":[2]', b'"F8_E4M3","shape":[8]'),
        BANK.replace(b'"F32","shape":[2]', b'"C64","shape":[1]'),
    ),
    words=(b'"BF16"', b'"F8_E4M3"', b'"C64"', b'"BOOL"', b'"U64"', b"[", b"null", b"1e308", b"\\u0000", b"/dev/zero"),
    mutate=change,
)

if __name__ == "__main__":
    TARGET.run()
