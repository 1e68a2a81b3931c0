"""Whole numbers: where their scales come from, what is shipped of them, and that what misses the gate is not."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from clips import make_clip
from onnx import numpy_helper
from textures import make_frame, make_texture

from livestyle.artifacts import VARIANTS, Model, find_engines
from livestyle.backends import open_backend
from livestyle.backends.openvino_cpu import choose_variant
from livestyle.cli import main
from livestyle.controls import Controls
from livestyle.deploy import calibrate as calibrating
from livestyle.deploy.calibrate import (
    Outcome,
    calibrate,
    find_layers,
    list_looks,
    read_calibration,
    sample_layers,
    write_variant,
)
from livestyle.deploy.gate import Gate, StyleQuality, Verdict, measure_psnr
from livestyle.deploy.stills import SIZE, gather_stills
from livestyle.errors import ConfigError, ModelError, SourceError
from livestyle.live.stylizer import Stylizer
from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource


def copy_model(where: Path) -> Path:
    """The shipped model with two of its styles and no form in whole numbers."""
    folder = Path(shutil.copytree(find_engines() / "live", where / "live"))
    path = folder / "manifest.json"
    facts = msgspec.json.decode(path.read_bytes())
    facts["banks"] = dict(list(facts["banks"].items())[:2])
    path.write_bytes(msgspec.json.encode({**facts, "default": "", "variants": {}}))
    for variant in VARIANTS:
        shutil.rmtree(folder / variant, ignore_errors=True)
    return folder


def draw_pictures() -> list[Pixels]:
    with SceneSource(160, 96, live=False) as scene:
        return [scene.scene_frame(index) for index in (0, 100, 200, 300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_model(tmp_path_factory.mktemp("calibrated"))


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return calibrate(folder, draw_pictures(), "four frames", folder.parent / "records")


def constants(model: Model, variant: str, graph: str) -> dict[str, np.ndarray]:
    file = onnx.load(model.graph_path(graph, variant))
    return {constant.name: numpy_helper.to_array(constant) for constant in file.graph.initializer}


def run(*arguments: str) -> int:
    """The exit code of the command line, in this process."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


def test_what_passes_the_gate_is_shipped_and_taken(outcome: Outcome, folder: Path) -> None:
    assert outcome.passed == list(VARIANTS)
    model = Model(folder)
    shipped = {(name, graph) for name, entries in model.manifest.variants.items() for graph in entries}
    assert shipped == {(name, graph) for name in VARIANTS for graph in ("encode", "decode")}
    assert open_backend("openvino", model, 168, 104).precision == "int8"
    assert open_backend("openvino", model, 168, 104, "f32").precision == "f32"


def test_whole_numbers_paint_the_same_picture(outcome: Outcome, folder: Path) -> None:
    model = Model(folder)
    frame = make_frame(make_texture(160, 120, seed=5))
    for style in model.manifest.banks:
        controls = Controls(((style, 1.0),))
        exact, quick = (Stylizer(model, precision=word).paint(frame, controls).pixels for word in ("f32", "int8"))
        assert 28.0 < measure_psnr(exact, quick) < 60.0  # above: nothing was in whole numbers


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_shipped_whole_numbers_paint_as_floats_do_at_any_strength(strength: float) -> None:
    model = Model(find_engines() / "live")
    with SceneSource(256, 256, live=False) as scene:
        frame = make_frame(scene.scene_frame(40))
    controls = Controls((("udnie", 1.0),), strength=strength, coherence=False)
    exact, quick = (Stylizer(model, precision=word).paint(frame, controls).pixels for word in ("f32", "int8"))
    assert measure_psnr(exact, quick) > 34.0  # 24 at strength 0, when only painted pictures chose the layers


