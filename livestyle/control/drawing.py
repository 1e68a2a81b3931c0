"""The route of the mask that is painted on the page: ``/api/mask?width=W&height=H`` (POST), W·H grey levels as bytes.

No picture format is decoded: a body of another length than W·H is refused.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livestyle.control.answers import answer_json, read_body, refuse

LONGEST = 256  # levels, each side of a mask; features are a quarter of the picture's pixels, so more would not show


def mask_route(draw: Callable[[bytes, int, int], None]) -> Route:
    """``draw`` gets levels, width and height of every mask that is well formed."""

    async def post_mask(request: Request) -> Response:
        sides = [request.query_params.get(name, "") for name in ("width", "height")]
        if not all(side.isascii() and side.isdecimal() and len(side) < 4 for side in sides):
            return refuse(f"a mask has a width and a height, 1 to {LONGEST} each", 400)
        width, height = map(int, sides)
        if not (1 <= width <= LONGEST and 1 <= height <= LONGEST):
            return refuse(f"a mask has a width and a height, 1 to {LONGEST} each", 400)
        levels = await read_body(request, width * height)
        if levels is None or len(levels) != width * height:
            return refuse(f"a mask of {width}x{height} has {width * height} bytes", 413 if levels is None else 400)
        draw(levels, width, height)
        return answer_json(b'{"mask": "painted"}')

    return Route("/api/mask", post_mask, methods=["POST"])
