"""The bookkeeping of the backend of a graphics card, on one of paper (see paper_card.py): buffers, turns, replays."""

import io
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from paper_card import PaperCard, lay_card
from rich.console import Console

from livestyle.artifacts import Model, load_model
from livestyle.backends.engine_files import engine_folder, find_engines
from livestyle.backends.tensorrt_gpu import TensorrtBackend
from livestyle.controls import Controls
from livestyle.deploy.compile import compile_model
from livestyle.errors import BackendError, EngineMismatch
from livestyle.evaluate.clip import Clip
from livestyle.live.stylizer import Stylizer

PICTURE = (80, 56)
SIZE = load_model().manifest.pad_size(*PICTURE)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def engines(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        compile_model(model, "rtx", ["f32", "f16"], [PICTURE], Console(file=io.StringIO()))
        yield folder


@pytest.fixture
def card(model: Model, engines: Path, monkeypatch: pytest.MonkeyPatch) -> PaperCard:
    return lay_card(monkeypatch, model)


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_video_is_painted_as_by_openvino(model: Model, card: PaperCard, precision: str) -> None:
    here = Stylizer(model, backend="openvino", precision="f32")
    there = Stylizer(model, backend="rtx", precision=precision)
    styles = cycle(model.styles)
    ours, theirs = Clip(*PICTURE), Clip(*PICTURE)
    for number in range(12):
        controls = Controls(((next(styles), 1.0),), strength=1.0 - 0.05 * number)
        expected, got = here.paint(ours.next(), controls).pixels, there.paint(theirs.next(), controls).pixels
        assert np.abs(expected.astype(int) - got).mean() < 0.5
    assert card.launched > 4 * card.enqueued / 2  # most frames are recordings
    here.close()
    there.close()
    there.close()
    assert all(memory.freed for memory in card.memory.values())


def test_an_output_outlives_the_next_call(model: Model, card: PaperCard) -> None:
    backend = TensorrtBackend(model, *SIZE, library="rtx")
    encode = backend.load("encode")
    dark = np.zeros((1, SIZE[1], SIZE[0], 3), np.uint8)
    for _ in range(3):
        first = encode(pixels=backend.upload(dark))["features"]
        kept = backend.download(first)
        encode(pixels=backend.upload(dark + 255))
        assert np.array_equal(backend.download(first), kept)
        assert kept.dtype == np.float32
    assert (card.enqueued, card.launched) == (2, 4)
    backend.close()


def test_a_kernel_is_copied_to_the_card_once(model: Model, card: PaperCard, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    copy = card.cuda.memcpy_htod_async
    monkeypatch.setattr(card.cuda, "memcpy_htod_async", lambda m, a, s: (copied.append(a.nbytes), copy(m, a, s)))
    backend = TensorrtBackend(model, *SIZE, library="rtx")
    bank = backend.load("bank")
    kernel = model.read_kernel(model.styles[0])
    shapes = model.manifest.input_shapes("bank", *SIZE)
    handles = {
        "features": backend.upload(np.ones(shapes["features"], np.float32)),
        "weight": backend.upload(kernel.weight),
        "bias": backend.upload(kernel.bias),
    }
    for strength in (0.0, 0.5, 1.0):
        bank(**handles, strength=backend.upload(np.array([strength], np.float32)))
    assert copied.count(kernel.weight.nbytes) == 1
    assert copied.count(4) == 3
    backend.close()


def test_an_input_of_another_size_is_refused(model: Model, card: PaperCard) -> None:
    backend = TensorrtBackend(model, *SIZE, library="rtx")
    with pytest.raises(BackendError, match="takes pixels of shape"):
        backend.load("encode")(pixels=backend.upload(np.zeros((1, 8, 8, 3), np.uint8)))
    backend.close()


def test_a_card_that_fails_is_one_line(model: Model, card: PaperCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise card.cuda.Error("cuMemcpyDtoHAsync failed: unspecified launch failure")

    backend = TensorrtBackend(model, *SIZE, library="rtx")
    encode = backend.load("encode")
    features = encode(pixels=backend.upload(np.zeros((1, SIZE[1], SIZE[0], 3), np.uint8)))["features"]
    monkeypatch.setattr(card.cuda, "memcpy_dtoh_async", fail)
    with pytest.raises(BackendError, match="graphics card failed: cuMemcpyDtoHAsync"):
        backend.download(features)
    backend.close()


def test_kernels_compiled_for_the_card_are_kept(model: Model, card: PaperCard) -> None:
    backend = TensorrtBackend(model, *SIZE, library="rtx")
    backend.load("encode")
    backend.close()
    (kept,) = engine_folder().glob("kernels-*.cache")
    assert kept.read_bytes() == b"kernels"


def test_engines_that_are_not_there(model: Model, card: PaperCard) -> None:
    with pytest.raises(EngineMismatch, match="no engine of graph encode at 96x96"):
        TensorrtBackend(model, 96, 96, library="rtx")


def test_an_engine_that_was_cut_off(model: Model, card: PaperCard) -> None:
    backend = TensorrtBackend(model, *SIZE, "f32", library="rtx")
    (path,) = find_engines(f"rtx-live-compose-{SIZE[0]}x{SIZE[1]}-f32")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(EngineMismatch, match="damaged"):
        backend.load("compose")
    path.write_bytes(whole)
    backend.close()
