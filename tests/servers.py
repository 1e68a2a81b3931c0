"""Real RTMP servers for the tests: Debian's nginx with libnginx-mod-rtmp, and npm's node-media-server.

Both run as one process of their own on a free port of 127.0.0.1, and can be killed, started again on the same port and
stopped in mid-breath (SIGSTOP), which is what the tests are about. A missing server fails the test; it never skips.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_SECONDS = 20.0
NGINX_MODULE = "modules/ngx_rtmp_module.so"
NGINX_MODULE_FOLDERS = ("/usr/lib/nginx", "/usr/lib64/nginx", "/usr/share/nginx")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtmpServer:
    """One RTMP server process. ``url(name)`` is where a stream of that name is published and played."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str = "live") -> str:
        """The address of stream ``name`` in the application ``app``."""
        return f"rtmp://127.0.0.1:{self.port}/app/{name}"

    def start(self) -> None:
        """Start the process and wait until it accepts connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
                return
            except OSError:
                time.sleep(0.02)
        self.kill()
        pytest.fail(f"{self._command[0]} did not start: {self.log.read_text(errors='replace')[-800:]}")

    def kill(self) -> None:
        """End the process at once, as a crash would; harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10.0)
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is read any more."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


def _find_nginx_module() -> Path:
    for folder in NGINX_MODULE_FOLDERS:
        if (Path(folder) / NGINX_MODULE).exists():
            return Path(folder) / NGINX_MODULE
    pytest.fail("the RTMP module of nginx is missing: run `.ci/run`, which installs libnginx-mod-rtmp")


@contextmanager
def _running(server: RtmpServer) -> Iterator[RtmpServer]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def nginx_rtmp(folder: Path) -> Iterator[RtmpServer]:
    """nginx-rtmp, running; its configuration and log lie under ``folder``.

    One process without a master, so that killing and stopping it reaches the whole server.
    """
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        pytest.fail("nginx is missing: run `.ci/run`, which installs nginx and libnginx-mod-rtmp")
    port = free_port()
    home = folder / f"nginx-{port}"
    home.mkdir()
    log = home / "log"
    config = home / "nginx.conf"
    config.write_text(
        f"load_module {_find_nginx_module()};\n"
        f"daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log {log} warn;\n"
        "events { worker_connections 64; }\n"
        f"rtmp {{ server {{ listen 127.0.0.1:{port};\n"
        "  application app { live on; wait_key on; idle_streams off; } } }\n"
    )
    with _running(RtmpServer([binary, "-p", str(home), "-e", str(log), "-c", str(config)], port, log)) as server:
        yield server


@contextmanager
def node_media_server(folder: Path) -> Iterator[RtmpServer]:
    """node-media-server, running; it keeps the last group of pictures and its players across publishers.

    Its own copy of the configuration, because it writes generated secrets back into that file.
    """
    modules = Path(os.environ.get("NODE_MEDIA_SERVER") or Path.home() / ".cache/livestyle-tests/node_modules")
    package = modules / "node-media-server"
    node = shutil.which("node")
    if node is None or not (package / "bin/app.js").exists():
        pytest.fail("node-media-server is missing: run `.ci/run`, which installs it (npm node-media-server@4.4.3)")
    port = free_port()
    home = folder / f"nms-{port}"
    home.mkdir()
    settings = json.loads((package / "bin/config.json").read_text())
    for unused in ("rtmps", "http", "https"):
        settings.pop(unused, None)
    config = home / "config.json"
    config.write_text(json.dumps(settings))
    command = [node, str(package / "bin/app.js"), "-c", str(config), "-b", "127.0.0.1", "--rtmp-port", str(port)]
    command += ["--http-port", str(free_port()), "--no-admin", "--data-path", str(home / "data")]
    with _running(RtmpServer(command, port, home / "log")) as server:
        yield server
