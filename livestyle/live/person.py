"""The masks ``person`` and ``background``: who stands in the picture, found by a network and carried on by the motion.

Every second frame goes through the network (MediaPipe's selfie segmentation, see `livestyle.artifacts.PersonFacts`); in
between, the mask moves with the optical flow that the stylizer has anyway. The last mask steadies the new one only
where the two all but agree once it has been moved, so that nothing trails behind a head that turns.

Numbers below were chosen on seven people cut out of photographs and moved over other photographs, at 640×360, where the
truth is known. Overlap with it, and mean error within three features of its border, while they move up to 21 pixels a
frame: as the network gives it, every frame 0.88, 0.099; every second frame and held between 0.83, 0.204, and moved
between 0.88, 0.109; with people, contrast and edges as below 0.90, 0.095 (every frame 0.91, 0.081). Those who stand
still: 0.93, 0.079 become 0.95, 0.064, and noise changes a ninth as much from frame to frame.
"""

import logging
import threading
from collections.abc import Callable, Iterable

import cv2
import numpy as np

from livestyle.controls import Region
from livestyle.errors import LivestyleError
from livestyle.live.flow import Floats, Motion
from livestyle.live.regions import MaskSource, Moment
from livestyle.media import Pixels

log = logging.getLogger(__name__)

Network = Callable[[Pixels], Floats]  # RGB (144, 256, 3) to how likely each pixel is a person, (144, 256) in [0, 1]

INPUT = (256, 144)  # width, height; other shapes are stretched to it, as MediaPipe does
EVERY = 2  # frames from one run of the network to the next
NOBODY = np.zeros((1, 1), np.float32)

LIKELY = (0.3, 0.8)  # what the network says, from certainly not to certainly; less is haze on walls and round lamps
SURE = 0.9  # of this a part of the picture must have some, and SMALLEST of the picture, to be a person
SMALLEST = 0.004
STAYS = 0.5  # where there was a person, that much is sure enough: nobody flickers who is hard to see

REACH = 4  # features round each that the border is sought in
SMOOTH = 1e-4  # of the guided filter: variance of colours in [0, 1] that is no edge
EDGE = (0.2, 0.8)  # what the filter gives, from outside to inside
FINEST = 160  # features across that the filter is computed at; its result is applied to as many as there are

KEPT = 0.6  # of the last mask where both agree,
AGREED = (0.05, 0.25)  # which they do up to the first difference, and from the second on not at all


class PersonMasks:
    """Two masks for regions. Used by one thread; the network is opened when a mask is first asked for.

    In a running stream that happens on a thread of its own, and until it is there neither mask covers anything.
    """

    def __init__(self, open_network: Callable[[], Network]) -> None:
        self._open_network = open_network
        self._network: Network | None = None
        self._opening: threading.Thread | None = None
        self._before: Moment | None = None  # the moment that the masks are of
        self._age = 0  # frames since the network ran
        self._person = self._background = NOBODY

    def sources(self) -> dict[str, MaskSource]:
        """The masks by name."""
        return {"person": self.person, "background": self.background}

    def prepare(self, regions: Iterable[Region]) -> None:
        """Open the network now if one of ``regions`` needs it. Raises what ``open_network`` does."""
        if any(region.mask in self.sources() for region in regions):
            self._network = self._open_network()

    def person(self, moment: Moment) -> Floats:
        """1 where there are people, float32 (h, w) with a value for each feature."""
        self._follow(moment)
        return self._person

    def background(self, moment: Moment) -> Floats:
        """1 where there are none."""
        self._follow(moment)
        return self._background

    def _follow(self, moment: Moment) -> None:
        """Bring the masks to ``moment``, unless they are of it."""
        before = self._before
        if before is not None and before.frame is moment.frame and before.grid == moment.grid:
            return
        network = self._network or self._open()
        if network is None:
            return
        motion = None
        if before is not None and before.frame is moment.before and before.grid == moment.grid:
            motion = moment.motion
        past = None if motion is None else move_mask(self._person, crop_motion(motion, moment))
        self._age += 1
        if past is not None and self._age < EVERY:
            self._person = past
        else:
            self._age = 0
            self._person = self._look(network, moment, past)
        self._background = np.float32(1.0) - self._person
        self._before = moment

    def _look(self, network: Network, moment: Moment, past: Floats | None) -> Floats:
        """A new mask, steadied by the ``past`` one."""
        pixels, size = moment.frame.pixels, moment.features
        answer = network(np.asarray(cv2.resize(pixels, INPUT, interpolation=cv2.INTER_AREA), np.uint8))
        likely = np.asarray(cv2.resize(answer, size, interpolation=cv2.INTER_AREA), np.float32)
        mask = keep_people(likely, past)
        if mask.any():
            picture = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
            mask = stretch(find_edges(stretch(mask, LIKELY), picture), EDGE)
        return mask if past is None else steady(mask, past)

    def _open(self) -> Network | None:
        if self._opening is None:  # once: what failed is not tried again with every frame
            self._opening = threading.Thread(target=self._open_beside, name="person")
            self._opening.start()
        return self._network

    def _open_beside(self) -> None:
        try:
            self._network = self._open_network()
        except LivestyleError as error:
            log.warning("people are not found: %s", error)


