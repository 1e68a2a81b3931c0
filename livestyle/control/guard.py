"""Keeps other web sites away from the page's server, which anybody's browser on this computer can reach.

Two attacks are met (https://owasp.org/www-community/attacks/csrf and DNS rebinding): a foreign page that posts
commands is refused by its Origin, and a foreign name that resolves to 127.0.0.1 is refused by its Host.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

SAFE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class LocalOnly:
    """ASGI middleware: known Host names only, and nothing but reading from another origin.

    Programs that are not browsers send no Origin and pass; a browser always sends it with a POST or a WebSocket.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str] = LOOPBACK_NAMES) -> None:
        """``names`` are the host names, lower case and without port, by which this server may be called."""
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
            return
        app = PlainTextResponse(refusal, 403) if refusal else self._app

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SAFE_HEADERS)
            await send(message)

        await app(scope, receive, send_safe)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name_of(host) not in self._names:
            return "livestyle answers only when called by the name of this computer, such as http://localhost"
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            return ""
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return "livestyle takes commands only from its own page"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "livestyle takes commands only from its own page"
        return ""


def _name_of(host: str) -> str:
    """The name in a Host header, lower case, without port and brackets; "" when it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
