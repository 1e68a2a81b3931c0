"""How the page's server reads bodies and answers: JSON on one line, text, and files in parts."""

import re

from starlette.requests import Request
from starlette.responses import Response

from livestyle.control.state import encode_json


async def read_body(request: Request, limit: int) -> bytes | None:
    """The body of a request; None when it has more than ``limit`` bytes, of which no more are kept."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def answer_json(data: bytes, status: int = 200) -> Response:
    """An answer that is JSON already."""
    return Response(data, status, media_type="application/json")


def refuse(reason: str, status: int) -> Response:
    """``{"error": reason}``, one line for people."""
    return answer_json(encode_json({"error": reason}), status)


def answer_file(request: Request, data: bytes, media_type: str, name: str) -> Response:
    """A file, or the one range of it that is asked for: Safari plays no video from a server that knows no ranges."""
    headers = {"content-disposition": f'inline; filename="{name}"', "accept-ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d{0,12})-(\d{0,12})", request.headers.get("range", ""))
    if asked is None or asked[1] == asked[2] == "":
        return Response(data, media_type=media_type, headers=headers)
    size = len(data)
    start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
    end = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
    if start > end:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {start}-{end}/{size}"
    return Response(data[start : end + 1], 206, media_type=media_type, headers=headers)
