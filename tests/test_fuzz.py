"""The fuzz targets of ``tests/fuzz``: what they found stays mended, and a few thousand changed inputs do no harm.

The long runs are made by hand, see ``tests/fuzz/harness.py``; here every input is the same every time.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "fuzz"
INPUTS = {  # target -> so many inputs, each in a process of its own: they keep servers, and a library could crash
    "toml_config": 500,
    "command_lines": 500,
    "ctl_messages": 500,
    "web_messages": 500,
    "preset_files": 500,
    "model_files": 500,
    "cube_looks": 500,
    "painted_masks": 500,
    "osc_packets": 500,
    "pictures_and_masks": 1000,
    "videos": 150,
}
UNIX = sys.platform != "win32"

pytestmark = pytest.mark.skipif(not UNIX, reason="the harness counts on Unix sockets and signals")


def test_every_target_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {"harness", *INPUTS}


@pytest.mark.parametrize("name", INPUTS)
def test_changed_inputs_do_no_harm(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--random", str(INPUTS[name])]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    kept = tmp_path / "livestyle-fuzz" / name / "last"
    assert done.returncode == 0, f"{done.stderr[-2000:]}\n{kept.read_bytes()[:500]!r}"
    assert done.stdout.startswith(f"{INPUTS[name]} inputs")
