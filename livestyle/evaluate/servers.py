"""Real RTMP servers to measure and test with: nginx with its RTMP module, and npm's node-media-server.

Each is one process of its own, so that killing it, starting it again on the same port and stopping it in mid-breath
(SIGSTOP) reach the whole server. It stands on this machine's loopback, or in a `Room` behind a link that can be cut.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from livestyle.errors import BackendError, ConfigError

START_SECONDS = 60.0
NGINX_MODULE = "modules/ngx_rtmp_module.so"
NGINX_FOLDERS = ("/usr/lib/nginx", "/usr/lib64/nginx", "/usr/share/nginx")
NODE_PACKAGE = "node_modules/node-media-server"
NODE_FOLDER = "~/.cache/livestyle-tests"  # where .ci/run puts it; $NODE_MEDIA_SERVER names another


class Room:
    """A network namespace behind a virtual Ethernet link. Linux, root and the program ``ip`` are needed.

    ``address`` is where this machine finds it, ``prefix`` begins a command that is to run inside, where its servers
    are at 127.0.0.1 whether the link is cut or not.
    """

    def __init__(self, number: int) -> None:
        """Make it; ``number`` (0 to 62) tells the rooms of one process apart. Raises `BackendError`."""
        tag = f"{os.getpid() % 100_000}{number:02d}"
        self._name, self._outer, self._inner = f"livestyle-{tag}", f"lso{tag}", f"lsi{tag}"
        net = f"198.18.{os.getpid() % 256}"  # RFC 2544: for measurements, routed nowhere
        self.address = f"{net}.{4 * number + 2}"
        self.prefix = ("ip", "netns", "exec", self._name)
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._outer, "type", "veth", "peer", "name", self._inner, "netns", self._name)
            _ip("addr", "add", f"{net}.{4 * number + 1}/30", "dev", self._outer)
            _ip("-n", self._name, "addr", "add", f"{self.address}/30", "dev", self._inner)
            _ip("-n", self._name, "link", "set", "lo", "up")
            _ip("-n", self._name, "link", "set", self._inner, "up")
            _ip("link", "set", self._outer, "up")
        except BackendError:
            self.close()
            raise

    def cut(self) -> None:
        """Take the link down at the far end: what is sent from here on is lost without a word."""
        _ip("-n", self._name, "link", "set", self._inner, "down")

    def mend(self) -> None:
        """The link is up again."""
        _ip("-n", self._name, "link", "set", self._inner, "up")

    def close(self) -> None:
        """Remove it; the processes inside have ended before."""
        with contextlib.suppress(BackendError):
            _ip("netns", "del", self._name)  # and with it the link


def _ip(*arguments: str) -> None:
    binary = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
    if binary is None:
        raise BackendError("the program 'ip' is missing: apt install iproute2")
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"ip {' '.join(arguments)}: {' '.join(done.stderr.split())}")


class RtmpServer:
    """One RTMP server process, not started yet. ``url(name)`` is where a stream of that name is published and played.

    ``inside(name)`` is the same for processes in the server's own room. ``command`` gets the address and the port.
    """

    def __init__(self, name: str, command: Callable[[str, int], list[str]], log: Path, room: Room | None) -> None:
        self.name = name
        self.log = log
        self.room = room
        self.port = free_port()
        self._address = "127.0.0.1" if room is None else room.address
        self._command = [*(room.prefix if room else ()), *command("0.0.0.0" if room else "127.0.0.1", self.port)]
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str = "live") -> str:
        """The address of stream ``name`` in the application ``app``."""
        return f"rtmp://{self._address}:{self.port}/app/{name}"

    def inside(self, name: str = "live") -> str:
        """The same address for whoever is in the server's room."""
        return f"rtmp://127.0.0.1:{self.port}/app/{name}"

    def start(self) -> None:
        """Start the process and wait until it accepts connections. Raises `BackendError`."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection((self._address, self.port), timeout=1.0).close()
                return
            time.sleep(0.02)
        self.kill()
        raise BackendError(
            f"{self.name} does not start: {' '.join(self.log.read_text(errors='replace').split())[-300:]}"
        )

    def kill(self) -> None:
        """End the process at once, as a crash would; harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10.0)
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is read any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not running"
        os.kill(self._process.pid, number)


@contextlib.contextmanager
def serving(server: RtmpServer) -> Iterator[RtmpServer]:
    """The server, running for as long as the block lasts."""
    server.start()
    try:
        yield server
    finally:
        server.kill()


def nginx_server(folder: Path, room: Room | None = None) -> RtmpServer:
    """nginx-rtmp; its configuration and log are in a new folder under ``folder``. Raises `ConfigError` if missing."""
    found = find_nginx()
    if found is None:
        raise ConfigError("nginx with its RTMP module is missing: apt install nginx libnginx-mod-rtmp")
    binary, module = found
    home = _new_folder(folder, "nginx")
    log, config = home / "log", home / "nginx.conf"

    def command(address: str, port: int) -> list[str]:
        config.write_text(
            f"load_module {module};\ndaemon off;\nmaster_process off;\npid {home}/pid;\nerror_log {log} warn;\n"
            f"events {{ worker_connections 64; }}\nrtmp {{ server {{ listen {address}:{port};\n"
            # sync: by how much a player's pictures may be off after some were left out; 300 ms unless set
            "  application app { live on; wait_key on; idle_streams off; sync 10ms; } } }\n"
        )
        return [binary, "-p", str(home), "-e", str(log), "-c", str(config)]

    return RtmpServer("nginx", command, log, room)


def find_nginx() -> tuple[str, Path] | None:
    """nginx and its RTMP module, where both are installed."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    modules = (Path(folder) / NGINX_MODULE for folder in NGINX_FOLDERS)
    module = next((path for path in modules if path.exists()), None)
    return None if binary is None or module is None else (binary, module)


def node_server(folder: Path, room: Room | None = None) -> RtmpServer:
    """node-media-server, which keeps the last group of pictures, and its players across publishers.

    Raises `ConfigError` if it is missing.
    """
    package = Path(os.environ.get("NODE_MEDIA_SERVER") or NODE_FOLDER).expanduser() / NODE_PACKAGE
    node = shutil.which("node")
    if node is None or not (package / "bin/app.js").exists():
        raise ConfigError(f"node-media-server is missing: npm install --prefix {NODE_FOLDER} node-media-server@4.4.3")
    program = [node, str(package / "bin/app.js")]
    home = _new_folder(folder, "node")
    settings = json.loads((package / "bin/config.json").read_text())
    for unused in ("rtmps", "http", "https"):
        settings.pop(unused, None)
    config = home / "config.json"  # a copy, because it writes generated secrets back into it
    config.write_text(json.dumps(settings))

    def command(address: str, port: int) -> list[str]:
        rest = ["--http-port", str(free_port()), "--no-admin", "--data-path", str(home / "data")]
        return [*program, "-c", str(config), "-b", address, "--rtmp-port", str(port), *rest]

    return RtmpServer("node-media-server", command, home / "log", room)


SERVERS: dict[str, Callable[[Path, Room | None], RtmpServer]] = {"nginx": nginx_server, "node": node_server}


def _new_folder(folder: Path, name: str) -> Path:
    number = sum(1 for _ in folder.glob(f"{name}-*"))
    home = folder / f"{name}-{number}"
    home.mkdir()
    return home


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
