"""What runs inside the test machine: the cases of webcam and virtual camera, then livestyle from the one to the other.

They run one after the other, each on the devices as it finds them; a line of JSON for each goes to /mnt/results.
"""

import json
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import cv2
import guest_virtualcam  # noqa: F401, enters its cases
import guest_webcam  # noqa: F401, enters its cases
from guest import (
    CASES,
    DISCONNECT,
    EXCLUSIVE,
    OUT,
    PATIENCE,
    CallProgram,
    assert_bars,
    case,
    load_loopback,
    load_webcam,
    set_control,
    virtual_cameras,
    wait_for,
)

from livestyle.control.ctl import send_command
from livestyle.errors import LivestyleError
from livestyle.live.outlet import UNWATCHED

REPORT = Path("/run/report.json")


@case
def live_from_webcam_to_virtual_camera() -> str:
    """Bars come through; the webcam is unplugged and comes back; nobody looks, somebody looks; a clean end."""
    command = [sys.executable, "-B", "-m", "livestyle", "live", "--source", "camera", "--style", "none"]
    command += ["--sink", f"virtualcam:{EXCLUSIVE}", "--size", "160x90", "--fps", "15", "--report", str(REPORT)]
    with (OUT / "live.log").open("w") as log:
        live = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: 11 in virtual_cameras() or live.poll() is not None, "livestyle writes to the virtual camera")
        wait_for(lambda: sink_status() == UNWATCHED, "it is seen that nobody looks")
        with CallProgram(EXCLUSIVE) as program:
            assert_bars(program.look())
            wait_for(lambda: sink_status() == "ok", "it is seen that somebody looks")
            set_control(DISCONNECT, 1)
            assert_bars(program.look())  # the last picture goes on
            wait_for(lambda: report()["reconnects"] == 1, "the webcam is opened again")
            seen = program.look()
            assert_bars(seen)
        cv2.imwrite(str(OUT / "live.png"), seen[:, :, ::-1])
        wait_for(lambda: sink_status() == UNWATCHED, "it is seen that nobody looks any more")
        live.send_signal(signal.SIGINT)
        assert live.wait(PATIENCE) == 0
    finally:
        live.kill()
    final = json.loads(REPORT.read_text())
    unseen = final["frames_in"] - final["frames_out"] - final["dropped"]
    assert unseen in (0, 1), final  # one may have been at the painter's when it ended
    return f"{final['frames_in']} frames in, {final['frames_out']} out while watched, {final['dropped']} not painted"


def report() -> dict[str, object]:
    return send_command("status")["report"]  # type: ignore[return-value]


def sink_status() -> str:
    try:
        return str(report()["sinks"][f"virtualcam:{EXCLUSIVE}"])  # type: ignore[index]
    except LivestyleError:
        return "livestyle does not answer"


def main() -> None:
    load_webcam()
    load_loopback()
    for name, function in CASES.items():
        begun = time.monotonic()
        try:
            note, passed = function(), True
        except Exception:
            note, passed = traceback.format_exc(), False
        seconds = time.monotonic() - begun
        with (OUT / "results").open("a") as results:
            results.write(json.dumps({"case": name, "passed": passed, "seconds": seconds, "note": note}) + "\n")
        print(f"{'ok    ' if passed else 'FAILED'} {seconds:5.1f} s  {name}: {note}", flush=True)


if __name__ == "__main__":
    main()
