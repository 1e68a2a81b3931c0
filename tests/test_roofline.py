"""What `livestyle bench` adds on request. No speed is asserted: only that the figures are of what they say."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from livestyle.artifacts import Model, load_model
from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate import relay
from livestyle.evaluate.moments import SWITCHES, measure_start, measure_switches, plan_mixes
from livestyle.evaluate.peers import count_macs
from livestyle.evaluate.relay import FPS, RelayReport, find_nginx, measure_relay, write_clip
from livestyle.evaluate.roofline import LAYERS, SHAPES, TimedGraph, draw_peak, measure_roofline
from livestyle.sources.stream import StreamSource


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_every_graph_is_held_against_the_peak(model: Model, precision: str) -> None:
    roofline = measure_roofline(model, 160, 96, precision)
    assert roofline.peak_gmacs > 0.0
    assert 0.0 < roofline.whole_share < roofline.share
    assert roofline.graphs.keys() == model.manifest.graphs.keys()
    for name in ("encode", "bank", "decode"):
        graph = roofline.graphs[name]
        assert 0.0 < graph.convolutions_ms < graph.ms
        assert graph.gmacs == pytest.approx(graph.gmac / graph.convolutions_ms * 1e3, rel=0.05)
        assert graph.share == pytest.approx(graph.gmacs / roofline.peak_gmacs, rel=0.05)
    assert roofline.graphs["compose"].share == 0.0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_peak_is_of_the_convolutions_that_it_names(shape: tuple[int, int]) -> None:
    channels, side = shape
    assert count_macs(draw_peak(channels, side, "f32")) * 1e9 == LAYERS * 9 * channels**2 * side**2


def test_the_peak_in_whole_numbers_is_in_whole_numbers() -> None:
    graph = TimedGraph(ov.Core(), draw_peak(64, 32, "int8"), "int8")
    graph.run()
    kinds = [info.exec_type for info in graph._request.profiling_info if info.node_type == "Convolution"]
    assert len(kinds) == LAYERS
    assert all("8" in kind.rpartition("_")[2] for kind in kinds)


def test_no_two_switches_are_alike() -> None:
    mixes = plan_mixes(["a", "b", "c"], 7)
    assert mixes[:3] == [(("a", 1.0),), (("a", 0.5), ("b", 0.5)), (("b", 1.0),)]
    assert all(one != two for one, two in pairwise(mixes))


def test_switches_are_timed_beside_a_steady_run(model: Model) -> None:
    speed = measure_switches(model, 64, 48, "openvino", "auto")
    assert speed.switches == SWITCHES
    assert 0.0 < speed.median_ms <= speed.slowest_ms
    assert speed.ratio == pytest.approx(speed.slowest_ms / speed.median_ms, rel=0.01)
    assert speed.steady_ratio >= 1.0


@pytest.mark.slow
def test_a_start_is_that_of_the_program() -> None:
    speed = measure_start(64, 48, "live", "openvino")
    assert 0.0 < speed.median_s <= speed.slowest_s
    with pytest.raises(BackendError, match="did you mean 'openvino'"):
        measure_start(64, 48, "live", "openvin")


@pytest.mark.slow
@pytest.mark.parametrize("server", ["nginx", "none"])
def test_a_relay_runs_and_is_counted(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if server == "none":
        monkeypatch.setattr(relay, "find_nginx", lambda: None)
    else:
        assert find_nginx(), "nginx is missing: run `.ci/run`, which installs nginx and libnginx-mod-rtmp"
    report: RelayReport = measure_relay((64, 48), (128, 96), "live", "openvino", 5)
    assert report.server.startswith(server)
    assert report.frames_out == 5 * FPS
    assert report.fps > 0.0
    assert 0.0 <= report.dropped < 1.0
    assert 0.0 < report.latency_p50_ms <= report.latency_p95_ms
    assert report.memory_mb > 50.0
    assert report.growth_mb is None


def test_a_relay_needs_some_time() -> None:
    with pytest.raises(ConfigError, match="at least 5"):
        measure_relay((64, 48), (64, 48), "live", "openvino", 3)


def test_the_clip_of_a_relay_moves(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, 64, 48)
    with StreamSource(str(path)) as source:
        first, second = source.read(), source.read()
    assert not np.array_equal(first.pixels, second.pixels)
