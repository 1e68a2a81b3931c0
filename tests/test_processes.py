"""One training run in two processes of this machine (gloo), started by torchrun as a user starts it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from textures import make_texture

from livestyle.train.checkpoint import load_checkpoint
from livestyle.train.trainer import train

BOUND = 200  # s, hang bound on a busy machine
WORKER = """
import copy, sys
from pathlib import Path
import torch
from livestyle.train.processes import join_processes
from livestyle.train.trainer import Run, TrainConfig

photos, paintings, out = sys.argv[1:]
config = TrainConfig(
    photos=photos, styles=paintings, names=("reed", "stone", "moss"), steps=9, batch=1, crop=64, half=False
)
with join_processes() as process:
    run = Run(Path(out) / "run", config, vgg=None, initial=None, process=process)
    alone = copy.deepcopy(run.network)
    kept = {}
    for branch in ("painting", "reconstruction"):
        if process.rank:
            run._reseed()
        measure = getattr(run, f"_prepare_{branch}")()
        for name, loss, network in (("own", measure(alone)[0], alone), ("shared", run._step(measure)[0], run.network)):
            loss.backward()
            kept[branch, name] = {key: p.grad for key, p in network.named_parameters()}
            network.zero_grad(set_to_none=True)
    for _ in range(4):
        run._advance()
    torch.save({"gradients": kept, "network": run.network.state_dict()}, Path(out) / f"{process.rank}.pt")
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    photos, paintings = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("paintings")
    for index in range(3):
        cv2.imwrite(str(photos / f"{index}.png"), make_texture(120, 96, index))
    for index, name in enumerate(("reed", "stone", "moss")):
        cv2.imwrite(str(paintings / f"{name}.png"), make_texture(80, 96, 10 + index))
    return photos, paintings


def run_in_two(*arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_gradients_are_the_mean_and_networks_stay_the_same(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    run_in_two(str(tmp_path / "worker.py"), *map(str, folders), str(tmp_path))
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for branch in ("painting", "reconstruction"):
        own = [state["gradients"][branch, "own"] for state in (one, other)]
        shared = [state["gradients"][branch, "shared"] for state in (one, other)]
        assert not torch.equal(own[0]["encoder.to_half.weight"], own[1]["encoder.to_half.weight"])
        for name in own[0]:
            given = [gradients[name] for gradients in own if gradients[name] is not None]
            if not given:
                assert shared[0][name] is None  # a bank that nobody has drawn
                continue
            mean = torch.stack(given).sum(dim=0) / 2.0
            for gradients in shared:
                assert torch.allclose(gradients[name], mean, rtol=1e-3, atol=1e-6 + 1e-4 * float(mean.abs().max()))
        banks = [name for name in own[0] if name.startswith("bank.")]
        assert any(shared[0][name] is None for name in banks)
    assert all(torch.equal(value, other["network"][name]) for name, value in one["network"].items())


@pytest.mark.slow
def test_one_process_writes_and_another_count_goes_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    photos, paintings = map(str, folders)
    settings = ["--photos", photos, "--paintings", paintings, "--steps", "6", "--batch", "1", "--crop", "64"]
    run_in_two("-m", "livestyle", "train", *settings, "--out", str(tmp_path))
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state["step"] == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.pt",
        "config.json",
        "loss.csv",
        "loss.png",
        "samples",
    ]
    train(tmp_path, {"steps": 8}, resume=True, start=None, vgg=None)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 8
    with open(tmp_path / "loss.csv", newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["6", "8"]
