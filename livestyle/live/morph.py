"""Timed morphs: from one choice of styles to the next in a set time, by mixing kernels.

Styles are linear in their kernels, so a picture between two mixes is painted with the mix between them; a region fades
by its share. The result is a `Controls` value like any other, which a painter paints without knowing of morphs.
"""

from dataclasses import replace

from livestyle.controls import Controls, Mix, Region

FIRST_STEP = 0.05  # s, the most that a change counts as old when it is first seen: no frame may have come for long


class Morph:
    """Follows the controls with a delay of ``controls.morph`` seconds. Used by one thread."""

    def __init__(self) -> None:
        self._shown: Controls | None = None
        self._wanted: Controls | None = None
        self._from: Controls | None = None
        self._done = 0.0  # s of the morph that runs
        self._time = 0.0

    @property
    def running(self) -> bool:
        """Whether the last result was still on its way."""
        return self._from is not None

    def follow(self, wanted: Controls, seconds: float) -> Controls:
        """What to paint with at the time ``seconds`` of any clock; all but mix and regions is that of ``wanted``."""
        step = max(0.0, seconds - self._time)
        self._time = seconds
        before = self._wanted
        self._wanted = wanted
        if before is None or self._shown is None:
            self._shown = wanted
        elif (wanted.mix, wanted.regions) != (before.mix, before.regions):
            self._from, self._done = self._shown, 0.0
            step = min(step, FIRST_STEP)
        if self._from is None:
            self._shown = wanted
            return wanted
        self._done += step
        if self._done >= wanted.morph * (1 - 1e-9):
            self._from, self._shown = None, wanted
            return wanted
        self._shown = blend_controls(self._from, wanted, self._done / wanted.morph)
        return self._shown


def blend_controls(one: Controls, other: Controls, share: float) -> Controls:
    """``other`` with mix and regions at ``share`` in [0, 1] of the way to it from ``one``."""
    mix = blend_mixes(one.mix, other.mix, share)
    return replace(other, mix=mix, regions=blend_regions(one.regions, other.regions, share))


def blend_mixes(one: Mix, other: Mix, share: float) -> Mix:
    """The mix at ``share`` in [0, 1] of the way from ``one`` to ``other``."""
    if one == other:
        return other
    weights = {style: weight * (1.0 - share) for style, weight in one}
    for style, weight in other:
        weights[style] = weights.get(style, 0.0) + weight * share
    return tuple((style, weight) for style, weight in weights.items() if weight > 0.0)


def blend_regions(one: tuple[Region, ...], other: tuple[Region, ...], share: float) -> tuple[Region, ...]:
    """Regions of both change their mix; those of ``one`` alone fade out where they lie, those of ``other`` fade in."""
    coming = {region.mask: region for region in other}
    blended: list[Region] = []
    for old in one:
        new = coming.pop(old.mask, None)
        if new is None:
            blended.append(replace(old, share=old.share * (1.0 - share)))
        else:
            grown = old.share + (new.share - old.share) * share
            blended.append(Region(old.mask, blend_mixes(old.mix, new.mix, share), grown))
    blended += [replace(new, share=new.share * share) for new in coming.values()]
    return tuple(blended)
