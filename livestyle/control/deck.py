"""One address for each command, for button decks that know nothing but addresses: ``/api/command/NAME/ARGUMENT``.

POST is enough; a page of another site cannot send it here (`livestyle.control.guard`). Elgato's Stream Deck and the
like can only GET, which any link or picture in a browser does too: that takes the user's token, as ``Authorization:
Bearer TOKEN`` or as ``?token=TOKEN``, even where the page itself asks for none.
"""

from collections.abc import Callable
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from livestyle.control.access import Access, open_network
from livestyle.control.state import encode_json
from livestyle.controls import read_command
from livestyle.errors import ConfigError

PREFIX = "/api/command/"


class TokenInAddress:
    """ASGI middleware in front of the guard, which reads the token of a command's address where it reads headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if token:
                header = (b"authorization", b"Bearer " + token.encode("latin-1", errors="replace"))
                scope = {**scope, "headers": [header, *scope["headers"]]}
        await self._app(scope, receive, send)


def make_routes(access: Access, run: Callable[[str], Response]) -> list[Route]:
    """The routes; ``run`` gets a command line and gives the answer."""

    async def obey(request: Request) -> Response:
        if request.method != "POST" and (problem := _find_problem(request, access)):
            return Response(encode_json({"error": problem}), 403, media_type="application/json")
        return run(f"{request.path_params['name']} {request.path_params.get('argument', '')}")

    async def refuse(_: Request) -> Response:
        return Response(status_code=405, headers={"allow": "GET, POST"})

    routes: list[Route] = []  # with one for HEAD first, which Starlette would take for a GET
    for path in (PREFIX + "{name}", PREFIX + "{name}/{argument:path}"):
        routes.append(
            Route(path, refuse, methods=["HEAD"])
        )  # Starlette gives a GET's route HEAD, which must do nothing
        routes.append(Route(path, obey, methods=["GET", "POST"]))
    return routes


def format_address(text: str, port: int) -> str:
    """The address on this computer that runs a command line by GET. Raises `ConfigError` for what is no command."""
    name, argument = read_command(text)
    path = PREFIX + name + (f"/{quote(argument, safe=':,=')}" if argument else "")
    return f"http://127.0.0.1:{port}{path}?token={open_network()[0].token}"


def _find_problem(request: Request, access: Access) -> str:
    """Why a GET does nothing, "" if it may."""
    try:
        asked = access if access.token else open_network()[0]
    except ConfigError as error:
        return str(error)
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and asked.accepts(token.strip()):
        return ""
    return "send POST, or take the address that 'livestyle ctl --address COMMAND' prints: GET needs the token"
