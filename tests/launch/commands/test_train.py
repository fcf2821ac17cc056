"""The main job as a person runs it: shards on S3 → Ray → DeepSpeed → checkpoints on S3."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cluster.checkpoints.contents import choose
from cluster.run_folder.evaluation_log import read_records
from cluster.run_folder.group_log import read_groups
from cluster.run_folder.metrics_log import read_rows
from cluster.storage.opening import open_store
from ganinv.saved.manifest import committed_names
from tests.support.commands import alive, descendants, launch, start, wait_until
from tests.support.monitors import monitor, queries_of_dashboards, read_url, series_of_rules

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
IMAGES = 1600
killed: set[int] = set()  # processes of the run that was killed
SHORT = (
    f"train.images={IMAGES}",
    "train.checkpoint_every=400",
    "train.log_every=200",
    "evaluate.every=800",
    "data.images=512",
)


@pytest.fixture(scope="module")
def s3(object_store: Any) -> Iterator[str]:
    """A prefix of this module's own, with the environment set for all of its tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.environment().items():
            patch.setenv(name, value)
        yield "s3://tests/main-job"


@pytest.fixture(scope="module")
def uninterrupted(s3: str) -> str:
    """The URL of a run that was left in peace."""
    done = train(s3, "peaceful")
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{s3}/peaceful"


def words(s3: str, run: str, *more: str) -> tuple[str, ...]:
    places = (f"storage.run={s3}/{run}", f"data.url={s3}/data16")
    return ("train", "tiny-pvdgan", *places, *SHORT, *more)


def train(s3: str, run: str, *more: str) -> subprocess.CompletedProcess[str]:
    return launch(*words(s3, run, *more))


