"""What a worker exports: names that Prometheus accepts, and states that sum to the wall time."""

import time
import urllib.request
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.monitoring.exporter import Exporter
from cluster.monitoring.meters import TIME_STATES
from cluster.monitoring.metrics_table import metrics_table
from cluster.run_folder.group_history import REASONS, GroupRecord, summarise
from ganinv.evaluation.figures import (
    ENCODER_LOSS,
    IMAGE_SETS,
    distance_name,
    pair_name,
    set_name,
)
from ganinv.metrics.base import INCEPTION, pair_metrics, set_metrics
from ganinv.training.statistics import all_statistics, derived_statistics
from tests.support.runs import train_locally

STATISTICS = tuple(all_statistics().values())
# Outcomes of a verb on a store, and the additional ones of verbs that write.
OUTCOMES = {"ok", "StorageError", "StorageMissingError", "StorageUnavailableError"}
WRITE_OUTCOMES = {"StorageExistsError", "StorageFullError"}


def scraped(exporter: Exporter) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def states(exporter: Exporter) -> dict[str, float]:
    return {
        dict(labels)["state"]: value
        for (name, labels), value in scraped(exporter).items()
        if name == "ganinv_time_seconds_total"
    }


class Clock:
    """The exporter's clock, in seconds; tests advance it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.time = time.time

    def perf_counter(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("cluster.monitoring.exporter.time", clock)
    return clock


def test_states_sum_to_the_wall_time_although_they_nest(clock: Clock) -> None:
    with closing(Exporter("run", 0, 1, "127.0.0.1", STATISTICS)) as exporter:
        clock.now_s += 3.0
        exporter.enter("compute")
        for _ in range(20):
            with exporter.timed("data"):
                clock.now_s += 0.25
            with exporter.timed("compute"):
                clock.now_s += 0.25
                with exporter.timed("communicate"):
                    clock.now_s += 0.5
        seconds = states(exporter)
    assert sum(seconds.values()) == clock.now_s == 23.0
    assert {state: value for state, value in seconds.items() if value} == {
        "restart": 3.0,
        "data": 5.0,
        "compute": 5.0,
        "communicate": 10.0,
    }


def test_a_state_is_seen_while_it_lasts(clock: Clock) -> None:
    with (
        closing(Exporter("run", 0, 1, "127.0.0.1", STATISTICS)) as exporter,
        exporter.timed("data"),
    ):
        assert states(exporter)["data"] == 0.0
        clock.now_s += 0.5
        assert states(exporter)["data"] == 0.5


def test_the_hooks_of_a_step_reach_their_counters_and_histograms(clock: Clock) -> None:
    steps, sums = 10, 3
    with closing(Exporter("run", 0, 1, "127.0.0.1", STATISTICS)) as exporter:
        for _ in range(steps):
            with exporter.timed("data"):
                clock.now_s += 0.25
            with exporter.timed("compute"):
                for _ in range(sums):
                    with exporter.timed("communicate"):
                        clock.now_s += 0.5
            exporter.stepped(16, applied=True)
        found = scraped(exporter)
    labels = frozenset({("run", "run"), ("rank", "0")})
    assert found["ganinv_images_total", labels] == 16 * steps
    assert found["ganinv_steps_total", labels] == steps
    assert found["ganinv_nonfinite_steps_total", labels] == 0
    histograms = {
        "data_wait": (steps, 0.25 * steps),
        "step": (steps, 0.5 * sums * steps),  # with the sums over workers inside
        "all_reduce": (sums * steps, 0.5 * sums * steps),
    }
    for name, (count, seconds) in histograms.items():
        assert found[f"ganinv_{name}_seconds_count", labels] == count
        assert found[f"ganinv_{name}_seconds_sum", labels] == seconds


def test_the_end_of_a_save_or_an_evaluation_is_known() -> None:
    pause = ("ganinv_last_pause_timestamp_seconds", frozenset({("run", "run")}))
    with closing(Exporter("run", 0, 1, "127.0.0.1", STATISTICS)) as exporter:
        with exporter.timed("compute"):
            pass
        assert pause not in scraped(exporter)
        with exporter.timed("evaluate"):
            began = time.time()
        assert scraped(exporter)[pause] >= began


def test_rank_0_alone_exports_the_metrics_of_the_run() -> None:
    session = train_locally("pvdgan", 16)
    row = {"images_seen": 16.0, "loss/d": 1.5, "loss/enc": 0.5, "latent/active": 3.0}
    row |= {"eval/psnr_db_test": 17.5, "eval/fd_lite0": 250.0}
    with (
        closing(Exporter("run", 0, 2, "127.0.0.1", STATISTICS)) as first,
        closing(Exporter("run", 1, 2, "127.0.0.1", STATISTICS)) as second,
    ):
        for exporter in (first, second):
            exporter.stepped(8, applied=True)
            exporter.stepped(8, applied=False)
            exporter.logged(row, session)
            exporter.committed(16)
            exporter.restarted({"failure": 2}, 100)
            exporter.planned(100, 50)
            exporter.requested("read", "ok", 5)
            exporter.requested("write", "ok", 5)
            exporter.requested("write", "StorageError", 0)
        one, two = scraped(first), scraped(second)
    run, rank = ("run", "run"), ("rank", "0")
    assert one["ganinv_images_total", frozenset([run, rank])] == 16
    assert one["ganinv_nonfinite_steps_total", frozenset([run, rank])] == 1
    assert one["ganinv_loss", frozenset([run, ("term", "enc")])] == 0.5
    assert one["ganinv_evaluation", frozenset([run, ("figure", "psnr_db_test")])] == 17.5
    assert one["ganinv_evaluation", frozenset([run, ("figure", "fd_lite0")])] == 250
    assert one["ganinv_world_size", frozenset([run])] == 2
    assert one["ganinv_restarts_total", frozenset([run, ("reason", "failure")])] == 2
    assert one["ganinv_target_images", frozenset([run])] == 100
    assert one["ganinv_checkpoint_every_images", frozenset([run])] == 50
    assert one["ganinv_latent_elements", frozenset([run])] == session.objective.latent.size
    now = time.time()
    last_step = one["ganinv_last_step_timestamp_seconds", frozenset([run, rank])]
    assert now - 60 < last_step <= now
    names = {name for name, _ in two}
    assert "ganinv_images_total" in names
    assert not names & {
        "ganinv_loss",
        "ganinv_evaluation",
        "ganinv_world_size",
        "ganinv_restarts_total",
    }


def test_a_run_exports_the_gauges_and_spectra_that_its_method_declares() -> None:
    """And no gauge of another method; scheduled options by the label `option`."""
    session = train_locally("pvdgan", 16)
    declared = (*session.objective.statistics, *derived_statistics(session.objective))
    few = tuple(row for row in declared if row.name in ("d/real", "grad_norm/g", "loss/d"))
    row = {"images_seen": 16.0, "schedule/train.beta2": 0.75, "schedule/objective.lambda_r1": 2.0}
    row |= {row.name: 0.5 for row in declared}
    run = ("run", "run")
    with closing(Exporter("run", 0, 1, "127.0.0.1", few)) as exporter:
        exporter.logged(row, session)
        found = scraped(exporter)
    names = {name for name, _ in found}
    assert {"ganinv_discriminator_real", "ganinv_generator_gradient_norm", "ganinv_loss"} <= names
    assert not names & {"ganinv_discriminator_fake", "ganinv_latent_active_elements"}
    options = {key: value for key, value in found.items() if key[0] == "ganinv_schedule"}
    assert {dict(labels)["option"]: value for (_, labels), value in options.items()} == {
        "train.beta2": 0.75,
        "objective.lambda_r1": 2.0,
    }
    for trace, spectrum in session.objective.spectra(session.state).items():
        for quantile, value in (("0.0", "min"), ("1.0", "max")):
            labels = frozenset([run, ("trace", trace), ("quantile", quantile)])
            expected = float(getattr(spectrum.variance_L, value)())
            assert found["ganinv_latent_variance", labels] == pytest.approx(expected)


def test_series_of_a_rank_and_of_the_run_are_bounded() -> None:
    """Both ranks have seen every event: every error of storage, every figure."""
    session = train_locally("pvdgan", 16)
    row = {"images_seen": 16.0} | dict.fromkeys(all_statistics(), 1.0)
    row["schedule/train.learning_rate"] = 0.5
    row |= {name: 1.0 for name in every_figure("pixels", "own", "lite0", INCEPTION)}
    with (
        closing(Exporter("run", 0, 2, "127.0.0.1", STATISTICS)) as first,
        closing(Exporter("run", 1, 2, "127.0.0.1", STATISTICS)) as second,
    ):
        for exporter in (first, second):
            exporter.planned(100, 50)
            for state in TIME_STATES:
                with exporter.timed(state):
                    exporter.stepped(8, applied=False)
            exporter.logged(row, session)
            exporter.committed(16)
            exporter.restarted(dict.fromkeys(REASONS, 1), 100)
            exporter.quarantined()
            for op in ("list", "read", "write", "delete"):
                for outcome in OUTCOMES | (WRITE_OUTCOMES if op == "write" else set()):
                    exporter.requested(op, outcome, 5 if op in ("read", "write") else 0)
                exporter.repeated("retry", op)
                exporter.repeated("hedge", op)
        first.save_waited(1.0)
        first.uploaded(1.0)
        first.save_failed()
        one, two = scraped(first), scraped(second)
    of_ranks = {rank: {k for k in (*one, *two) if ("rank", rank) in k[1]} for rank in ("0", "1")}
    of_run = [key for key in one if not any(label == "rank" for label, _ in key[1])]
    assert len(of_ranks["0"]) == len(of_ranks["1"]) == len(two) <= 60
    figures = [key for key in of_run if key[0] == "ganinv_evaluation"]  # as many as metrics give
    assert len(of_run) - len(figures) <= 90
    table = metrics_table()
    assert {name for name, _ in (*one, *two)} == {
        name for row in (*table["every worker"], *table["rank 0"]) for name in row.series
    }, "some metrics were not fed"


def every_figure(*features: str) -> set[str]:
    """Names of all figures of an evaluation on these features."""
    metrics = pair_metrics()
    pairs = {pair_name(metric.figure, images) for metric in metrics for images in IMAGE_SETS}
    distances = {distance_name(name, images) for name in features for images in IMAGE_SETS}
    sets = {
        set_name(figure, name)
        for name in features
        for metric in set_metrics()
        for figure in metric.figures
    }
    return {ENCODER_LOSS} | pairs | distances | sets


def test_goodput_from_storage_equals_that_of_the_dashboards(clock: Clock) -> None:
    """For a run without faults, both equal the share of `ganinv:goodput:ratio1h`."""
    with closing(Exporter("s3://b/run", 0, 1, "127.0.0.1", STATISTICS)) as exporter:
        clock.now_s += 8.0  # networks, engines, a checkpoint: `restart`
        exporter.enter("compute")
        for step in range(400):
            with exporter.timed("data"):
                clock.now_s += 0.05
            with exporter.timed("compute"):
                clock.now_s += 0.4
                with exporter.timed("communicate"):
                    clock.now_s += 0.1
            with exporter.timed("checkpoint"):
                clock.now_s += 0.02
            assert exporter.steps_seconds == pytest.approx(0.5 * (step + 1))
        spent = states(exporter)
    of_dashboards = (spent["compute"] + spent["communicate"]) / sum(spent.values())
    record = GroupRecord(
        number=0,
        launched=-5.0,  # until the worker's process was up
        world_size=1,
        resumed_from=0,
        images_seen=6400,
        steps_seconds=exporter.steps_seconds,
    )
    assert summarise([record], now=clock.now_s).goodput == pytest.approx(of_dashboards, rel=0.03)
