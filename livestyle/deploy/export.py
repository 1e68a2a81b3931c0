"""``livestyle export``: a trained run becomes the model folder that runs live.

Each graph is written as ONNX and run beside its torch module on random inputs; a mismatch writes nothing.
"""

import importlib.metadata
import platform
import warnings
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import safetensors.torch
import torch
from torch import nn

from livestyle.artifacts import (
    FORMAT,
    BankEntry,
    GraphEntry,
    Kernel,
    Manifest,
    Model,
    find_engines,
    hash_file,
    make_caption,
    write_bank,
    write_whole,
)
from livestyle.deploy.serialize import serialize_graph
from livestyle.errors import ModelError
from livestyle.model.bank import StyleBankNetwork
from livestyle.model.graphs import GRAPHS, Flow, Mask, build_graphs, make_examples
from livestyle.model.motion import MotionNetworks
from livestyle.model.profiles import LIVE, Profile, find_profile
from livestyle.sources.scene import SceneSource
from livestyle.train.checkpoint import load_checkpoint
from livestyle.train.data import to_picture, to_tensor

OPSET = 18
EXAMPLE_SIZE = (96, 64)  # of the traced picture; any multiple of 8 works afterwards
CHECK_SIZE = (136, 104)  # of the parity run: another size than the traced one, on purpose


def export_run(run: Path, folder: Path | None = None) -> tuple[Path, Manifest]:
    """Write a model folder (see `livestyle.artifacts`) from ``run/checkpoint.pt``; returns it and what it says.

    A run of ``livestyle train`` makes a whole model, with the flow of the shipped one and an untrained mask; one of
    ``livestyle train-motion`` gives the model that is there its own flow and mask. Without ``folder``, that is the
    shipped model of the run's profile. Raises `ModelError` when a graph does not compute what torch does.
    """
    state = load_checkpoint(run / "checkpoint.pt")
    profile = find_profile(state["config"].get("profile", LIVE.name))  # runs of the first version do not say
    folder = folder or find_engines() / profile.name
    if "motion" in state:
        return export_motion(state, folder)
    network = StyleBankNetwork(state["config"]["names"], profile)
    network.load_state_dict(state["network"])
    network.eval().requires_grad_(False)
    motion = MotionNetworks(profile.channels)
    flow = _take_shipped_flow(motion)
    modules = build_graphs(network.encoder, network.decoder, motion)
    files = {} if flow is None else {"flow": flow}
    files |= {name: export_graph(name, module, profile) for name, module in modules.items() if name not in files}
    default = _read_default(folder, network.bank.styles)
    for name, data in files.items():
        check_graph(name, modules[name], data, profile)
    for name, data in files.items():
        write_whole(folder / f"{name}.onnx", data)
    shared = {k: v for k, v in network.state_dict().items() if not k.startswith("bank.")}
    write_whole(folder / "autoencoder.safetensors", safetensors.torch.save(shared, metadata={"profile": profile.name}))
    write_whole(folder / "motion.safetensors", safetensors.torch.save(motion.state_dict()))
    for style in network.bank.styles:
        kernel = Kernel(network.bank.weights[style].numpy(), network.bank.biases[style].numpy())
        write_bank(folder / "banks" / f"{style}.safetensors", kernel, {"profile": profile.name})
        write_whole(folder / "banks" / f"{style}.jpg", draw_thumbnail(network, style))
    manifest = _describe(folder, profile, network.bank.styles, state)
    return _write_manifest(folder, msgspec.structs.replace(manifest, default=default))


def export_motion(state: dict[str, Any], folder: Path) -> tuple[Path, Manifest]:
    """Put the networks of a motion run into the model in ``folder``; the mask only when it has been trained.

    Raises `ModelError`.
    """
    facts = Model(folder).manifest
    profile = find_profile(facts.profile)
    motion = MotionNetworks(profile.channels)
    alone = state["step"] <= state["config"]["flow_steps"]  # the flow, whatever mask is used with it
    given = dict(state["motion"])
    if alone:  # it reads luma, so that it serves a model of any profile
        kept = safetensors.torch.load_file(folder / facts.motion)
        given = {name: each for name, each in given.items() if name.startswith("flow.")}
        given |= {name: each for name, each in kept.items() if name.startswith("mask.")}
    try:
        motion.load_state_dict(given)
    except RuntimeError as error:
        raise ModelError(f"the motion run is for another network than the {profile.name} one in {folder}") from error
    motion.eval().requires_grad_(False)
    modules = {"flow": Flow(motion.flow), "mask": Mask(motion.mask)}
    files = {name: export_graph(name, module, profile) for name, module in modules.items()}
    for name, data in files.items():
        check_graph(name, modules[name], data, profile)
    for name, data in files.items():
        write_whole(folder / f"{name}.onnx", data)
    write_whole(folder / facts.motion, safetensors.torch.save(motion.state_dict()))
    config = state["config"]
    trained = {key: config[key] for key in ("names", "flow_steps", "steps", "seed")} | {"step": state["step"]}
    return _write_manifest(
        folder,
        msgspec.structs.replace(
            facts,
            graphs={**facts.graphs, **{name: _describe_graph(folder, name) for name in files}},
            motion_sha256=hash_file(folder / facts.motion),
            training={**facts.training, "flow" if alone else "motion": trained},
        ),
    )


