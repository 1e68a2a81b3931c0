"""Commands at their limits: what a front end may send by mistake or on purpose."""

import pytest

from livestyle.controls import MOST_REGIONS, ControlBoard, Controls, parse_mix
from livestyle.errors import ConfigError

STYLES = ("one", "two", "three")


@pytest.fixture
def board() -> ControlBoard:
    return ControlBoard(Controls((("one", 1.0),)), STYLES)


@pytest.mark.parametrize("text", ["one:1e308,two:1e308", "one:1e-320,two", "one:nan", "one:inf", "one:0", "one:-1"])
def test_a_weight_that_would_leave_no_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        parse_mix(text, STYLES)


def test_shares_of_the_widest_weights_are_above_zero() -> None:
    (_, light), (_, heavy) = parse_mix("one:0.000001,two:1000000", STYLES)
    assert 0 < light < 1e-11
    assert light + heavy == pytest.approx(1)


@pytest.mark.parametrize("number", ["0", "4", "9" * 20, "9" * 5000])
def test_a_number_of_no_style_is_told(board: ControlBoard, number: str) -> None:
    with pytest.raises(ConfigError, match="there is no style number"):
        board.run(f"style {number}")
    assert board.run("style 3").style == "three"


def test_a_rectangle_goes_by_its_numbers_alone(board: ControlBoard) -> None:
    assert board.run("region 0, 0,\x0b0.5,\u20090.13\x0c=two").regions[0].mask == "0,0,0.5,0.13"


def test_regions_are_counted(board: ControlBoard) -> None:
    for number in range(MOST_REGIONS):
        board.run(f"region 0,0,1,{(number + 1) / 100}=two")
    with pytest.raises(ConfigError, match=f"there are {MOST_REGIONS} regions already"):
        board.run("region left=two")
    assert len(board.run("region 0,0,1,0.01=three").regions) == MOST_REGIONS  # one that is there may still change
    board.run("region 0,0,1,0.01=off")
    assert board.run("region left=two").regions[-1].mask == "left"
