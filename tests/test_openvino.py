"""OpenVINO: which numbers and files this processor takes, and that bad files and folders are told in one line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import openvino as ov
import openvino.properties.hint as hints
import pytest
from model_copies import edit_manifest

from livestyle.artifacts import Model, find_engines, hash_file, load_model
from livestyle.backends import openvino_cpu
from livestyle.backends.openvino_cpu import (
    PRECISIONS,
    OpenVinoBackend,
    cache_folder,
    choose_precision,
    choose_variant,
    count_threads,
    has_half,
    takes_all,
)
from livestyle.backends.openvino_layout import TO_FIRST, TO_LAST, merge_unshuffles, move_shuffles, put_channels_last
from livestyle.errors import BackendUnavailable, ConfigError, ModelError
from livestyle.sources.scene import SceneSource

SIZE = (168, 104)
Change = Callable[[ov.Model], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find_engines() / "live", tmp_path / "live"))


def paint(backend: OpenVinoBackend, pixels: np.ndarray) -> np.ndarray:
    """One picture through encode, bank and decode."""
    model = load_model()
    kernel = model.read_kernel(model.styles[0])
    features = backend.load("encode")(pixels=backend.upload(pixels[None]))["features"]
    uploads = {
        "weight": backend.upload(kernel.weight),
        "bias": backend.upload(kernel.bias),
        "strength": backend.upload(np.ones(1, np.float32)),
    }
    painted = backend.load("bank")(features=features, **uploads)["painted"]
    return backend.download(backend.load("decode")(painted=painted)["picture"])[0]


@pytest.mark.parametrize("variant", ["", *load_model().manifest.variants])
@pytest.mark.parametrize(
    ("graph", "change", "gone", "allowed"),
    [("encode", merge_unshuffles, "Transpose", 1e-3), ("decode", move_shuffles, "DepthToSpace", 1.0)],
)
def test_another_layout_computes_the_same(graph: str, change: Change, gone: str, allowed: float, variant: str) -> None:
    model, core, outputs, counts = load_model(), ov.Core(), [], []
    for changing in (False, True):
        network = core.read_model(model.graph_path(graph, variant))
        network.reshape({name: list(shape) for name, shape in model.manifest.input_shapes(graph, *SIZE).items()})
        if changing:
            change(network)
        counts.append([node.get_type_name() for node in network.get_ordered_ops()].count(gone))
        compiled = core.compile_model(network, "CPU", {hints.inference_precision: ov.Type.f32})
        entry = compiled.input(0)
        drawn = np.random.default_rng(0).random(tuple(entry.shape))
        drawn = (drawn * 255).astype(np.uint8) if entry.element_type == ov.Type.u8 else drawn.astype(np.float32)
        outputs.append(compiled([drawn])[0].astype(np.float64))
    assert counts[1] < counts[0]
    assert outputs[0].std() > 0.1
    assert np.abs(outputs[0] - outputs[1]).max() <= allowed


@pytest.mark.parametrize("graph", load_model().manifest.graphs)
def test_maps_with_channels_last_give_the_same(graph: str) -> None:
    model, core, outputs = load_model(), ov.Core(), []
    channels = model.manifest.channels
    shapes = model.manifest.input_shapes(graph, *SIZE)
    random = np.random.default_rng(0)
    drawn = {name: random.random(shape, np.float32) for name, shape in shapes.items()}
    for last in (False, True):
        network = core.read_model(model.graph_path(graph, ""))
        network.reshape({name: list(shape) for name, shape in shapes.items()})
        if last:
            network = put_channels_last(network, lambda port: list(port.get_shape())[:2] == [1, channels])
        compiled = core.compile_model(network, "CPU", {hints.inference_precision: ov.Type.f32})
        inputs = {}
        for port in compiled.inputs:
            array = drawn[port.any_name]
            turned = array.transpose(TO_LAST) if tuple(port.shape) != array.shape else array
            assert (turned is not array) == (last and array.shape[:2] == (1, channels))
            whole = port.element_type == ov.Type.u8
            inputs[port.any_name] = np.ascontiguousarray(turned * 255, np.uint8) if whole else turned
        output = compiled(inputs)[model.manifest.graphs[graph].output].astype(np.float64)
        outputs.append(output.transpose(TO_FIRST) if last and output.shape[-1] == channels else output)
    assert outputs[0].std() > 0.01
    assert np.abs(outputs[0] - outputs[1]).max() <= (1.0 if graph == "decode" else 1e-3)


@pytest.mark.parametrize("word", PRECISIONS)
def test_every_precision_paints_the_same_picture(word: str) -> None:
    model, core = load_model(), ov.Core()
    if word == "bf16" and not has_half(core):
        with pytest.raises(BackendUnavailable, match="does not compute in bf16"):
            choose_precision(core, model, word)
        return
    if word == "int8" and choose_variant() not in model.manifest.variants:
        with pytest.raises(ConfigError, match="livestyle calibrate"):
            choose_precision(core, model, word)
        return
    # a landscape, not a gradient: contrast is evened out before the bank, and rounding is all the detail of a gradient
    with SceneSource(*SIZE, 30, live=False) as scene:
        pixels = scene.scene_frame(300)
    exact = paint(OpenVinoBackend(model, *SIZE, "f32"), pixels).astype(np.float64)
    got = paint(OpenVinoBackend(model, *SIZE, word), pixels)
    assert got.dtype == np.uint8
    assert 10 * np.log10(255.0**2 / max(1e-9, ((got - exact) ** 2).mean())) > 28.0


@pytest.mark.parametrize("word", ["auto", "f32"])
def test_feature_maps_come_back(word: str) -> None:
    backend = OpenVinoBackend(load_model(), *SIZE, word)
    channels = load_model().manifest.channels
    maps = np.random.default_rng(0).normal(0, 3, (1, channels, 26, 42)).astype(np.float32)
    back = backend.download(backend.upload(maps))
    assert (back.shape, back.dtype) == (maps.shape, np.float32)
    assert np.allclose(back, maps, rtol=0.0 if word == "f32" else 2.0**-8, atol=0.0)
    kernel = load_model().read_kernel(load_model().styles[0]).weight
    assert np.array_equal(backend.download(backend.upload(kernel)), kernel)


def test_without_a_form_in_whole_numbers_auto_takes_floats(folder: Path) -> None:
    edit_manifest(folder, variants={})
    core = ov.Core()
    assert choose_precision(core, Model(folder), "auto") == ("bf16" if has_half(core) else "f32")


@pytest.mark.parametrize(
    ("flags", "variant"), [({11}, "int8_avx2"), ({11, 23}, "int8_vnni"), (set(), "int8_vnni")], ids=str
)
def test_seven_bits_where_eight_overflow(flags: set[int], variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_cpu.cv2, "checkHardwareSupport", lambda number: number in flags)
    assert choose_variant() == variant


@pytest.mark.parametrize(("cores", "alone", "beside"), [(1, 1, 1), (2, 2, 1), (4, 3, 2), (16, 15, 14)])
def test_threads_leave_room(cores: int, alone: int, beside: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_cpu.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert (count_threads(False), count_threads(True)) == (alone, beside)
    assert takes_all(count_threads(False)) == (cores == 2)
    assert not takes_all(count_threads(True))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell on which cores it runs")
def test_who_paints_keeps_all_cores() -> None:
    """Threads are nailed to cores at most while they paint: a caller who stayed on one would share it with the rest."""
    cores = os.sched_getaffinity(0)
    with SceneSource(*SIZE, live=False) as scene:
        paint(OpenVinoBackend(load_model(), *SIZE), scene.scene_frame(0))
    assert os.sched_getaffinity(0) == cores


@pytest.mark.parametrize("variant", ["", "own"])
def test_a_truncated_graph_is_told_in_one_line(folder: Path, variant: str) -> None:
    model = Model(folder)
    path = model.graph_path("encode", choose_variant() if variant else "")
    path.write_bytes(path.read_bytes()[:2000])
    facts = msgspec.to_builtins(model.manifest)
    for graphs in (facts["graphs"], *facts["variants"].values()):
        if graphs.get("encode", {}).get("file") == str(path.relative_to(folder)):
            graphs["encode"]["sha256"] = hash_file(path)
    edit_manifest(folder, **facts)
    with pytest.raises(ModelError, match=r"encode\.onnx cannot be compiled by OpenVINO") as told:
        OpenVinoBackend(Model(folder), *SIZE, "auto" if variant else "f32").load("encode")
    assert "\n" not in str(told.value)


def test_without_a_writable_cache_it_paints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(openvino_cpu.platformdirs, "user_cache_dir", lambda _: str(tmp_path / "file"))
    assert cache_folder() is None
    assert paint(OpenVinoBackend(load_model(), *SIZE), np.zeros((SIZE[1], SIZE[0], 3), np.uint8)).any()


def test_ctrl_c_after_another_thread_has_closed_the_backend_is_no_crash() -> None:
    program = """
import gc, signal, threading
from livestyle.artifacts import load_model
from livestyle.backends import open_backend
backends = [open_backend("openvino", load_model(), 64, 64, "auto")]
backends[0].load("encode")
def close():
    backends.pop().close()
    gc.collect()
thread = threading.Thread(target=close)
thread.start()
thread.join()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
