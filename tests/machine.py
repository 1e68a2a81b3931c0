"""A second computer for the tests: Debian's kernel in QEMU with drivers that this machine's kernel may not load.

Its files are this machine's, read-only over 9p, so that it runs this Python and this tree; /mnt there is a folder here.
Nothing of it needs hardware help: where there is no KVM, as here, the processor is emulated, some twenty times slower.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("LIVESTYLE_TEST_KERNEL", Path.home() / ".cache/livestyle-tests/kernel"))
LIMIT = 1800.0  # s, of a machine that hangs: it takes two minutes where both cores are free, but they may not be


def run_guest(script: Path, folder: Path) -> str:
    """Boot, run ``script`` by this Python with ``folder`` at /mnt, power off; what came over the serial line."""
    kernel, files = FOLDER / "vmlinuz", FOLDER / "initramfs"
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None or not kernel.exists() or not files.exists():
        pytest.fail(f"QEMU or {kernel} is missing: run `.ci/run`, which fetches both")
    python = f"{sys.executable} -X faulthandler -B {script}"
    path = os.pathsep.join(str(each) for each in (HERE.parent, HERE))
    (folder / "start").write_text(
        "export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run XDG_RUNTIME_DIR=/run/user\n"
        "mkdir -m 700 /run/user\n"
        f"cd /run && PYTHONPATH={path} {python}\n"
        'echo "the script ended with $?"\n'
    )
    share = "local,path={},mount_tag={},security_model=none{}"
    command = [qemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048", "-no-reboot"]
    command += ["-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", str(kernel), "-initrd", str(files)]
    command += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
    command += ["-virtfs", share.format("/", "host", ",readonly=on,multidevs=remap")]
    command += ["-virtfs", share.format(folder, "out", "")]
    with (folder / "console").open("w+b") as console:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            console.write(b"\nthe machine was stopped: it took too long\n")
        console.seek(0)
        return console.read().decode(errors="replace")
