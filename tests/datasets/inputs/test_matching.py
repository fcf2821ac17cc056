"""Rows of tables and images: names that are not written in the same way."""

import unicodedata

import pytest

from datasets.inputs.matching import match_rows
from ganinv.errors import DataError

NFC, NFD = (unicodedata.normalize(form, "Zoë.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("row", "image"),
    [
        ("a.png", "a.png"),
        ("x/a.png", "x/a.png"),
        ("a.png", "x/y/a.png"),
        ("y/a.png", "x/y/a.png"),
        ("photos/x/a.png", "x/a.png"),
        (NFC, NFD),
        (NFD, f"x/{NFC}"),
        ("A.JPG", "a.jpg"),
        ("a.jpg", "a.png"),
        ("000001.jpg", "x/000001.PNG"),
        ("a", "a.png"),
        ("./x/a.png", "x/a.png"),
        (r"x\a.png", "x/a.png"),
        (" a.png ", "a.png"),
    ],
)
def test_a_row_finds_its_image(row: str, image: str) -> None:
    assert match_rows({row: 1}, ["other.png", image], "here") == ({image: 1}, [])


@pytest.mark.parametrize(
    ("row", "image"),
    [("b.png", "a.png"), ("y/a.png", "x/a.png"), ("a.png", "aa.png"), ("a.b.png", "a.c.png")],
)
def test_a_row_finds_no_other_image(row: str, image: str) -> None:
    assert match_rows({row: 1}, [image], "here") == ({}, [row])


def test_exact_names_come_first_and_the_rest_is_left() -> None:
    rows = {"a.jpg": 1, "a.png": 2, "x/a.png": 3, "b.png": 4}
    matched, left = match_rows(rows, ["a.png", "x/a.png"], "here")
    assert matched == {"a.png": 2, "x/a.png": 3}
    assert left == ["a.jpg", "b.png"]


def test_a_row_that_may_mean_several_images_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"here: the row 'a\.png' matches 'x/a\.png' and 'y/a\.png'"
    ):
        match_rows({"a.png": 1}, ["x/a.png", "y/a.png"], "here")
