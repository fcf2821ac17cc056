"""Event files hold what storage holds, and follow a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cluster.run_folder.evaluation_log import write_record
from cluster.run_folder.metrics_log import MetricsLog
from ganinv.errors import ConfigError
from launch.commands import tensorboard
from launch.options.places import StorageConfig
from launch.tensorboard.events import PAIRS, SAMPLES, RunEvents
from tests.support.made_runs import MadeRun, make_run

SIZE = 16  # pixels


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    made = make_run(tmp_path_factory.mktemp("made"), 64)
    made.save()
    conditions = {"images_seen": 0, "checkpoint": "000000000000"}
    write_record(made.store, conditions, {"eval/psnr_db_test": 12.5})
    return made


@pytest.fixture
def events(made: MadeRun, tmp_path: Path) -> Iterator[RunEvents]:
    log_rows(made, 3)
    found = RunEvents(StorageConfig(run=made.config.storage.run), tmp_path / "events")
    yield found
    found.close()


def log_rows(made: MadeRun, count: int) -> None:
    log = MetricsLog(made.store, 0)
    for i in range(count):
        log.append({"images_seen": 8.0 * (i + 1), "wall_time": 1e9 + i, "loss/d": 1.0 / (i + 1)})
    log.flush()


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


def test_they_hold_rows_evaluations_spectra_and_pictures(events: RunEvents) -> None:
    events.update()
    found = read(events.folder)
    loss = found.Scalars("loss/d")
    assert [(e.step, e.wall_time) for e in loss] == [(8, 1e9), (16, 1e9 + 1), (24, 1e9 + 2)]
    assert [e.value for e in loss] == pytest.approx([1.0, 0.5, 1 / 3])
    assert [(e.step, e.value) for e in found.Scalars("eval/psnr_db_test")] == [(0, 12.5)]
    assert len(found.Tags()["histograms"]) == 2
    (samples,) = found.Images("samples")
    assert (samples.width, samples.height) == (SAMPLES * SIZE, SIZE)
    (pairs,) = found.Images("held-out images and reconstructions")
    assert (pairs.width, pairs.height) == (PAIRS * SIZE, 2 * SIZE)


def test_only_news_are_written(made: MadeRun, events: RunEvents) -> None:
    assert events.update() > 0
    assert events.update() == 0
    log_rows(made, 4)
    assert events.update() == 1
    assert [e.step for e in read(events.folder).Scalars("loss/d")] == [8, 16, 24, 32]


def test_a_run_that_went_back_drops_what_it_had_logged(made: MadeRun, events: RunEvents) -> None:
    events.update()
    log_rows(made, 1)
    events.update()
    log_rows(made, 2)
    events.update()
    assert [e.step for e in read(events.folder).Scalars("loss/d")] == [8, 16]


def test_a_second_call_replaces_what_the_first_wrote(
    made: MadeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_rows(made, 3)
    words = [f"tensorboard.folder={tmp_path}", "tensorboard.follow=false"]
    for _ in range(2):
        assert tensorboard.main([made.config.storage.run, *words]) == 0
        assert f"tensorboard --logdir {tmp_path}" in capsys.readouterr().out.replace("\n", "")
    assert [e.step for e in read(tmp_path / "run").Scalars("loss/d")] == [8, 16, 24]


def test_the_command_refuses_what_it_cannot_follow() -> None:
    with pytest.raises(ConfigError, match=r"every_s = 0.0: must be above 0"):
        tensorboard.main(["runs/none", "tensorboard.every_s=0"])
