"""A real Chromium for tests, driven through chromedriver's plain HTTP (https://www.w3.org/TR/webdriver2/)."""

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that the standard gives to element references
CHROMIUM = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
CHROMEDRIVER = shutil.which("chromedriver")

ARROW_RIGHT = "\ue014"
SPACE = " "


class Browser:
    """One headless window with a fresh profile in ``folder``. Closing ends the browser and its driver."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 800) -> None:
        if not (CHROMEDRIVER and CHROMIUM):
            pytest.fail("needs chromium and chromium-driver: run .ci/run, which installs them")
        self._driver = subprocess.Popen(
            [CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._base = f"http://127.0.0.1:{self._read_port()}"
        arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP *.example 127.0.0.1",  # other sites, without a network
            f"--window-size={width},{height}",
            f"--user-data-dir={folder}",
        ]
        always = {
            "browserName": "chrome",
            "pageLoadStrategy": "eager",  # the preview stream never ends loading
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": always}})
        self._base += f"/session/{session['sessionId']}"
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def _read_port(self) -> int:
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                return int(found[1])
        raise AssertionError("chromedriver did not start")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=40) as answer:
            return json.load(answer)["value"]

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def find(self, selector: str) -> str:
        return str(self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/click")

    def type(self, text: str, selector: str = "body") -> None:
        """Send keys to an element as a keyboard would."""
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def run(self, script: str) -> Any:
        """Value of a script's ``return``."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, script: str, seconds: float = 15.0) -> Any:
        """Wait until the script returns something true."""
        return wait_for(lambda: self.run(script), f"the page never made true: {script}", seconds)

    def log(self, kind: str) -> list[dict[str, Any]]:
        """New entries of the "browser" (console) or the "performance" (network) log."""
        return list(self._call("POST", "/se/log", {"type": kind}))

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))

    def screenshot(self, path: Path) -> None:
        path.write_bytes(self.picture())

    def close(self) -> None:
        self._call("DELETE", "")
        self._driver.terminate()
        self._driver.wait(10)
        assert self._driver.stdout is not None
        self._driver.stdout.close()

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(check: Callable[[], Any], problem: str, seconds: float = 15.0) -> Any:
    """Poll until ``check`` returns something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = check()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError(problem)
