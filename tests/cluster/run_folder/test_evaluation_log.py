"""Records of evaluations: one per model and conditions, and no duplicate after a resume."""

import json
import math
from typing import Any

import pytest

from cluster.run_folder.evaluation_log import FOLDER, forget_after, read_records, write_record
from ganinv.seams.stores import Store

CHECKPOINT = "000000000032-0badcafe"


def conditions(images_seen: int, **changes: Any) -> dict[str, Any]:
    return {"checkpoint": None, "images_seen": images_seen, "seed": 0, **changes}


def test_records_hold_conditions_and_figures_with_null_for_non_finite_values(store: Store) -> None:
    figures = {"eval/enc": 0.1 + 0.2, "eval/psnr_db_test": math.inf}
    name = write_record(store, conditions(16), figures)
    (record,) = read_records(store)
    assert record == json.loads(store.read(name))
    assert record.items() > conditions(16).items()
    assert record["figures"] == {"eval/enc": 0.1 + 0.2, "eval/psnr_db_test": None}


def test_an_evaluation_under_equal_conditions_replaces_the_previous_one(store: Store) -> None:
    for value, changes in ((1, {}), (2, {}), (3, {"seed": 1}), (4, {"checkpoint": CHECKPOINT})):
        write_record(store, conditions(32, **changes), {"eval/enc": value})
    values = [record["figures"]["eval/enc"] for record in read_records(store)]
    assert sorted(values) == [2, 3, 4]


def test_a_resumed_run_deletes_only_the_evaluations_that_it_will_repeat(store: Store) -> None:
    for images in (16, 32, 48):
        write_record(store, conditions(images), {})
    write_record(store, conditions(48, checkpoint="000000000048-0badcafe"), {})
    forget_after(store, 32)
    left = [(r["images_seen"], r["checkpoint"]) for r in read_records(store)]
    assert left == [(16, None), (32, None), (48, "000000000048-0badcafe")]
    write_record(store, conditions(48), {})
    assert len(read_records(store)) == 4


@pytest.mark.parametrize("text", ['{"images_se', "[]", '{"images_seen": 16}', "copy"])
def test_a_record_that_cannot_be_read_is_named_and_left_out(
    store: Store, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = write_record(store, conditions(32), {"eval/enc": 1.0})
    content = store.read(name) if text == "copy" else text.encode()
    store.write(f"{FOLDER}000000000016-training-00000000.json", content)
    store.write(f"{FOLDER}.DS_Store", b"of a file manager")
    assert [record["images_seen"] for record in read_records(store)] == [32]
    assert "000000000016-training-00000000.json cannot be read and is left out" in caplog.text