def keep_people(likely: Floats, past: Floats | None) -> Floats:
    """``likely`` without the parts that are no people: those with nothing sure in them, or too small."""
    sure = likely > SURE
    if past is not None:
        sure |= (likely > STAYS) & (past > 0.5)
    count, parts = cv2.connectedComponents((likely > LIKELY[0]).astype(np.uint8))
    cores = np.bincount(parts[sure], minlength=count)
    kept = cores >= SMALLEST * likely.size
    kept[0] = False
    return np.where(kept[parts], likely, np.float32(0.0))


def find_edges(mask: Floats, picture: Pixels) -> Floats:
    """``mask`` (h, w) with its border where ``picture`` (h, w, 3) changes colour; it may leave [0, 1] a little.

    The guided filter of He, Sun and Tang (TPAMI 2013) on colours, in its fast form: near every place the mask is a
    linear function of the three colours, which is computed at `FINEST` features across at most. On grey alone it makes
    the border worse: an error of 0.13 where there was 0.10.
    """
    height, width = mask.shape
    shrink = max(1, round(width / FINEST))
    size = max(1, width // shrink), max(1, height // shrink)
    guide = picture.astype(np.float32) * np.float32(1 / 255)
    small, coarse = (guide, mask) if shrink == 1 else (_resize(guide, size), _resize(mask, size))
    slopes, offset = _fit_colors(small, coarse)
    if shrink > 1:
        slopes, offset = _resize(slopes, (width, height)), _resize(offset, (width, height))
    return np.asarray(np.einsum("ijk,ijk->ij", slopes, guide) + offset, np.float32)


def _fit_colors(guide: Floats, mask: Floats) -> tuple[Floats, Floats]:
    """Slopes (h, w, 3) and offset (h, w) of the mask as a function of colour, averaged over all that reach a place."""
    planes: list[Floats] = [*(np.ascontiguousarray(guide[..., channel]) for channel in range(3)), mask]
    red, green, blue, level = (_average(plane) for plane in planes)
    pairs = {(i, j): _average(planes[i] * planes[j]) for i in range(3) for j in range(i, 4)}
    rr, rg, rb = pairs[0, 0] - red * red + SMOOTH, pairs[0, 1] - red * green, pairs[0, 2] - red * blue
    gg, gb, bb = pairs[1, 1] - green * green + SMOOTH, pairs[1, 2] - green * blue, pairs[2, 2] - blue * blue + SMOOTH
    with_red, with_green, with_blue = (
        pairs[i, 3] - mean * level for i, mean in enumerate((red, green, blue))
    )  # covariances with the mask; now those of the colours, inverted
    irr, irg, irb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    igg, igb, ibb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    whole = irr * rr + irg * rg + irb * rb
    by_red = (irr * with_red + irg * with_green + irb * with_blue) / whole
    by_green = (irg * with_red + igg * with_green + igb * with_blue) / whole
    by_blue = (irb * with_red + igb * with_green + ibb * with_blue) / whole
    offset = level - by_red * red - by_green * green - by_blue * blue
    return np.dstack([_average(by_red), _average(by_green), _average(by_blue)]), _average(offset)


def steady(mask: Floats, past: Floats) -> Floats:
    """``mask`` with a share of the ``past`` one, which lies where things are now, where the two agree."""
    near, far = AGREED
    share = np.float32(KEPT / (far - near)) * np.clip(np.float32(far) - np.abs(past - mask), 0.0, far - near)
    return np.asarray(mask + share * (past - mask), np.float32)


def stretch(mask: Floats, ends: tuple[float, float]) -> Floats:
    """``mask`` with the first of ``ends`` brought to 0 and the second to 1, and nothing beyond."""
    low, high = ends
    return np.asarray(np.clip((mask - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0), np.float32)


def crop_motion(motion: Motion, moment: Moment) -> Floats:
    """The flow (h, w, 2) of the picture alone, in features, without the margin."""
    (width, height), edge = moment.features, moment.grid.margin // moment.grid.stride
    return motion.flow[edge : edge + height, edge : edge + width]


def move_mask(mask: Floats, flow: Floats) -> Floats:
    """``mask`` (h, w) moved along the backward ``flow`` (h, w, 2)."""
    height, width = mask.shape
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _average(plane: Floats) -> Floats:
    return np.asarray(cv2.blur(plane, (2 * REACH + 1, 2 * REACH + 1)), np.float32)


def _resize(array: Floats, size: tuple[int, int]) -> Floats:
    shrinks = size[0] < array.shape[1]
    return np.asarray(
        cv2.resize(array, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.float32
    )
