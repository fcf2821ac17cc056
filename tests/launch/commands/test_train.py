"""The main job as a person runs it: shards on S3 → Ray → DeepSpeed → checkpoints on S3."""

import json
import re
import signal
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
from ganinv.errors import ConfigError
from ganinv.saved.manifest import committed_names
from tests.support.commands import alive, descendants, here, launch, wait_until
from tests.support.main_job import IMAGES, committed, train, training, words

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
killed: set[int] = set()  # processes of the run that was killed


@pytest.fixture(scope="module")
def uninterrupted(s3: str) -> str:
    """The URL of a run that was left in peace."""
    done = train(s3, "peaceful")
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{s3}/peaceful"


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


def test_an_evaluation_over_workers_has_the_figures_of_one_process(
    s3: str, uninterrupted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data and run on S3; nothing is recorded, so that later tests find the run as it was."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    places = (f"storage.run={uninterrupted}", f"data.url={s3}/data16/")  # as if the data had moved
    evaluation = ("evaluate", *places, "evaluate.record=false", "--json")
    assert here(*evaluation) == 0
    together = launch(*evaluation, "cluster.workers=2")
    assert together.returncode == 0, together.stdout + together.stderr
    one, two = (json.loads(said) for said in (capsys.readouterr().out, together.stdout))
    assert (one.pop("workers"), two.pop("workers")) == (1, 2)
    values = [{row["name"]: row["value"] for row in got.pop("figures")} for got in (one, two)]
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert one == two


def test_what_makes_a_run_may_not_change(s3: str, uninterrupted: str) -> None:
    """Its manifests say what that is, so that its config.yaml may be lost."""
    open_store(uninterrupted).delete(["config.yaml"])
    with pytest.raises(ConfigError) as refused:
        here(*words(s3, "peaceful", "objective.lambda_r1=7", "train.seed=3"))
    assert "objective.lambda_r1 = 7.0: the run began with 5.0" in str(refused.value)
    assert "train.seed = 3: the run began with 0" in str(refused.value)


def test_nothing_of_the_killed_run_is_left() -> None:
    """Last, for two small agents of Ray's try up to a minute to tell its dead head of the death."""
    assert killed
    wait_until(lambda: not alive(killed), 90, "nothing of the killed run is left")
