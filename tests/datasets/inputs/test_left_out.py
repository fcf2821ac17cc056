"""What is left out: counted by reason, limited by a ratio, stored in the report of a build."""

import json

import pytest

from datasets.inputs.left_out import IMAGES, ROWS, LeftOut
from datasets.sources.base import Skipped
from datasets.sources.unreadable import Unreadable
from ganinv.errors import DataError


def _some() -> LeftOut:
    found = LeftOut()
    for number in range(30):
        found.add("files in the format .heic", f"{number}.heic")
    found.add("rows without an image", "x.png", of=ROWS)
    found.note("hidden files", ".a.png")
    found.totals = {IMAGES: 100, ROWS: 100}
    return found


def test_reasons_are_counted_and_keep_their_first_names() -> None:
    found = _some()
    assert (found.count(IMAGES), found.count(ROWS), found.share(IMAGES)) == (30, 1, 0.3)
    assert found.line() == (
        "files in the format .heic: 30; rows without an image: 1; hidden files: 1"
    )
    assert found.line(of=ROWS, names=True) == "rows without an image: 1 (x.png)"
    assert len(found.groups["files in the format .heic"].examples) == 20
    assert not LeftOut()


def test_the_ratio_is_that_of_images_or_rows() -> None:
    _some().check(0.3, "data.max_unreadable")
    with pytest.raises(DataError) as caught:
        _some().check(0.29, "data.max_unreadable")
    assert str(caught.value) == (
        "30 of 100 images would be left out (files in the format .heic: 30 (0.heic, 1.heic, 2.heic,"
        " 3.heic, 4.heic, …)), over data.max_unreadable=0.29; repair, convert or remove them, or"
        " raise that ratio"
    )


def test_a_report_keeps_it() -> None:
    facts = json.loads(json.dumps(_some().facts()))
    assert LeftOut.load(facts).facts() == facts


def test_unreadable_images_share_the_ratio_with_what_was_left_out_before() -> None:
    """30 of 100 files were left out before, and the other 70 are decoded."""
    unreadable = Unreadable(total=70, max_ratio=0.32, option="o", before=_some())
    unreadable.add(Skipped("a", "b"))
    unreadable.add(Skipped("c", "d"))
    assert unreadable.left_out.count(IMAGES) == 32
    with pytest.raises(DataError, match=r"3 of 70 .*beside images left out before \(files in"):
        unreadable.add(Skipped("e", "f"))
