"""Morphs: what is painted between two choices of styles, on the frames' clock, and that nothing jumps."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from textures import make_frame, make_texture

from livestyle.artifacts import load_model
from livestyle.controls import Controls, Region
from livestyle.live.morph import Morph, blend_controls
from livestyle.live.stylizer import Stylizer

ONE = Controls((("a", 1.0),), morph=1.0)
TWO = replace(ONE, mix=(("b", 1.0),))


def weights(controls: Controls) -> dict[str, float]:
    return {style: round(weight, 6) for style, weight in controls.mix}


def test_a_switch_takes_its_time_and_ends_exactly() -> None:
    morph = Morph()
    assert morph.follow(ONE, 7.0) is ONE
    assert not morph.running
    seen = [weights(morph.follow(TWO, 7.0 + 0.04 * step)) for step in range(1, 26)]
    assert seen[0] == {"a": 0.96, "b": 0.04}
    assert seen[11] == {"a": 0.52, "b": 0.48}
    assert seen[23] == {"a": 0.04, "b": 0.96}
    assert seen[24] == {"b": 1.0}
    assert not morph.running
    assert morph.follow(TWO, 8.1) is TWO


def test_without_a_time_it_is_instant_and_a_first_choice_always_is() -> None:
    morph = Morph()
    quick = replace(TWO, morph=0.0)
    morph.follow(ONE, 0.0)
    assert morph.follow(quick, 0.01) is quick
    assert not morph.running
    assert Morph().follow(TWO, 100.0) is TWO


def test_a_change_on_the_way_goes_on_from_what_shows() -> None:
    morph = Morph()
    morph.follow(ONE, 0.0)
    morph.follow(TWO, 0.04)
    halfway = morph.follow(TWO, 0.5)
    third = replace(ONE, mix=(("c", 1.0),))
    turned = morph.follow(third, 0.5)
    assert weights(turned) == weights(halfway)
    assert weights(morph.follow(third, 1.0)) == {"a": 0.25, "b": 0.25, "c": 0.5}
    assert weights(morph.follow(replace(third, morph=0.0), 1.04)) == {"c": 1.0}


def test_a_change_after_a_long_silence_starts_at_the_beginning() -> None:
    morph = Morph()
    morph.follow(ONE, 0.0)
    assert weights(morph.follow(TWO, 500.0)) == {"a": 0.95, "b": 0.05}


def test_a_clock_that_steps_back_neither_ends_nor_undoes_a_morph() -> None:
    morph = Morph()
    morph.follow(ONE, 100.0)
    morph.follow(TWO, 100.04)
    before = weights(morph.follow(TWO, 100.5))
    assert weights(morph.follow(TWO, 3.0)) == before
    assert weights(morph.follow(TWO, 3.1))["b"] == pytest.approx(before["b"] + 0.1)


def test_what_is_no_style_changes_at_once() -> None:
    morph = Morph()
    morph.follow(ONE, 0.0)
    changed = morph.follow(replace(TWO, strength=0.3, keep_colors=True, coherence=False), 0.02)
    assert (changed.strength, changed.keep_colors, changed.coherence) == (0.3, True, False)


def test_regions_come_and_go_by_their_share() -> None:
    left, circle = Region("left", (("b", 1.0),)), Region("circle", (("c", 1.0),))
    one = replace(ONE, regions=(left,))
    changed = replace(left, mix=(("d", 1.0),))
    assert blend_controls(one, replace(ONE, regions=(left, circle)), 0.25).regions == (
        left,
        replace(circle, share=0.25),
    )
    assert blend_controls(one, ONE, 0.25).regions == (replace(left, share=0.75),)
    mixed = blend_controls(one, replace(ONE, regions=(changed,)), 0.25).regions
    assert mixed == (Region("left", (("b", 0.75), ("d", 0.25))),)


@pytest.mark.parametrize("earlier", [0, 4])
@pytest.mark.parametrize("change", ["style", "region", "strength kept low"])
def test_a_morph_over_a_second_has_no_jump(change: str, earlier: int) -> None:
    """On a frozen picture, the first of a stream or one with a past, whose strokes coherence has carried along."""
    model = load_model()
    first, second = model.styles[:2]
    start = Controls(((first, 1.0),), morph=1.0, strength=0.6 if change == "strength kept low" else 1.0)
    goal = replace(start, mix=((second, 1.0),))
    if change == "region":
        goal = replace(start, regions=(Region("circle", ((second, 1.0),)),))
    stylizer, morph = Stylizer(model), Morph()
    whole = make_texture(180, 120, seed=6)
    frames = [make_frame(np.ascontiguousarray(whole[:, n : n + 160]), n) for n in range(earlier + 1)]
    for frame in frames:
        last = stylizer.paint(frame, morph.follow(start, 0.0))
    pictures = [last.pixels.astype(np.float32)]
    for step in range(1, 31):
        pictures.append(stylizer.paint(frame, morph.follow(goal, step / 30)).pixels.astype(np.float32))
    assert stylizer.encodes == earlier + 1
    jumps = [float(np.abs(after - before).mean()) for before, after in itertools.pairwise(pictures)]
    for index, jump in enumerate(jumps):
        neighbours = jumps[max(0, index - 1) : index] + jumps[index + 1 : index + 2]
        assert jump <= 2.0 * max(neighbours) + 0.05
    assert max(jumps) < 0.15 * float(np.abs(pictures[-1] - pictures[0]).mean())
    assert np.array_equal(pictures[-1], stylizer.paint(frame, goal).pixels)