def _take_shipped_flow(motion: MotionNetworks) -> bytes | None:
    """Load the shipped flow into ``motion``, and its graph; None, and nothing loaded, where there is none that fits.

    It sees no features and no style, so it is the same in every model.
    """
    try:
        shipped = Model(find_engines() / LIVE.name)
        weights = safetensors.torch.load_file(shipped.motion_path())
        motion.flow.load_state_dict(
            {name.removeprefix("flow."): each for name, each in weights.items() if name.startswith("flow.")}
        )
        return shipped.graph_path("flow").read_bytes()
    except (ModelError, KeyError, RuntimeError):
        return None


def _read_default(folder: Path, styles: list[str]) -> str:
    """The default style of the model that is replaced, "" where there is none or the new one has not that style."""
    try:
        default = Model(folder).manifest.default
    except ModelError:
        return ""
    return default if default in styles else ""


def _write_manifest(folder: Path, manifest: Manifest) -> tuple[Path, Manifest]:
    write_whole(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return folder, manifest


def export_graph(name: str, module: nn.Module, profile: Profile = LIVE) -> bytes:
    """One graph as ONNX with free height and width."""
    names = GRAPHS[name]
    examples = make_examples(*EXAMPLE_SIZE, torch.Generator().manual_seed(0), profile)[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter deprecates parts of itself
        program = torch.onnx.export(
            module,
            tuple(examples[key] for key in names.inputs),
            input_names=list(names.inputs),
            output_names=[names.output],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=_free_sizes(name),
            verbose=False,
        )
    return serialize_graph(program.model_proto)  # type: ignore[union-attr]


def _free_sizes(name: str) -> tuple[dict[int, Any] | None, ...]:
    auto = torch.export.Dim.AUTO
    picture, maps = {1: auto, 2: auto}, {2: auto, 3: auto}
    free: dict[str, dict[int, Any] | None] = {
        "pixels": picture, "weight": None, "bias": None, "strength": None,
    }  # fmt: skip
    return tuple(free.get(key, maps) for key in GRAPHS[name].inputs)


def check_graph(name: str, module: nn.Module, data: bytes, profile: Profile = LIVE) -> None:
    """Run the ONNX file in ONNX Runtime against torch at another size. Raises `ModelError` when they differ."""
    import onnxruntime

    examples = make_examples(*CHECK_SIZE, torch.Generator().manual_seed(1), profile)[name]
    names = GRAPHS[name]
    with torch.no_grad():
        expected = module(*(examples[key] for key in names.inputs)).numpy()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (got,) = session.run([names.output], {key: examples[key].numpy() for key in names.inputs})
    difference = float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).max())
    allowed = 1.0 if expected.dtype == np.uint8 else 1e-3
    if got.shape != expected.shape or difference > allowed:
        raise ModelError(
            f"exported graph {name} differs from torch by {difference:.2g} (allowed {allowed}): not written"
        )


def draw_thumbnail(network: StyleBankNetwork, style: str) -> bytes:
    """The middle of the rendered scene in a style, 160×160 pixels, as JPEG."""
    with SceneSource(640, 360, live=False) as scene:
        picture = to_tensor(scene.scene_frame(0)[:, 140:500])[None]
    with torch.no_grad():
        painted = to_picture(network.paint_framed(picture.to(network.bank.weights[style].device), [style])[0])
    small = cv2.resize(painted, (160, 160), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _describe_graph(folder: Path, name: str) -> GraphEntry:
    names = GRAPHS[name]
    return GraphEntry(f"{name}.onnx", hash_file(folder / f"{name}.onnx"), names.inputs, names.output)


def _describe(folder: Path, profile: Profile, styles: list[str], state: dict[str, Any]) -> Manifest:
    graphs = {name: _describe_graph(folder, name) for name in GRAPHS}
    banks = {
        style: BankEntry(
            f"banks/{style}.safetensors",
            hash_file(folder / f"banks/{style}.safetensors"),
            make_caption(style),
            f"banks/{style}.jpg",
        )
        for style in styles
    }
    training = {key: value for key, value in state["config"].items() if key not in ("photos", "styles")}
    packages = ("torch", "onnx", "onnxruntime", "onnxscript")
    return Manifest(
        format=FORMAT,
        profile=profile.name,
        channels=profile.channels,
        stride=profile.stride,
        multiple=profile.multiple,
        margin=profile.margin,
        graphs=graphs,
        autoencoder="autoencoder.safetensors",
        autoencoder_sha256=hash_file(folder / "autoencoder.safetensors"),
        motion="motion.safetensors",
        motion_sha256=hash_file(folder / "motion.safetensors"),
        banks=banks,
        training={**training, "step": state["step"], "minutes": round(state["minutes"], 1)},
        toolchain={**{p: importlib.metadata.version(p) for p in packages}, "python": platform.python_version()},
    )
