"""The verbs that look at a run, on a run that was made in this process."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.run_folder.metrics_log import MetricsLog
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.errors import DataError, GanInvError, StorageError
from ganinv.pictures import to_bytes
from ganinv.seams.engine import no_reduction
from ganinv.seams.stores import Store
from ganinv.training.config import lay_out_batch
from ganinv.training.loop import new_row
from ganinv.training.session import train_batch
from launch.commands import checkpoints, report
from launch.evaluation.trained import load_trained
from launch.pages.facts import headlines
from launch.pages.sections import Images
from tests.support.made_runs import make_run
from tests.support.pages import Document


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run of a few steps, checkpointed and logged as training does."""
    made = make_run(tmp_path_factory.mktemp("run"), 160, "train.images=96")
    session, config = made.session, made.config.train
    log = MetricsLog(made.store, 0)
    data = DataSet(store=made.data, index=made.index)
    source = ShardBatches([data], "train", seed=0, global_batch=16)
    for batch in source.batches(session.position):
        train_batch(session, batch, config, lay_out_batch(config, 1), no_reduction)
        log.append(new_row(session, no_reduction) | {"throughput/images_per_second": 100.0})
        if session.images_seen >= config.images:
            break
    log.flush()
    return made.save()


def test_the_page_shows_pictures_of_the_averaged_model(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.html"
    options = [f"storage.run={run}", f"report.file={file}"]
    options += ["report.samples=8", "report.pairs=4", "report.rows=2"]
    assert report.main([*options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(file)}
    document = Document(file.read_text())
    assert "PVDGAN after 96 images" in document.text
    pictures = document.images()
    assert {picture.shape for picture in pictures} == {(16, 16, 3)}
    # samples, pairs of both kinds, interpolations with their ends, traversals, noise
    assert len(pictures) == 8 + 2 * 2 * 4 + 2 * (9 + 2) + 3 * 2 * 9 + 2 * (2 + 6)
    np.testing.assert_array_equal(np.stack(pictures[:8]), samples_of(run, 8))
    assert "the first 20 of the 20 in the split test" in document.text


def samples_of(run: str, count: int) -> Images:
    samples = load_trained(open_store(run)).model.sample(count, 0)
    return to_bytes(samples).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("no test", "has no split 'test'"),
        ("other data", "is not the data set that"),
        ("no data", "has moved, give its place with data.url="),
        ("no access", "does not answer"),
    ],
)
def test_without_held_out_images_there_is_a_page_that_says_why(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, reason: str
) -> None:
    index = Index.load(open_store(load_trained(open_store(run)).config.data.url))

    def load(store: Store) -> Index:
        if damage == "no access":
            raise StorageError("the store does not answer")
        if damage == "no data":
            raise DataError(f"{store.url} holds no data set")
        without = replace(index, splits={**index.splits, "test": ()})
        if damage == "no test":
            without.__dict__["fingerprint"] = index.fingerprint
        return without

    monkeypatch.setattr(Index, "load", load)
    file = tmp_path / "page.html"
    options = [f"storage.run={run}", f"report.file={file}"]
    options += ["report.samples=1", "report.pairs=1", "report.rows=1"]
    assert report.main(options) == 0
    document = Document(file.read_text())
    assert document.text.count(reason) == 3
    assert ("none in the data set" in document.text) == (damage == "no test")
    assert document.count("img") == 1 + 2 + 3 * 9
    if damage != "no test":  # where it was said to be
        with pytest.raises(GanInvError, match=reason):
            report.main([*options, f"data.url={tmp_path}"])


def test_held_out_images_are_shown_where_the_data_set_lies_now(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(load_trained(open_store(run)).config.data.url, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    options = [f"storage.run={run}", "report.samples=1", "report.pairs=1", "report.rows=1"]
    assert report.main([*options, "data.url=moved"]) == 0
    document = Document((tmp_path / "report.html").read_text())
    assert f"{tmp_path}/moved at 16 pixels" in document.text
    assert "No held-out images" not in document.text


def test_records_that_cannot_be_read_stop_no_report(
    run: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"images_seen": 112, "loss')
    (copy / "evaluations").mkdir()
    (copy / "evaluations" / "000000000016-training-00000000.json").write_text("{")
    (copy / "config.yaml").unlink()  # the manifest knows the options
    file = tmp_path / "page.html"
    options = [f"storage.run={copy}", f"report.file={file}"]
    assert report.main([*options, "report.samples=1", "report.pairs=1", "report.rows=1"]) == 0
    assert f"{copy}/metrics.jsonl, line 7 cannot be read" in caplog.text
    assert "global_batch: 16" in file.read_text()


def test_headlines_are_those_of_the_checkpoint(run: str) -> None:
    trained = load_trained(open_store(run))
    rows = [{"images_seen": 64.0, "eval/enc": 0.5}, {"images_seen": 128.0, "eval/enc": 0.25}]
    (encoder_loss,) = (h for h in headlines(trained, rows) if h.label == "Encoder loss")
    assert encoder_loss.value == "0.5"
    assert "taken at 64 images" in encoder_loss.meaning


def test_checkpoints_are_listed(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoints.main([f"storage.run={run}", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["checkpoints"]
    assert [row["images_seen"] for row in rows] == [96]
    assert checkpoints.main([f"storage.run={run}"]) == 0
    assert rows[0]["name"][:12] in capsys.readouterr().out


def test_a_folder_without_checkpoints_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no checkpoint yet"):
        report.main([f"storage.run={tmp_path}"])
