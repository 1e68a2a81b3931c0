"""The shipped model on disk: what is in a model folder, and the checks made when it is read.

::

    engines/live/
      manifest.json             facts of the model and a sha256 of every file
      encode.onnx … decode.onnx the graphs, weights inside, any size that is a multiple of 8
      VARIANT/decode.onnx …     the same graph in whole numbers (``livestyle calibrate``), for those who want it
      autoencoder.safetensors   encoder and decoder for torch: the reference backend, further training
      motion.safetensors        the flow and the mask network, likewise
      banks/NAME.safetensors    one style: ``weight`` (C, C, 3, 3) and ``bias`` (C,), float32
      banks/NAME.jpg            what the style makes of the rendered scene
    engines/person/
      person.json               where the network that finds people is from, and its sha256
      segment.onnx              the network; LICENSE and NOTICE are its own

A wheel carries ``engines/`` as ``livestyle/_engines``. Styles that a user has added (``livestyle add-style``) lie in
the same form in the user's data folder, ``banks/PROFILE/``, and join those of the model.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from livestyle.controls import Mix, find_name
from livestyle.errors import ModelError
from livestyle.own_banks import OwnBanks, read_bank_facts

FORMAT = 1  # of the manifest; raised when a reader of the old one could misread the new one
DTYPES = ("F32", "F16")  # of a bank's tensors; numpy knows not all that safetensors do
VARIANTS = ("int8", "int8_vnni", "int8_avx2")  # whole numbers for graphics cards, and for two kinds of processor


# of a file, below the model's folder
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\Z")]
Count = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class GraphEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ONNX file: its input names in order, its output name, its hash."""

    file: FileName
    sha256: str
    inputs: tuple[str, ...]
    output: str


class BankEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One style: file, hash, the caption that people see, and a small JPEG of what it does."""

    file: FileName
    sha256: str
    caption: str
    thumbnail: FileName


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``manifest.json`` says. ``training`` and ``toolchain`` are for people and for reproduction.

    Features have ``channels`` channels at 1/``stride`` of the picture; widths and heights are multiples of
    ``multiple``; ``margin`` pixels are added on each side before painting and thrown away afterwards. ``variants``
    are other forms of some of the graphs, by name of the variant (see `VARIANTS`) and of the graph. ``default`` is the
    style where none is asked for; "" is the first one.
    """

    format: int
    profile: str
    channels: Count
    stride: Count
    multiple: Count
    margin: Annotated[int, msgspec.Meta(ge=0, le=1024)]
    graphs: dict[str, GraphEntry]
    autoencoder: FileName
    autoencoder_sha256: str
    motion: FileName
    motion_sha256: str
    banks: dict[str, BankEntry]
    training: dict[str, object]
    toolchain: dict[str, str]
    variants: dict[str, dict[str, GraphEntry]] = {}
    default: str = ""

    def input_shapes(self, graph: str, width: int, height: int) -> dict[str, tuple[int, ...]]:
        """Shapes of a graph's inputs for pictures of ``width`` x ``height`` (multiples of ``multiple``), in order."""
        maps = (height // self.stride, width // self.stride)
        shapes: dict[str, tuple[int, ...]] = {
            "pixels": (1, height, width, 3),
            "luma": (1, 1, *maps),
            "past_luma": (1, 1, *maps),
            "motion": (1, 3, *maps),
            "past_motion": (1, 3, *maps),
            "mask": (1, 1, *maps),
            "weight": (self.channels, self.channels, 3, 3),
            "bias": (self.channels,),
            "strength": (1,),
        }
        return {key: shapes.get(key, (1, self.channels, *maps)) for key in self.graphs[graph].inputs}

    def pad_size(self, width: int, height: int) -> tuple[int, int]:
        """The size that graphs run at for pictures of ``width`` x ``height``: margin added, rounded up."""
        return (
            -(-(width + 2 * self.margin) // self.multiple) * self.multiple,
            -(-(height + 2 * self.margin) // self.multiple) * self.multiple,
        )


class PersonFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``person.json`` says: an ONNX file that takes ``pixels`` uint8 (1, 144, 256, 3), RGB, and answers ``mask``
    float32 (1, 1, 144, 256), 1 where a person is sure; and what it was made from.
    """

    file: str
    sha256: str
    source_sha256: str
    origin: str


class Kernel(msgspec.Struct, frozen=True):
    """The convolution of one style or of a mix: ``weight`` float32 (C, C, 3, 3), ``bias`` float32 (C,)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Model:
    """A model folder, read and checked, and the user's own styles for it. Banks are read when first used and kept."""

    def __init__(self, folder: Path, own: Path | None = None) -> None:
        """``own`` is the folder of the user's own styles.

        Raises `ModelError` when ``folder`` holds no model, or one whose files are missing or changed.
        """
        self.folder = folder
        self.manifest = _read_manifest(folder / "manifest.json")
        facts = self.manifest
        self.own = OwnBanks(facts.profile, facts.autoencoder_sha256, tuple(facts.banks), own)
        self._kernels: dict[str, Kernel] = {}
        self._read: dict[str, tuple[int, int]] = {}  # own style -> the file that its kernel is from
        for graphs in (self.manifest.graphs, *self.manifest.variants.values()):
            for entry in graphs.values():
                _check_hash(folder / entry.file, entry.sha256)

    @property
    def styles(self) -> list[str]:
        """Names of the styles: those of the manifest in its order, then the user's own as they are at this moment."""
        return [*self.manifest.banks, *self.own.names()]

    @property
    def default_style(self) -> str:
        """The style where none is asked for."""
        return self.manifest.default or next(iter(self.manifest.banks))

    def graph_entry(self, name: str, variant: str = "") -> GraphEntry:
        """The file of a graph: that of the variant, or the plain one where the variant has none."""
        return self.manifest.variants.get(variant, {}).get(name, self.manifest.graphs[name])

    def graph_path(self, name: str, variant: str = "") -> Path:
        """The ONNX file of a graph, as in `graph_entry`."""
        return self.folder / self.graph_entry(name, variant).file

    def motion_path(self) -> Path:
        """The torch weights of the flow and the mask network, checked. Raises `ModelError`."""
        path = self.folder / self.manifest.motion
        _check_hash(path, self.manifest.motion_sha256)
        return path

    def autoencoder_path(self) -> Path:
        """The torch weights, checked. Raises `ModelError`."""
        path = self.folder / self.manifest.autoencoder
        _check_hash(path, self.manifest.autoencoder_sha256)
        return path

    def caption(self, style: str) -> str:
        """What people see as a style's name."""
        entry = self.manifest.banks.get(style)
        return entry.caption if entry else make_caption(style)

    def read_thumbnail(self, style: str) -> bytes:
        """A small JPEG of what a style does. Raises `ModelError`."""
        entry = self.manifest.banks.get(style)
        path = self.folder / entry.thumbnail if entry else self.own.path(style).with_suffix(".jpg")
        try:
            return path.read_bytes()
        except OSError as error:
            raise ModelError(f"model file {path} cannot be read: {error.strerror}") from error

    def bank_bytes(self, style: str) -> int:
        """Size of a style's file in bytes. Raises `ModelError`."""
        try:
            return self._bank_path(style).stat().st_size
        except OSError as error:
            raise ModelError(f"the file of style {style!r} cannot be read: {error.strerror}") from error

    def training_minutes(self, style: str) -> float | None:
        """What a style took to learn, in minutes: its share of the joint training, or its own. None when unknown."""
        if style in self.manifest.banks:
            minutes = _read_minutes(self.manifest.training.get("minutes"))
            return None if minutes is None else minutes / len(self.manifest.banks)
        return _read_minutes(read_bank_facts(self.own.path(style), self.manifest.profile).get("minutes"))

    def read_kernel(self, style: str) -> Kernel:
        """The kernel of one style; the newest of an own one that is still learning.

        Raises `ConfigError` for an unknown one, `ModelError` for a damaged file.
        """
        entry = self.manifest.banks.get(style)
        if entry is None and style in self.own.names():
            return self._read_own(style)
        if style not in self._kernels:  # an own style that was removed while in use is still there
            find_name(style, self.styles, "style")
            path = self._bank_path(style)
            _check_hash(path, self.manifest.banks[style].sha256)
            self._kernels[style] = read_bank(path, self.manifest.profile, self.manifest.channels)
        return self._kernels[style]

    def _read_own(self, style: str) -> Kernel:
        path = self.own.path(style)
        try:
            facts = path.stat()
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        stamp = facts.st_ino, facts.st_mtime_ns
        if self._read.get(style) != stamp:
            self._kernels[style] = read_bank(path, self.manifest.profile, self.manifest.channels)
            self._read[style] = stamp
        return self._kernels[style]

    def _bank_path(self, style: str) -> Path:
        entry = self.manifest.banks.get(style)
        return self.folder / entry.file if entry else self.own.path(style)

    def mix_kernels(self, mix: Mix) -> Kernel:
        """Σ wᵢ·Kᵢ: exactly the linear fusion of StyleBank, because banks are bare convolutions."""
        if len(mix) == 1:
            return self.read_kernel(mix[0][0])
        kernels = [(self.read_kernel(style), np.float32(weight)) for style, weight in mix]
        weight = np.stack([kernel.weight * w for kernel, w in kernels]).sum(axis=0)
        bias = np.stack([kernel.bias * w for kernel, w in kernels]).sum(axis=0)
        return Kernel(weight, bias)


class Thumbnails(Mapping[str, bytes]):
    """The thumbnails of a model's styles by name, read when asked for: styles come and go while a stream runs."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __getitem__(self, style: str) -> bytes:
        if style not in self._model.styles:
            raise KeyError(style)
        try:
            return self._model.read_thumbnail(style)
        except ModelError as error:
            raise KeyError(style) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._model.styles)

    def __len__(self) -> int:
        return len(self._model.styles)


def find_engines() -> Path:
    """The folder of models: ``$LIVESTYLE_ENGINES``; otherwise in an installed wheel, or beside a checkout's package."""
    if named := os.environ.get("LIVESTYLE_ENGINES"):
        return Path(named)
    package = Path(__file__).resolve().parent
    inside = package / "_engines"
    return inside if inside.is_dir() else package.parent / "engines"


def find_profiles() -> list[str]:
    """Names of the models that are here, sorted."""
    return sorted(path.parent.name for path in find_engines().glob("*/manifest.json"))


def load_model(profile: str = "live") -> Model:
    """Read the model of a profile. Raises `ConfigError` when there are only others, `ModelError` when it is damaged."""
    if known := find_profiles():
        find_name(profile, known, "profile")
    return Model(find_engines() / profile)


def find_person() -> Path:
    """The network that finds people, checked. Raises `ModelError`."""
    folder = find_engines() / "person"
    try:
        facts = msgspec.json.decode((folder / "person.json").read_bytes(), type=PersonFacts)
    except OSError as error:
        raise ModelError(f"no masks of people: {folder}/person.json: {error.strerror}; reinstall livestyle") from error
    except msgspec.MsgspecError as error:
        raise ModelError(f"{folder}/person.json is damaged ({error}); reinstall livestyle") from error
    _check_hash(folder / facts.file, facts.sha256)
    return folder / facts.file


def make_caption(style: str) -> str:
    """``starry_night`` as people write it: ``Starry night``."""
    return style.replace("_", " ").capitalize()


def write_bank(path: Path, kernel: Kernel, facts: Mapping[str, str]) -> None:
    """Write one style's file; ``facts`` travel in the header: at least the ``profile`` that it belongs to."""
    write_whole(path, safetensors.numpy.save({"weight": kernel.weight, "bias": kernel.bias}, metadata=dict(facts)))


def read_bank(path: Path, profile: str, channels: int) -> Kernel:
    """Read one style's file. Raises `ModelError` when it is damaged or belongs to another profile."""
    read_bank_facts(path, profile)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            kinds = {file.get_slice(name).get_dtype() for name in ("weight", "bias")}
            if not kinds <= set(DTYPES):
                raise ModelError(f"{path} holds numbers of another kind than {' and '.join(DTYPES)}")
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path} is not a style bank: {error}") from error
    if weight.shape != (channels, channels, 3, 3) or bias.shape != (channels,):
        raise ModelError(f"{path} holds kernels {weight.shape}, not {(channels, channels, 3, 3)}")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ModelError(f"{path} is damaged: some of its weights are no numbers")
    return Kernel(weight.astype(np.float32), bias.astype(np.float32))


def hash_file(path: Path) -> str:
    """sha256 of a file as hex. Raises `ModelError` when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it there, so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ModelError(f"no model in {path.parent}: {error.strerror}; reinstall livestyle") from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}); reinstall livestyle") from error
    if manifest.format != FORMAT:
        raise ModelError(f"{path} has format {manifest.format}, this livestyle reads {FORMAT}: update livestyle")
    if not manifest.banks:
        raise ModelError(f"{path} lists no styles")
    if manifest.default and manifest.default not in manifest.banks:
        raise ModelError(f"{path} is damaged (no style {manifest.default!r}, its default style); reinstall livestyle")
    return manifest


def _read_minutes(value: object) -> float | None:
    """A time that a header gives, as number or text; None where it gives none."""
    try:
        minutes = float(str(value))
    except ValueError:
        return None
    return minutes if 0.0 <= minutes < float("inf") else None


def _check_hash(path: Path, expected: str) -> None:
    if hash_file(path) != expected:
        raise ModelError(f"model file {path} is damaged (its sha256 is not the manifest's): reinstall livestyle")
