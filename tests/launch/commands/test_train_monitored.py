"""A training under `ganinv monitor`: every query has a value, and a closed terminal saves.

The run began in one process; two workers go on with it.
"""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.commands import wait_until
from tests.support.made_runs import make_run
from tests.support.main_job import committed, training
from tests.support.monitors import monitor, queries_of_dashboards, read_url, series_of_rules

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_monitor_finds_the_run_shows_all_and_a_closed_terminal_saves(
    s3: str, tmp_path: Path
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus on this machine (Debian package: prometheus)")
    run = f"{s3}/watched"
    began = (f"storage.run={run}", f"data.url={s3}/data16", "cluster.workers=1")
    make_run(tmp_path, 256, *began).save()
    images = ("train.images=1000000", "train.checkpoint_every=1600")
    with (
        monitor(tmp_path) as ask,
        training(s3, "watched", *images) as (process, output),
    ):
        wait_until(lambda: max(committed(run)) > 0, 300, "a checkpoint")
        assert "cluster.workers: 1 → 2" in output.read_text()
        wait_until(lambda: len(ask('up{job="ganinv"} == 1')) == 2, 60, "both workers scraped")
        for expression in (*EXPRESSIONS, *queries_of_dashboards(), *series_of_rules()):
            wait_until(lambda e=expression: ask(e), 30, expression)
        assert ask('ALERTS{alertstate="firing"}') == []
        listed = json.loads(read_url(discovery_url(output.read_text())))
        assert [group["labels"]["job"] for group in listed] == ["ganinv", "ganinv", "nodes", "ray"]
        before = max(committed(run))
        for _ in range(2):  # by the kernel and by the shell, to Ray's processes, too
            os.killpg(process.pid, signal.SIGHUP)
        assert process.wait(120) == 130, output.read_text()
        wait_until(lambda: not ask('up{job="ganinv"}'), 30, "the run is forgotten")
        assert ask('max_over_time(ALERTS{alertstate="firing"}[10m])') == [], "its end is no fault"
    assert max(committed(run)) > before


# Values that a run of two workers must have, beyond that there are any.
EXPRESSIONS = [
    "sum(ganinv_images_total) > 0",
    "count(ganinv_steps_total) == 2",
    'ganinv_loss{term="enc"} > 0',
    'ganinv_loss{term="rec"}',
    'ganinv_latent_variance{trace="real", quantile="0.5"}',
    'ganinv_evaluation{figure="psnr_db_test"}',
    'ganinv_evaluation{figure="fd_pixels"} > 0',
    "ganinv_world_size == 2",
    "ganinv_images_seen > 0",
    "ganinv_target_images == 1000000",
    "ganinv_nonfinite_steps_total == 0",
    "ganinv_lost_images_total == 0",
    'ganinv_restarts_total{reason="failure"} == 0',
    "ganinv:checkpoint_age_seconds < 600",
    "ganinv_checkpoint_images >= 1600",
    'ganinv_storage_requests_total{op="write", outcome="ok"} > 0',
    'ganinv_storage_bytes_total{op="read"} > 0',
    "abs(sum by (run) (ganinv:time:ratio1m) - 1) < 0.01",
    "ganinv:ray_nodes:count == 1",
    "ganinv_samples_quarantined_total == 0",
    'max(count by (rank) ({__name__=~"ganinv_.+", rank!=""})) <= 60',
    'count({__name__=~"ganinv_.+", rank=""}) <= 100',
    *(
        f'ganinv_time_seconds_total{{state="{state}"}} > 0'
        for state in ("compute", "data", "communicate", "checkpoint", "evaluate")
    ),
]


def discovery_url(output: str) -> str:
    return output.partition("(http_sd_configs): ")[2].split()[0]
