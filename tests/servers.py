"""Real RTMP servers for the tests, as `livestyle.evaluate.servers` runs them. A missing one fails the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from livestyle.evaluate.servers import RtmpServer, free_port, nginx_server, node_server, serving

__all__ = ["RtmpServer", "free_port", "nginx_rtmp", "node_media_server"]


@contextmanager
def nginx_rtmp(folder: Path) -> Iterator[RtmpServer]:
    """nginx-rtmp, running; its configuration and log lie under ``folder``."""
    with serving(nginx_server(folder)) as server:
        yield server


@contextmanager
def node_media_server(folder: Path) -> Iterator[RtmpServer]:
    """node-media-server, running; it keeps the last group of pictures and its players across publishers."""
    with serving(node_server(folder)) as server:
        yield server
