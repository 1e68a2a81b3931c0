"""Copies of the shipped model with something else in them."""

import shutil
from pathlib import Path

import msgspec

from livestyle.artifacts import Model, hash_file, load_model


def edit_manifest(folder: Path, **changes: object) -> None:
    """Facts of the model in ``folder`` replaced."""
    path = folder / "manifest.json"
    path.write_bytes(msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), **changes}))


def one_graph(folder: Path, graph: str) -> Model:
    """A copy of the shipped model that has only one graph, so that building it takes a second."""
    shutil.copytree(load_model().folder, folder, dirs_exist_ok=True)
    edit_manifest(folder, graphs={graph: msgspec.to_builtins(load_model().manifest.graphs[graph])})
    return Model(folder)


def replace_graph(folder: Path, graph: str, data: bytes, **entry: object) -> Model:
    """A copy of the shipped model in which one graph is another file, with the hash to match."""
    model = one_graph(folder, graph)
    path = model.graph_path(graph)
    path.write_bytes(data)
    facts = msgspec.to_builtins(model.manifest.graphs[graph])
    edit_manifest(folder, graphs={graph: {**facts, "sha256": hash_file(path), **entry}})
    return Model(folder)
