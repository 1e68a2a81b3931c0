"""Motion by the model's own flow graph, for backends that have it computed beside everything else.

It answers what `livestyle.live.flow` does, from the same views, and goes on from its last answer.
"""

import numpy as np

from livestyle.backends import Backend, Graph, Handle
from livestyle.live.flow import Motion, View

FLOWS = ("auto", "dis", "learned")
CARDS = ("tensorrt", "rtx")  # where ``auto`` is ``learned``; on a processor it takes 11 ms at 640×360, and DIS 1.5


class LearnedFlow:
    """The flow graph and the answer that it goes on from."""

    def __init__(self, backend: Backend, graph: Graph) -> None:
        self._backend = backend
        self._graph = graph
        self._last: Handle = None

    def motion(self, previous: View, current: View) -> tuple[Motion, Handle]:
        """Motion between two views of one size, and the same where it was computed. Raises `BackendError`."""
        if self._last is None:
            self._last = self._backend.upload(np.zeros((1, 3, *current.luma.shape), np.float32))
        upload = self._backend.upload
        self._last = self._graph(
            luma=upload(current.luma[None, None]),
            past_luma=upload(previous.luma[None, None]),
            past_motion=self._last,
        )["motion"]
        found = self._backend.download(self._last)[0]
        flow = np.ascontiguousarray(found[:2].transpose(1, 2, 0), np.float32)
        return Motion(flow, np.ascontiguousarray(found[2], np.float32)), self._last

    def forget(self) -> None:
        """Begin from nothing: the next picture is of something else."""
        self._last = None