def test_the_record_says_what_was_done(outcome: Outcome, folder: Path) -> None:
    record = read_calibration(folder.parent / "records" / "live.json")
    assert record == outcome.calibration
    assert record.styles == tuple(Model(folder).manifest.banks)
    assert set(record.quality) == set(record.bare) == set(VARIANTS)
    assert all(set(styles) == set(record.styles) for styles in record.quality.values())
    assert sum(layer.whole for layer in record.layers["decode"].values()) >= 6
    spans = [layer.range for of in record.layers.values() for layer in of.values()]
    assert all(low in (0.0, -high) and high > 0.0 for low, high in spans)


def test_the_same_pictures_give_the_same_bytes(outcome: Outcome, folder: Path, tmp_path: Path) -> None:
    again = calibrate(copy_model(tmp_path), draw_pictures(), "four frames", tmp_path / "records")
    assert again.files == outcome.files
    assert Model(folder).manifest == Model(tmp_path / "live").manifest
    first, second = (read_calibration(path / "records" / "live.json") for path in (folder.parent, tmp_path))
    assert msgspec.structs.replace(first, quality={}, bare={}) == msgspec.structs.replace(second, quality={}, bare={})
    assert second.bare == pytest.approx(first.bare, abs=0.05)
    for variant, styles in first.quality.items():
        for style, quality in styles.items():
            assert second.quality[variant][style].psnr == pytest.approx(quality.psnr, abs=0.05)


@pytest.mark.parametrize("variant", VARIANTS)
def test_numbers_are_what_every_runtime_takes(outcome: Outcome, folder: Path, variant: str) -> None:
    model = Model(folder)
    for graph in ("encode", "decode"):
        found = constants(model, variant, graph)
        zeros = [value for name, value in found.items() if name.endswith("_zero_point")]
        assert zeros
        assert not any(value.any() for value in zeros)
        weights = {name: value for name, value in found.items() if name.endswith(".weight_quantized")}
        assert weights
        for name, weight in weights.items():
            assert weight.dtype == np.int8
            assert np.abs(weight.astype(int)).max() <= (64 if variant == "int8_avx2" else 127)
            assert found[name.replace("_quantized", "_scale")].shape == (len(weight),)
        assert all(value.dtype == np.float32 for name, value in found.items() if name.endswith(".bias"))
        assert any(value.dtype == np.uint8 for value in zeros) == (variant != "int8")


