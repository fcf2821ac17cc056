"""Evaluation while training: when it is due, what it gives, and what it leaves beside the run."""

import logging
from dataclasses import replace

import pytest

from cluster.run_folder.corrupt_samples import RunQuarantine, quarantined
from cluster.run_folder.evaluation_log import read_records
from datasets.shards.shard import load_table
from launch.evaluation.in_training import Evaluation
from tests.support.made_runs import MadeRun, make_run

WORDS = ("train.log_every=32", "evaluate.every=96", "evaluate.features=[own,pixels]")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    return make_run(tmp_path_factory.mktemp("run"), 160, *WORDS)


def evaluation(made: MadeRun) -> Evaluation:
    return Evaluation(made.config, made.session, data=made.data, index=made.index, run=made.store)


def test_every_figure_is_in_the_row_and_recorded_with_what_it_depends_on(made: MadeRun) -> None:
    made.session.images_seen = 32
    row = evaluation(made)()
    assert {"eval/psnr_db_test", "eval/psnr_db_generated", "eval/enc", "eval/ssim_test"} < set(row)
    assert {"eval/fd_pixels", "eval/recall_own", "eval/feature_distance_pixels_test"} < set(row)
    (record,) = read_records(made.store)
    assert record["figures"] == row
    assert record["checkpoint"] is None
    assert (record["images_seen"], record["real"], record["generated"]) == (32, 20, 64)
    assert record["data_fingerprint"] == made.index.fingerprint
    assert record["features"]["own"]["network"] == (
        "discriminator, block -2, mean over pixels, of this run at 32 images"
    )
    assert evaluation(made)() == row
    assert len(read_records(made.store)) == 1


def test_it_is_due_with_the_first_row_every_so_often_and_at_the_end(made: MadeRun) -> None:
    watched = evaluation(made)
    given = []
    for seen in (32, 64, 96, 128, 160, 192, made.config.train.images):
        made.session.images_seen = seen
        if watched():
            given.append(seen)
    assert given == [32, 96, 192, made.config.train.images]


def test_a_data_set_without_held_out_images_has_figures_of_generated_ones(
    made: MadeRun,
) -> None:
    splits = {**made.index.splits, "test": ()}
    none = replace(made, index=replace(made.index, splits=splits))
    none.session.images_seen = 32
    row = evaluation(none)()
    assert {"eval/psnr_db_generated", "eval/enc"} < set(row)
    assert not {"eval/psnr_db_test", "eval/fd_pixels"} & set(row)


def test_a_damaged_held_out_image_is_left_aside_named_and_counted(
    made: MadeRun, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # Ray raises the level of all handlers when imported
    (shard, *_) = made.index.splits["test"]
    member = list(load_table(made.data, shard))[3]
    tar = bytearray(made.data.read(shard.name))
    tar[member.image_start + member.image_bytes // 2] ^= 1
    made.session.images_seen = 96
    whole = evaluation(made)()
    good = made.data.read(shard.name)
    made.data.write(shard.name, bytes(tar))
    try:
        record = RunQuarantine(made.store).record
        damaged = Evaluation(
            made.config,
            made.session,
            data=made.data,
            index=made.index,
            run=made.store,
            record=record,
        )
        row, again = damaged(), damaged()
    finally:
        made.data.write(shard.name, good)
    assert row == again
    assert row["eval/psnr_db_test"] != whole["eval/psnr_db_test"]
    assert row["eval/psnr_db_generated"] == whole["eval/psnr_db_generated"]
    assert [sample.key for sample in quarantined(made.store)] == [member.key]
    assert caplog.text.count(f"image '{member.key}'") == 1
    assert [r["real"] for r in read_records(made.store) if r["damaged"] == 1] == [19]
