"""What only a graphics card can show: engines painting. Skipped, with the reason, where there is none."""

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from cards import CARD_BACKENDS
from rich.console import Console

from livestyle.artifacts import Model, load_model
from livestyle.backends import Backend, open_backend
from livestyle.backends.engine_files import engine_folder
from livestyle.backends.tensorrt_gpu import TensorrtBackend
from livestyle.controls import Controls
from livestyle.deploy.compile import compile_model
from livestyle.evaluate.clip import Clip
from livestyle.live.stylizer import Stylizer
from livestyle.model.graphs import GRAPHS, make_examples

SIZE = (168, 104)  # of the graphs
PICTURE = (152, 88)  # the same without the margin

pytestmark = pytest.mark.parametrize("name", CARD_BACKENDS)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def build(model: Model, name: str, *precisions: str) -> None:
    compile_model(model, name, precisions, [PICTURE], Console(file=io.StringIO()))


def run_graph(backend: Backend, graph: str) -> np.ndarray:
    examples = make_examples(*SIZE, torch.Generator().manual_seed(0))[graph]
    handles = {key: backend.upload(tensor.numpy()) for key, tensor in examples.items()}
    return backend.download(backend.load(graph)(**handles)[GRAPHS[graph].output])


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize(("precision", "allowed"), [("f32", 1e-3), ("f16", 1e-2)])
def test_graph_equals_the_reference(
    model: Model, cache: Path, name: str, graph: str, precision: str, allowed: float
) -> None:
    build(model, name, precision)
    expected = run_graph(open_backend("reference", model, *SIZE), graph).astype(np.float64)
    backend = TensorrtBackend(model, *SIZE, precision, library=name)
    got = run_graph(backend, graph).astype(np.float64)
    backend.close()
    backend.close()
    assert np.abs(got - expected).max() <= (2.0 if graph == "decode" else allowed)


def test_recorded_frames_are_those_that_were_enqueued(model: Model, cache: Path, name: str) -> None:
    """The first calls run kernel by kernel, the later ones as CUDA graphs; outputs outlive one more call."""
    build(model, name, "f16")
    backend = TensorrtBackend(model, *SIZE, library=name)
    encode = backend.load("encode")
    pictures = [np.full((1, SIZE[1], SIZE[0], 3), level, np.uint8) for level in (0, 120, 255)]
    first = [backend.download(encode(pixels=backend.upload(picture))["features"]) for picture in pictures]
    for picture, expected in zip(pictures * 2, first * 2, strict=True):
        handle = encode(pixels=backend.upload(picture))["features"]
        encode(pixels=backend.upload(pictures[0]))
        assert np.array_equal(backend.download(handle), expected)
    backend.close()


def test_a_video_is_painted_as_on_the_processor(model: Model, cache: Path, name: str) -> None:
    build(model, name, "f16")
    controls = [Controls(((style, 1.0),)) for style in model.styles] * 3
    here, there = Stylizer(model, backend="openvino", precision="f32"), Stylizer(model, backend=name)
    clips = [Clip(*PICTURE), Clip(*PICTURE)]
    for now in controls:
        one, two = (painter.paint(clip.next(), now).pixels for painter, clip in zip((here, there), clips, strict=True))
        assert np.abs(one.astype(int) - two).mean() < 2.0
    here.close()
    there.close()


def test_any_thread_may_paint(model: Model, cache: Path, name: str) -> None:
    build(model, name, "f16")
    painter, clip = Stylizer(model, backend=name), Clip(*PICTURE)
    painter.prepare(*PICTURE)
    painted: list[np.ndarray] = []

    def paint() -> None:
        painted.append(painter.paint(clip.next(), Controls(((model.styles[0], 1.0),))).pixels)
        painter.close()

    thread = threading.Thread(target=paint)
    thread.start()
    thread.join(60.0)
    assert painted
    assert painted[0].std() > 0.0


def test_missing_engines_are_built_while_the_processor_paints(
    model: Model, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backend = open_backend(name, model, *SIZE)
    assert backend.name == "openvino"
    graphs = {graph: backend.load(graph) for graph in model.manifest.graphs}
    pixels = backend.upload(np.zeros((1, SIZE[1], SIZE[0], 3), np.uint8))
    deadline = time.monotonic() + 180.0
    while backend.name == "openvino" and time.monotonic() < deadline:
        graphs["encode"](pixels=pixels)
        time.sleep(0.05)
    assert backend.name == name
    assert list(engine_folder().glob("*.engine"))
    backend.close()
