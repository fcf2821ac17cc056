"""Labels as words."""

from typing import Any

import pytest

from ganinv.errors import ConfigError, DataError
from launch.editing.labels import Label, check_attributes


@pytest.mark.parametrize(
    ("text", "attributes", "expected"),
    [
        ("Smiling", {"Smiling": 1}, True),
        ("Smiling", {"Smiling": -1}, False),
        ("Smiling", {"Smiling": True}, True),
        ("Smiling", {"Smiling": "no"}, False),
        ("Smiling", {}, None),
        ("Smiling", {"Smiling": None}, None),
        ("glasses=none", {"glasses": "none"}, True),
        ("glasses != none", {"glasses": "round"}, True),
        ("glasses!=none", {"glasses": "none"}, False),
        ("glasses=round|kurt", {"glasses": "kurt"}, True),
        ("glasses=round|kurt", {"glasses": "none"}, False),
        ("glasses!=round|kurt", {"glasses": "kurt"}, False),
        ("odd: digit=1|3|5", {"digit": 3}, True),
        ("at noon: time=12:00", {"time": "12:00"}, True),
        ("time=12:00", {"time": "12:00"}, True),
        ("digit=7", {"digit": 7}, True),
        ("radius>0.5", {"radius": 0.6}, True),
        ("radius<0.5", {"radius": 0.6}, False),
        ("age>30", {"age": "31"}, True),
        ("a b=c=d", {"a b": "c=d"}, True),
    ],
)
def test_what_a_label_says(text: str, attributes: dict[str, Any], expected: bool | None) -> None:
    assert Label.parse(text).of(attributes) is expected


def test_a_title_names_a_label() -> None:
    assert Label.parse(" dark hair : hair=#2c1b18|#4a312c").text == "dark hair"
    assert Label.parse("time=12:00").text == "time=12:00"


@pytest.mark.parametrize("text", ["", "=x", "!=x", ">1", "a:", ": a=1"])
def test_words_that_are_no_label(text: str) -> None:
    with pytest.raises(ConfigError, match="is no label; write NAME"):
        Label.parse(text)


def test_comparisons_need_numbers() -> None:
    with pytest.raises(DataError, match=r"'radius>big' is no number"):
        Label.parse("radius>big")
    with pytest.raises(DataError, match=r"'radius>1': the attribute 'big' is no number"):
        Label.parse("radius>1").of({"radius": "big"})
    with pytest.raises(DataError, match=r"glasses = 'round'.*write glasses=round"):
        Label.parse("glasses").of({"glasses": "round"})


def test_an_attribute_that_no_image_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"attribute 'hat'; the data have eyes, mouth"):
        check_attributes([Label.parse("hat")], [{"eyes": 1}, {"mouth": 2}])
