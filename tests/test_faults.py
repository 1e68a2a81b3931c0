"""``evaluate faults``: flashes and beeps through a real relay that is disturbed for seconds instead of half an hour."""

import json
import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from livestyle.cli import main
from livestyle.errors import ConfigError
from livestyle.evaluate.beacon import (
    FLASH,
    FPS,
    RATE,
    SECONDS,
    Ear,
    Flash,
    draw_flash,
    make_sound,
    read_flash,
    write_beacon,
)
from livestyle.evaluate.faults import plan_faults
from livestyle.evaluate.faults_report import Fault, follow, format_faults, judge, pair
from livestyle.evaluate.viewer import Event, watch

KINDS = ("origin killed", "target stopped", "publisher away")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("size", [(640, 360), (322, 182), (96, 64)])
def test_a_flash_is_read_back_at_every_second(size: tuple[int, int]):
    for second in range(SECONDS):
        for place in range(FLASH):
            picture = draw_flash(Flash(second, place), *size)[:, :, 0]
            assert read_flash(picture) == Flash(second, place)
            dim = (90 + 0.35 * picture + np.arange(size[1])[:, None] % 5).astype(np.uint8)
            assert read_flash(dim) == Flash(second, place)


def test_what_is_no_flash_is_not_taken_for_one():
    noise = np.random.default_rng(0)
    assert all(read_flash(noise.integers(0, 255, (64, 96), np.uint8)) is None for _ in range(50))
    blended = draw_flash(Flash(3, 0), 96, 64)[:, :, 0] // 2 + draw_flash(Flash(4, 0), 96, 64)[:, :, 0] // 2
    assert read_flash(blended) is None


def test_beeps_are_heard_where_they_are_and_known_by_their_pitch():
    ear, heard = Ear(), []
    sound = np.concatenate([make_sound(second)[::2] for second in (5, 6, 63, 0)]).astype(np.float32) / 32768
    sound = np.concatenate((np.zeros(RATE, np.float32), sound))
    for start in range(0, len(sound), 1024):
        heard += ear.hear(sound[start : start + 1024], 10.0 + start / RATE)
    assert [beep.second for beep in heard] == [5, 6, 63, 0]
    assert [beep.began for beep in heard] == pytest.approx([11.0, 12.0, 13.0, 14.0], abs=0.003)


def stream(late: float, *, start: int = 3, seconds: int = 6, lead: float = 100.0) -> list[Event]:
    """Events of a stream whose picture comes ``late`` (s) after its sound, 0.2 s after it was made."""
    events = []
    for second in range(start, start + seconds):
        for place in range(FPS):
            at, says = 640.0 + second + place / FPS + 0.2, (second, place) if place < FLASH else (-1, -1)
            events.append(Event("picture", at, at - lead + late, 3.0, *says))
        events += [Event("sound", 640.2 + second + n / 47, 540.2 + second + n / 47) for n in range(47)]
        events.append(Event("beep", 640.3 + second, 540.2 + second, second=second))
    return sorted(events, key=lambda event: event.at)


@pytest.mark.parametrize("late", [0.0, 0.05, -0.12])
def test_skew_and_latency_are_what_they_are(late: float):
    sights = pair(stream(late), 640.0)
    assert len(sights) == 6
    assert [sight.skew_ms for sight in sights] == pytest.approx([1000 * late] * 6, abs=0.2)
    assert [sight.latency_ms for sight in sights] == pytest.approx([200.0] * 6, abs=0.2)


def test_a_lost_first_picture_of_a_flash_is_no_skew():
    events = [event for event in stream(0.0) if event.kind != "picture" or event.place != 0]
    assert [sight.skew_ms for sight in pair(events, 640.0)] == pytest.approx([0.0] * 6, abs=0.2)


def test_a_fault_is_over_when_new_pictures_with_sound_flow_again():
    before, after = stream(0.0, start=3, seconds=6), stream(0.06, start=14, seconds=6)
    still = [Event("picture", 649.3 + n / FPS, 549.3 + n / FPS, 0.01) for n in range(140)]
    report = judge(
        size="64x48", server="nginx", seed=1, started=640.0, seconds=22.0, faults=[Fault("origin killed", 9.0, 12.5)],
        events=before + still + after, recorded=before, memory=[(0.0, 100.0), (20.0, 101.0)], reconnects=1, problems=(),
        note="",
    )  # fmt: skip
    (outcome,) = report.outcomes
    assert outcome.back_s == pytest.approx(1.7, abs=0.1)
    assert outcome.skew_before_ms == pytest.approx(0.0, abs=0.2)
    assert outcome.worst_skew_ms == pytest.approx(60.0, abs=0.2)
    assert report.beyond == 6
    assert outcome.memory_mb == 101.0
    assert report.recording_flashes == 6
    table = format_faults(report).split("\n\n")[1].splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert "| 101.0 |" in table[-1]
    assert report.stream.backwards == 0


def test_time_stamps_that_step_back_are_counted():
    events = stream(0.0)
    assert follow(events, live=True).backwards == 0
    assert follow([*events, *stream(0.0)], live=True).backwards == 2


def test_every_kind_of_fault_has_its_turn_and_a_seed_repeats_it():
    planned = plan_faults(KINDS, 7, 7 * 60.0, seed=4)
    assert {fault.kind for fault in planned[:3]} == set(KINDS)
    assert planned == plan_faults(KINDS, 7, 7 * 60.0, seed=4)
    assert planned != plan_faults(KINDS, 7, 7 * 60.0, seed=5)
    assert all(60 * n < fault.at and fault.at + fault.lasts < 60 * n + 40 for n, fault in enumerate(planned))
    with pytest.raises(ConfigError, match="do not fit"):
        plan_faults(KINDS, 7, 60.0, seed=4)


def test_a_recording_is_read_like_a_stream(tmp_path: Path):
    path = tmp_path / "clip.mkv"
    write_beacon(path, 96, 64, seconds=3)
    with av.open(str(path)) as container:
        sights = pair(list(watch(container)), 0.0)
    assert [sight.skew_ms for sight in sights] == pytest.approx([0.0] * len(sights), abs=4.0)
    assert len(sights) >= 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_relay_is_disturbed_and_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "faults"
    kinds = ("target stopped", "origin cut off" if os.geteuid() == 0 else "origin stopped")
    arguments = ["--minutes", "0.8", "--count", "2", "--size", "160x96", "--out", str(out)]
    assert run("evaluate", "faults", *arguments, *(part for kind in kinds for part in ("--kind", kind))) == 0
    assert "| slowest return |" in capsys.readouterr().out
    report = json.loads((out / "faults.json").read_text())
    assert report["problems"] == []
    assert sorted(outcome["fault"]["kind"] for outcome in report["outcomes"]) == sorted(kinds)
    assert report["stream"]["pictures"] > 100
    assert report["stream"]["sounds"] > 100
    assert report["recording"]["backwards"] == 0
    assert report["recording"]["pictures"] > 100
    picture = cv2.imread(str(out / "faults.png"))
    assert picture is not None
    assert picture.std() > 5.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--minutes", "1"), "do not fit"),
        (("--server", "abacus"), "nginx"),
        (("--kind", "earthquake"), "origin killed"),
        (("--size", "big"), "640x360"),
    ],
)
def test_a_run_that_makes_no_sense_is_told(
    arguments: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("evaluate", "faults", "--out", str(tmp_path), *arguments) == 2
    assert said in capsys.readouterr().err
