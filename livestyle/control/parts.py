"""What the page can show and do beside the preview, given by whoever starts the server; None for what is not there."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from livestyle.control.preview import Preview


@dataclass(frozen=True, slots=True)
class PageParts:
    """``source`` gives unpainted frames, ``wall`` sheets of all styles.

    ``draw_mask`` takes grey levels, width and height of the mask ``painted``. ``record_clip`` gives an MP4 of the next
    seconds, blocks until it is there or its event is set, and raises `LivestyleError`.
    """

    source: Preview | None = None
    wall: Preview | None = None
    draw_mask: Callable[[bytes, int, int], None] | None = None
    record_clip: Callable[[threading.Event], bytes] | None = None


PREVIEW_ALONE = PageParts()
