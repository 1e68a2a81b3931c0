"""Who may reach the page: this computer alone, or a network whose clients show a token.

The token is 128 random bits, made once and kept in the user's data folder, so that a phone, a Stream Deck or a kiosk
that knew it yesterday still does after a restart. It is shown on the terminal and in no log.
"""

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import platformdirs

from livestyle.errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,100}")  # as `secrets.token_urlsafe` makes them


@dataclass(frozen=True, slots=True)
class Access:
    """Where the page's server listens and what it asks for. By default loopback, where no token is needed.

    ``host`` is the address to bind, "" for every one of this computer. With a ``token`` nothing is answered without
    it, from wherever it is asked.
    """

    host: str = "127.0.0.1"
    token: str = ""

    @property
    def address(self) -> str:
        """The name to call this computer by in an address: on a network its own IP address."""
        address = self.host or find_address()
        return f"[{address}]" if ":" in address else address

    def knows(self, name: str) -> bool:
        """Whether ``name``, of a Host header, is one that this computer goes by.

        A site that points its own name at this computer (DNS rebinding) fails here. On a network every IP address is
        good: nobody can point one elsewhere.
        """
        if self.host:
            return name in LOOPBACK_NAMES or name == self.host
        own = socket.gethostname().lower()
        return name in ("localhost", own, f"{own.partition('.')[0]}.local") or _is_address(name)

    def accepts(self, token: str) -> bool:
        """Whether ``token`` is the right one, in a time that does not depend on it."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())

    def accepts_pass(self, key: str) -> bool:
        """The same for a `pass_key`."""
        return hmac.compare_digest(key.encode(errors="replace"), self.pass_key.encode())

    @property
    def pass_key(self) -> str:
        """What a browser keeps in a cookie: made from the token, which it does not give away."""
        return hmac.digest(self.token.encode(), b"livestyle page", hashlib.sha256).hex()


def open_network() -> tuple[Access, Path]:
    """Access for a whole network, with the token of the user's data folder, and that token's file.

    Raises `ConfigError` when the file cannot be made, or holds no token.
    """
    file = platformdirs.user_data_path("livestyle", appauthor=False) / "lan-token"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        token = _read_token(file) or _make_token(file)
    except OSError as error:
        raise ConfigError(f"--lan keeps its token in {file}, which cannot be used: {error.strerror or error}") from None
    return Access("", token), file


def _make_token(file: Path) -> str:
    token = secrets.token_urlsafe(16)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(token + "\n")
    return token


def _read_token(file: Path) -> str:
    """The token in ``file``, which nobody else may read from then on; "" where there is no file."""
    try:
        with file.open("rb") as source:
            text = source.read(1000).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    if not TOKEN.fullmatch(text):
        raise ConfigError(f"{file} holds no token: delete it, and --lan makes a new one")
    file.chmod(0o600)
    return text


def find_address() -> str:
    """The IP address of this computer in its network; 127.0.0.1 where it has none."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # RFC 5737, RFC 3849
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))  # of a datagram socket: looks up the route and sends nothing
                return str(probe.getsockname()[0])
        except OSError:  # no route there
            continue
    return "127.0.0.1"


@lru_cache(maxsize=4096)
def client_key(host: str) -> str:
    """Whom the limits count an address for: an IPv4 address, or the network of 64 bits that one IPv6 client has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