@contextmanager
def training(s3: str, run: str, *more: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A training under way and the file with its output; ended by force if need be."""
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as output:
        process = start(*words(s3, run, *more), output=output, new_session=True)
        try:
            yield process, Path(output.name)
        finally:
            process.kill()
            process.wait(30)


def tensors_of(run_url: str) -> dict[str, Tensor]:
    chosen = choose(open_store(run_url))
    assert chosen is not None
    manifest, tensors = chosen
    assert manifest.images_seen == IMAGES
    return tensors


def test_killed_and_continued_equals_uninterrupted_bit_for_bit(s3: str, uninterrupted: str) -> None:
    run_url = f"{s3}/killed"
    with training(s3, "killed") as (process, _):
        run = open_store(run_url)  # once: opening one takes a second of the few that the run lasts
        wait_until(lambda: committed_names(run), 180, "a checkpoint")
        children = descendants(process.pid)
        killed.update(children)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        working = {pid for pid in children if "Agent" not in command_of(pid)}
        wait_until(lambda: not alive(working), 20, "Ray and its workers end with the driver")
    assert max(committed(run_url)) < IMAGES
    continued = train(s3, "killed")
    assert continued.returncode == 0, continued.stdout + continued.stderr
    assert "resuming from" in continued.stdout
    assert re.search(
        r"first step after [\d.]+ s \(imports .*, Ray .*, worker imports", continued.stdout
    )
    starting = read_groups(open_store(run_url))[-1].starting
    assert starting is not None
    assert {"placement", "process group", "engines", "checkpoint", "first step"} <= set(starting)

    expected, found = tensors_of(uninterrupted), tensors_of(run_url)
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    timeless = [strip_times(row) for row in read_rows(open_store(run_url))]
    assert timeless == [strip_times(row) for row in read_rows(open_store(uninterrupted))]
    logged = [first_step_at(images) for images in range(200, IMAGES + 1, 200)]
    assert [row["images_seen"] for row in timeless] == logged
    records, evaluated = (
        [timeless_record(r) for r in read_records(open_store(url))]
        for url in (run_url, uninterrupted)
    )
    assert records == evaluated
    assert [record["images_seen"] for record in records] == [208, 800, IMAGES]
    assert records[-1]["figures"].items() <= timeless[-1].items()
    assert records[-1]["figures"].keys() > {"eval/ssim_test", "eval/fd_pixels"}


def committed(run_url: str) -> list[int]:
    return [int(name[:12]) for name in committed_names(open_store(run_url))]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""  # ended meanwhile


def first_step_at(images: int) -> int:
    """images_seen after the first step that reaches `images`, 16 at a time."""
    return -(-images // 16) * 16


def timeless_record(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "recorded"}


def strip_times(row: dict[str, float]) -> dict[str, float]:
    return {k: v for k, v in row.items() if k not in ("wall_time", "throughput/images_per_second")}


def test_goes_on_with_another_number_of_workers(s3: str, uninterrupted: str) -> None:
    more = IMAGES + 320
    done = train(s3, "peaceful", "cluster.workers=1", f"train.images={more}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cluster.workers: 2 → 1" in done.stdout
    assert max(committed(uninterrupted)) == more


def test_an_evaluation_over_workers_has_the_figures_of_one_process(
    s3: str, uninterrupted: str
) -> None:
    """Data and run on S3; nothing is recorded, so that later tests find the run as it was."""
    places = (f"storage.run={uninterrupted}", f"data.url={s3}/data16/")  # as if the data had moved
    words = ("evaluate", *places, "evaluate.record=false", "--json")
    alone, together = (
        launch(*words, *more, environment={"CUDA_VISIBLE_DEVICES": ""})
        for more in ((), ("cluster.workers=2",))
    )
    assert together.returncode == 0, together.stdout + together.stderr
    one, two = (json.loads(done.stdout) for done in (alone, together))
    assert (one.pop("workers"), two.pop("workers")) == (1, 2)
    values = [{row["name"]: row["value"] for row in got.pop("figures")} for got in (one, two)]
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert one == two


def test_what_makes_a_run_may_not_change(s3: str, uninterrupted: str) -> None:
    """Its manifests say what that is, so that its config.yaml may be lost."""
    open_store(uninterrupted).delete(["config.yaml"])
    refused = train(s3, "peaceful", "objective.lambda_r1=7", "train.seed=3")
    assert refused.returncode == 2
    assert "objective.lambda_r1 = 7.0: the run began with 5.0" in refused.stderr
    assert "train.seed = 3: the run began with 0" in refused.stderr


def test_monitor_finds_the_run_shows_all_and_a_closed_terminal_saves(
    s3: str, tmp_path: Path
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus on this machine (Debian package: prometheus)")
    images = ("train.images=1000000", "train.checkpoint_every=1600")
    with (
        monitor(tmp_path) as ask,
        training(s3, "watched", *images) as (process, output),
    ):
        wait_until(lambda: committed(f"{s3}/watched"), 300, "a checkpoint")
        wait_until(lambda: len(ask('up{job="ganinv"} == 1')) == 2, 60, "both workers scraped")
        for expression in (*EXPRESSIONS, *queries_of_dashboards(), *series_of_rules()):
            wait_until(lambda e=expression: ask(e), 30, expression)
        assert ask('ALERTS{alertstate="firing"}') == []
        listed = json.loads(read_url(discovery_url(output.read_text())))
        assert [group["labels"]["job"] for group in listed] == ["ganinv", "ganinv", "nodes", "ray"]
        before = max(committed(f"{s3}/watched"))
        for _ in range(2):  # by the kernel and by the shell, to Ray's processes, too
            os.killpg(process.pid, signal.SIGHUP)
        assert process.wait(120) == 130, output.read_text()
        wait_until(lambda: not ask('up{job="ganinv"}'), 30, "the run is forgotten")
        assert ask('max_over_time(ALERTS{alertstate="firing"}[10m])') == [], "its end is no fault"
    assert max(committed(f"{s3}/watched")) > before


def test_nothing_of_the_killed_run_is_left() -> None:
    """Last, for two small agents of Ray's try up to a minute to tell its dead head of the death."""
    assert killed
    wait_until(lambda: not alive(killed), 90, "nothing of the killed run is left")


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