def test_a_layer_that_hurts_stays_float(outcome: Outcome, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = outcome.calibration
    alone = sorted((layer.psnr, name) for name, layer in record.layers["decode"].items())
    monkeypatch.setattr(calibrating, "LEAST_ALONE", (alone[0][0] + alone[1][0]) / 2)
    model = Model(folder)
    graphs = {name: onnx.load(model.graph_path(name)) for name in ("encode", "bank", "decode")}
    pictures = draw_pictures()
    layers = find_layers(model, graphs, sample_layers(model, graphs, pictures[::2]), pictures[1::2])
    assert [name for name, layer in layers["decode"].items() if not layer.whole] == [alone[0][1]]
    file = onnx.load_from_string(write_variant(graphs, layers, "int8")["decode"])
    kinds = {constant.name: constant.data_type for constant in file.graph.initializer}
    assert kinds[f"{alone[0][1]}.weight"] == onnx.TensorProto.FLOAT
    assert kinds[f"{alone[1][1]}.weight_quantized"] == onnx.TensorProto.INT8


def test_what_misses_the_gate_is_not_shipped(
    outcome: Outcome, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = Path(shutil.copytree(folder, tmp_path / "live"))
    pictures = tmp_path / "pictures"
    make_pictures(pictures)
    monkeypatch.setattr("livestyle.deploy.gate.LEAST_MEAN", 90.0)
    arguments = ("--from", str(pictures), "--model", str(shipped), "--records", str(tmp_path / "records"))
    assert run("calibrate", *arguments) == 1
    captured = capsys.readouterr()
    assert "missed" in captured.out
    assert captured.err.strip().splitlines()[-1].endswith(f"misses the gate: {', '.join(VARIANTS)}")
    model = Model(shipped)
    assert model.manifest.variants == {}
    assert not list(shipped.glob("int8*/*.onnx"))
    assert open_backend("openvino", model, 168, 104).precision in ("f32", "bf16")
    with pytest.raises(ConfigError, match="livestyle calibrate"):
        open_backend("openvino", model, 168, 104, "int8")


def make_pictures(folder: Path) -> None:
    from livestyle.pictures import write_picture

    folder.mkdir()
    for number, picture in enumerate(draw_pictures()):
        write_picture(folder / f"{number}.png", picture)


@pytest.mark.parametrize(
    ("qualities", "bare", "passed"),
    [
        ([(32.5, 1.0, 1.0), (32.5, 1.0, 1.0)], 36.5, True),
        ([(31.0, 1.0, 1.0), (32.0, 1.0, 1.0)], 40.0, False),  # the mean
        ([(28.9, 1.0, 1.0), (45.0, 1.0, 1.0)], 40.0, False),  # the worst
        ([(40.0, 1.06, 1.0), (40.0, 1.06, 1.0)], 40.0, False),  # flickers
        ([(40.0, 1.2, 1.0), (40.0, 0.8, 1.0)], 40.0, False),  # one flickers
        ([(40.0, 1.08, 1.0), (40.0, 1.0, 1.0)], 40.0, True),
        ([(40.0, 1.0, 1.0), (40.0, 1.0, 1.0)], 35.9, False),  # the auto-encoded picture
    ],
)
def test_the_gate(qualities: list[tuple[float, float, float]], bare: float, passed: bool) -> None:
    assert Verdict({str(number): StyleQuality(*of) for number, of in enumerate(qualities)}, bare).passed is passed


def test_the_gate_sees_a_damaged_graph(outcome: Outcome, folder: Path) -> None:
    file = onnx.load_from_string(outcome.files[choose_variant()]["decode"])
    for constant in file.graph.initializer:
        if constant.name == "decoder.to_full.weight_quantized":
            constant.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(constant), constant.name))
    verdict = Gate(Model(folder), draw_pictures()[1::2]).judge({"decode": file.SerializeToString()})
    assert not verdict.passed


def test_every_style_is_looked_at_alone_and_in_a_blend() -> None:
    looks = list_looks(["a", "b", "c"])
    assert {mix for mix, strength in looks if strength == 1.0} == {
        *((("a", 1.0),), (("b", 1.0),), (("c", 1.0),)),
        *((("a", 0.5), ("b", 0.5)), (("b", 0.5), ("c", 0.5)), (("c", 0.5), ("a", 0.5))),
    }
    assert {strength for _, strength in looks} == {0.0, 0.5, 1.0}
    assert list_looks(["a"])[0] == ((("a", 1.0),), 1.0)


def test_stills_of_a_folder_and_of_a_video(tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures")
    stills = gather_stills(str(tmp_path / "pictures"))
    film = gather_stills(str(make_clip(tmp_path / "clip.mp4", frames=40)))
    assert (len(stills), len(film)) == (4, 3)
    assert all(picture.shape == (SIZE[1], SIZE[0], 3) for picture in (*stills, *film))


def test_stills_of_the_scene_are_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livestyle.deploy.stills.PICTURES", 3)
    stills = gather_stills("scene")
    assert len(stills) == 3
    assert all(np.abs(stills[0].astype(int) - other).mean() > 5 for other in stills[1:])


def test_too_few_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no pictures"):
        gather_stills(str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match="too few"):
        gather_stills(str(make_clip(tmp_path / "short.mp4", frames=5)))
    with pytest.raises((ConfigError, SourceError)):
        gather_stills(str(tmp_path / "nothing.mp4"))


def test_a_record_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "live.json").write_text('{"profile": 3}')
    with pytest.raises(ModelError, match="not the record of a calibration"):
        read_calibration(tmp_path / "live.json")
