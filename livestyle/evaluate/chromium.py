"""A headless Chromium steered over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from types import TracebackType
from typing import Any

from websockets.sync.client import connect

from livestyle.errors import BackendUnavailable, LivestyleError

NAMES = ("chromium", "google-chrome", "chrome", "chromium-browser")
PATIENCE = 60.0  # s that one answer may take
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


class Chromium:
    """One window of ``width`` x ``height`` with a fresh profile, at ``url``. Closing ends the browser."""

    def __init__(self, url: str, width: int = 1280, height: int = 800) -> None:
        """Raises `BackendUnavailable` without Chromium."""
        program = next((path for name in NAMES if (path := shutil.which(name))), None)
        if program is None:
            raise BackendUnavailable("the page is measured in Chromium: install chromium")
        self._numbers = itertools.count(1)
        with contextlib.ExitStack() as stack:
            profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            self._process = stack.enter_context(
                subprocess.Popen(
                    [program, *SWITCHES, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(self._process.terminate)
            with urllib.request.urlopen(f"http://127.0.0.1:{self._read_port()}/json/list", timeout=PATIENCE) as answer:
                target = next(entry for entry in json.load(answer) if entry["type"] == "page")
            link = connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=PATIENCE)
            self._link = stack.enter_context(link)
            self.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            self.call("Page.navigate", url=url)
            self._stack = stack.pop_all()

    def _read_port(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            found = re.search(r"DevTools listening on ws://[^:]+:(\d+)/", line)
            if found:
                return found[1]
        raise BackendUnavailable("Chromium did not start")

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a method of the protocol. Raises `LivestyleError` when it fails."""
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._link.recv(PATIENCE))
            if message.get("id") != number:
                continue
            if "error" in message:
                raise LivestyleError(f"Chromium refused {method}: {message['error'].get('message')}")
            return message["result"]

    def run(self, script: str) -> Any:
        """What an expression gives, or the promise that it is. Raises `LivestyleError` for its exception."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise LivestyleError(f"the page failed: {result['exceptionDetails'].get('text')} in {script[:80]}")
        return result["result"].get("value")

    def tap(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element, as a user would."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def close(self) -> None:
        """End the browser. May be called twice."""
        self._stack.close()

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
