"""A live stream over HTTP for the tests, as a server of FLV streams gives it."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def served(film: bytes) -> Iterator[str]:
    """The address of ``film``, whose length is not said. Every client gets all of it, at once, and then the end."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):  # the client has left
                self.wfile.write(film)

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/live"
        finally:
            server.shutdown()
            thread.join()
