"""One backend paints while the engines of another are built in a child process; then the other takes over."""

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from livestyle.artifacts import Model, load_model
from livestyle.backends import Backend, open_backend
from livestyle.backends.engine_files import find_engines, make_key, read_engine
from livestyle.backends.stand_in import StandIn, build_command
from livestyle.deploy.compile import find_toolchain
from livestyle.errors import EngineMismatch
from livestyle.model.graphs import GRAPHS, make_examples

SIZE = (80, 56)
SOON = 200.0  # s; what is waited for takes one or two


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def stand_in(model: Model, command: Sequence[str], then: str = "reference") -> StandIn:
    now = open_backend("openvino", model, *SIZE, precision="f32")
    return StandIn(now, list(GRAPHS), command, lambda: open_backend(then, model, *SIZE))


def wait_for(backend: Backend, name: str, encode: object, pixels: object) -> None:
    deadline = time.monotonic() + SOON
    while backend.name != name and time.monotonic() < deadline:
        encode(pixels=pixels)  # type: ignore[operator]  # a frame begins
        time.sleep(0.01)
    assert backend.name == name


def test_the_past_and_the_kernels_come_along(model: Model) -> None:
    """A frame begun on one backend goes on from the past of the other, and both paint the same."""
    backend = stand_in(model, [sys.executable, "-c", "pass"])
    graphs = {graph: backend.load(graph) for graph in GRAPHS}
    examples = make_examples(*SIZE, torch.Generator().manual_seed(0))
    arrays = {key: tensor.numpy() for graph in examples.values() for key, tensor in graph.items()}
    handles = {key: backend.upload(array) for key, array in arrays.items()}

    def paint(past: object) -> tuple[np.ndarray, np.ndarray]:
        features = graphs["encode"](pixels=handles["pixels"])["features"]
        mask = graphs["mask"](features=features, past=past, motion=handles["motion"])["mask"]
        kernel = {key: handles[key] for key in ("weight", "bias", "strength")}
        painted = graphs["bank"](features=features, **kernel)["painted"]
        return backend.download(mask), backend.download(graphs["decode"](painted=painted)["picture"])

    past = graphs["encode"](pixels=handles["pixels"])["features"]
    before = paint(past)
    wait_for(backend, "reference", graphs["encode"], handles["pixels"])
    after = paint(past)
    assert np.abs(before[0] - after[0]).max() < 1e-3
    assert np.abs(before[1].astype(int) - after[1]).max() <= 1
    backend.close()
    backend.close()


def test_engines_are_really_built(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    margin = model.manifest.margin
    command = build_command("rtx", "live", SIZE[0] - 2 * margin, SIZE[1] - 2 * margin, "auto")
    keys = [make_key(model, graph, "auto", SIZE, find_toolchain("rtx")) for graph in GRAPHS]
    with pytest.raises(EngineMismatch, match="no engine of graph encode at 80x56 in f16"):
        read_engine(keys[0])
    backend = stand_in(model, command)
    encode = backend.load("encode")
    wait_for(backend, "reference", encode, backend.upload(np.zeros((1, SIZE[1], SIZE[0], 3), np.uint8)))
    assert {path.name for path in find_engines()} == {key.name for key in keys}
    backend.close()


def test_what_cannot_be_built_is_told_once_and_painting_goes_on(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    code = "import sys; sys.exit('livestyle: no space left')"
    with caplog.at_level(logging.WARNING, "livestyle"):
        backend = stand_in(model, [sys.executable, "-c", code])
        deadline = time.monotonic() + SOON
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
    assert caplog.messages == ["the engines cannot be built, openvino goes on painting: no space left"]
    pixels = backend.upload(np.zeros((1, SIZE[1], SIZE[0], 3), np.uint8))
    assert backend.download(backend.load("encode")(pixels=pixels)["features"]).shape == (1, 48, 14, 20)
    assert backend.name == "openvino"
    backend.close()


def test_closing_ends_the_build(model: Model) -> None:
    backend = stand_in(model, [sys.executable, "-c", "import time; time.sleep(600)"])
    child = backend._child
    backend.close()
    assert child.poll() is not None
