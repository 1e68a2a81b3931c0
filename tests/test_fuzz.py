"""The fuzz targets of ``tests/fuzz``: what they found stays mended, and a few thousand changed inputs do no harm.

The long runs are made by hand, see ``tests/fuzz/harness.py``; here every input is the same every time.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).parent / "fuzz"
PLAIN = (
    "toml_config",
    "command_lines",
    "ctl_messages",
    "web_messages",
    "preset_files",
    "model_files",
    "cube_looks",
    "painted_masks",
    "osc_packets",
)
# libraries that could take the process with them run in one of their own: so many inputs
NATIVE = {"pictures_and_masks": 1000, "videos": 150}
UNIX = sys.platform != "win32"

pytestmark = pytest.mark.skipif(not UNIX, reason="the harness counts on Unix sockets and signals")


def test_every_target_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {"harness", *PLAIN, *NATIVE}


@pytest.mark.parametrize("name", PLAIN)
def test_changed_inputs_do_no_harm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    target = importlib.import_module(name).TARGET
    for data in (*target.found, *target.seeds):
        target.check(data)

    @settings(max_examples=500, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from([*target.found, *target.seeds]), st.integers(0, 2**32))
    def change(data: bytes, seed: int) -> None:
        target.check(target.change(data, Random(seed)))

    change()


@pytest.mark.parametrize("name", NATIVE)
def test_changed_files_do_no_harm_to_the_process(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--random", str(NATIVE[name])]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    kept = tmp_path / "livestyle-fuzz" / name / "last"
    assert done.returncode == 0, f"{done.stderr[-2000:]}\n{kept.read_bytes()[:500]!r}"
    assert done.stdout.startswith(f"{NATIVE[name]} inputs")
