"""The model folder: what is shipped is whole, and what is damaged is said in one line."""

import json
import re
import shutil
import struct
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from model_copies import edit_manifest

from livestyle.artifacts import Kernel, Model, find_engines, load_model, read_bank, write_bank
from livestyle.errors import ConfigError, ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find_engines() / "live", tmp_path / "live"))


def test_shipped_model_is_whole() -> None:
    model = load_model()
    assert len(model.styles) >= 4
    for style in model.styles:
        kernel = model.read_kernel(style)
        assert kernel.weight.dtype == np.float32
        assert model.bank_bytes(style) <= 160_000
    assert model.autoencoder_path().is_file()


@pytest.mark.parametrize(
    "file", sorted(find_engines().rglob("*.onnx")), ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_a_shipped_graph_says_nothing_of_the_machine_that_made_it(file: Path) -> None:
    graph = onnx.load(file)
    del graph.graph.initializer[:]  # among so many numbers stands anything
    text = str(graph)
    assert not re.search(r"(/\w[\w.-]*){2,}/|[A-Z]:\\+\w|site-packages|\.py\b", text)
    assert "metadata_props" not in text


def test_a_mix_is_the_weighted_sum() -> None:
    model = load_model()
    first, second = model.styles[:2]
    mixed = model.mix_kernels(((first, 0.25), (second, 0.75)))
    expected = 0.25 * model.read_kernel(first).weight + 0.75 * model.read_kernel(second).weight
    assert np.allclose(mixed.weight, expected, atol=1e-6)


def test_an_unknown_style_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'udnie'"):
        load_model().read_kernel("udni")


@pytest.mark.parametrize("name", ["decode.onnx", "banks/udnie.safetensors", "autoencoder.safetensors"])
def test_a_flipped_byte_is_noticed(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)

    def use_everything() -> None:
        model = Model(folder)
        model.read_kernel("udnie")
        model.autoencoder_path()

    with pytest.raises(ModelError, match="damaged"):
        use_everything()


def test_a_missing_graph_is_named(folder: Path) -> None:
    (folder / "bank.onnx").unlink()
    with pytest.raises(ModelError, match=r"bank\.onnx cannot be read"):
        Model(folder)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model in"):
        Model(tmp_path)


def test_a_manifest_that_is_no_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        Model(folder)


@pytest.mark.parametrize(
    "facts",
    [
        {"multiple": 0},
        {"stride": 0},
        {"channels": -1},
        {"margin": 10**9},
        {"motion": "/dev/zero"},
        {"motion": "../motion.safetensors"},
        {"motion": "a\0"},
        {"a\nb": 1},
    ],
)
def test_a_manifest_with_facts_that_cannot_be_is_one_line(folder: Path, facts: dict[str, object]) -> None:
    edit_manifest(folder, **facts)
    with pytest.raises(ModelError, match="is damaged") as caught:
        Model(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_the_style_where_none_is_asked_for(folder: Path) -> None:
    shipped = Model(folder)
    assert shipped.default_style == "starry_night"
    facts = msgspec.json.decode((folder / "manifest.json").read_bytes())
    del facts["default"]  # as the first version wrote it
    (folder / "manifest.json").write_bytes(msgspec.json.encode(facts))
    assert Model(folder).default_style == shipped.styles[0]
    edit_manifest(folder, default="a\nb")
    with pytest.raises(ModelError, match="default style") as caught:
        Model(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_a_manifest_nested_without_end(folder: Path) -> None:
    edit_manifest(folder, training="@")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"@"', '{"a":' * 3000))
    with pytest.raises(ModelError, match="is damaged"):
        Model(folder)


def test_a_manifest_of_a_later_format(folder: Path) -> None:
    edit_manifest(folder, format=999)
    with pytest.raises(ModelError, match="update livestyle"):
        Model(folder)


def test_a_bank_of_another_profile(tmp_path: Path) -> None:
    kernel = Kernel(np.zeros((8, 8, 3, 3), np.float32), np.zeros(8, np.float32))
    write_bank(tmp_path / "x.safetensors", kernel, {"profile": "studio"})
    with pytest.raises(ModelError, match="profile 'studio'"):
        read_bank(tmp_path / "x.safetensors", "live", 8)


def test_a_bank_of_another_width(tmp_path: Path) -> None:
    kernel = Kernel(np.zeros((8, 8, 3, 3), np.float32), np.zeros(8, np.float32))
    write_bank(tmp_path / "x.safetensors", kernel, {"profile": "live"})
    with pytest.raises(ModelError, match="holds kernels"):
        read_bank(tmp_path / "x.safetensors", "live", 48)


@pytest.mark.parametrize("kind", ["BF16", "I16", "BOOL", "F8_E4M3"])
def test_a_bank_of_other_numbers(tmp_path: Path, kind: str) -> None:
    size = 1 if kind in ("BOOL", "F8_E4M3") else 2
    spans = {"weight": ([8, 8, 3, 3], [0, 576 * size]), "bias": ([8], [576 * size, 584 * size])}
    head: dict[str, object] = {
        name: {"dtype": kind, "shape": shape, "data_offsets": span} for name, (shape, span) in spans.items()
    }
    text = json.dumps({"__metadata__": {"profile": "live"}, **head}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(584 * size))
    with pytest.raises(ModelError, match="numbers of another kind than F32 and F16"):
        read_bank(tmp_path / "x.safetensors", "live", 8)


def test_a_bank_that_would_paint_nothing_but_holes(tmp_path: Path) -> None:
    kernel = Kernel(np.zeros((8, 8, 3, 3), np.float32), np.full(8, np.nan, np.float32))
    write_bank(tmp_path / "x.safetensors", kernel, {"profile": "live"})
    with pytest.raises(ModelError, match="no numbers"):
        read_bank(tmp_path / "x.safetensors", "live", 8)


@pytest.mark.parametrize("minutes", ["soon", "nan", "-1", "1e999", ""])
def test_a_bank_that_does_not_say_how_long_it_learned(folder: Path, tmp_path: Path, minutes: str) -> None:
    model = Model(folder, tmp_path / "own")
    facts = {"profile": "live", "autoencoder": model.manifest.autoencoder_sha256, "minutes": minutes}
    write_bank(tmp_path / "own" / "mine.safetensors", model.read_kernel(model.styles[0]), facts)
    assert "mine" in model.styles
    assert model.training_minutes("mine") is None


def test_a_bank_that_is_no_bank(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_text("hello")
    with pytest.raises(ModelError, match="not a style bank"):
        read_bank(tmp_path / "x.safetensors", "live", 48)
