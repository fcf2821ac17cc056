"""Faults inside a step of one worker (hangs, non-finite numbers), and of Ray Train's controller.

Real runs on two workers. Each is compared with a run without faults.
"""

import os
import re
import signal
from pathlib import Path

import pytest

from cluster.run_folder.group_log import read_groups
from ganinv.saved.manifest import committed_names
from tests.support.real_runs import BATCH, END_S, INTERVAL, MakeRun, RealRun
from tests.support.states import sha256_of
from tests.support.step_faults import StepFault, StepFaultKind

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
IMAGES = 4 * INTERVAL
AT = 2 * INTERVAL + 5 * BATCH  # well after a checkpoint
LIMIT = 3  # void steps in a row
WAIT_S = 15  # the longest that a worker waits for another
NOTICED_S = 15.0  # until Ray Train and the supervisor notice, on a busy machine
OPTIONS = (f"train.images={IMAGES}", f"train.max_nonfinite_steps={LIMIT}")


@pytest.fixture(scope="module")
def expected(real_run: MakeRun) -> str:
    """The hash of the final state of a run without faults."""
    run = real_run("without-faults", options=OPTIONS)
    run.train()
    return sha256_of(run.store)


@pytest.mark.parametrize("kind", ["holds_interpreter", "waits_for_ever"])
def test_a_worker_that_hangs_ends_itself_and_the_run_goes_on(
    kind: StepFaultKind, real_run: MakeRun, expected: str
) -> None:
    run = real_run(kind, options=OPTIONS, step_faults=(StepFault(kind=kind, at=AT),))
    # Ray's own health check waits longer: it, too, would end a worker that holds the interpreter.
    run.train(RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S="200")
    assert sha256_of(run.store) == expected
    hung, after = read_groups(run.store)
    assert (hung.reason, after.reason) == ("hang", "done")
    assert "exceeded the time limit of a step and ended itself" in hung.detail
    assert hung.resumed_from == 0
    assert after.resumed_from == 2 * INTERVAL
    log = Path((run.folder / "log-of-the-hung").read_text()).read_text()
    assert "\nTimeout (" in f"\n{log}"
    stacks = log.partition("Timeout (")[2].split("Thread 0x")[1:]
    assert len(stacks) > 3  # the stacks of all threads
    (training,) = (stack for stack in stacks if "in train_worker" in stack)
    assert re.search(r"step_faults\.py.* in hang\n", training), training


def test_survivors_wait_for_a_lost_worker_no_longer_than_the_collective_timeout(
    real_run: MakeRun, expected: str
) -> None:
    """The lost worker waits for its data, longer than any limit of a step."""
    limit = f"cluster.collective_timeout_s={WAIT_S}"
    fault = StepFault(kind="gets_no_data", at=AT // 2)  # a worker takes half of every batch
    run = real_run("without-data", options=(*OPTIONS, limit), step_faults=(fault,))
    run.train()
    assert sha256_of(run.store) == expected
    waited, after = read_groups(run.store)
    assert (waited.reason, after.reason) == ("failure", "done")
    assert "rank 0: " in waited.detail
    assert waited.ended is not None
    assert waited.last_step is not None
    assert WAIT_S - 1 < waited.ended - waited.last_step < WAIT_S + NOTICED_S
    assert after.resumed_from == 2 * INTERVAL


def test_a_controller_of_ray_train_that_dies_costs_a_restart(
    real_run: MakeRun, expected: str
) -> None:
    run = real_run("controller", options=OPTIONS)
    with run.training() as running:
        running.await_images(INTERVAL)
        (controller,) = running.processes("TrainController")
        os.kill(controller, signal.SIGKILL)
        assert running.process.wait(END_S) == 0, run.log
    assert sha256_of(run.store) == expected
    assert [group.reason for group in read_groups(run.store)] == ["failure", "done"]


def test_transient_nans_of_one_rank_cost_a_rollback_and_nothing_else(
    real_run: MakeRun, expected: str
) -> None:
    fault = StepFault(kind="nan", at=AT, times=LIMIT)
    run = real_run("transient-nans", options=OPTIONS, step_faults=(fault,))
    run.train()
    assert sha256_of(run.store) == expected
    assert dropped(run) == [LIMIT, LIMIT]  # on both ranks, though only one rank had NaNs
    diverged, after = read_groups(run.store)
    assert (diverged.reason, after.reason) == ("divergence", "done")
    assert diverged.images_seen == AT + LIMIT * BATCH
    assert after.resumed_from == 2 * INTERVAL
    assert len(list(run.folder.glob("*.jsonl"))) == 2  # the same two processes go on


def test_persistent_nans_of_one_rank_end_the_run_with_the_evidence(real_run: MakeRun) -> None:
    once, always = StepFault(kind="nan", at=BATCH), StepFault(kind="nan", at=AT, times=10**6)
    run = real_run("persistent-nans", options=OPTIONS, step_faults=(once, always))
    run.train(status=4)
    assert dropped(run) == [1 + 2 * LIMIT] * 2  # `once` cost one step and no more
    newest = committed_names(run.store)[-1]
    assert int(newest[:12]) == 2 * INTERVAL
    evidence = run.log.splitlines()[-1]
    assert evidence.startswith("error: ")
    for part in (
        f"{LIMIT} steps in a row",
        f"from images_seen = {AT + BATCH} to images_seen = {AT + LIMIT * BATCH}",
        "and again after a return to the last checkpoint",
        "gradient of d",
        f"last finite at images_seen = {2 * INTERVAL}: loss/d",
        f"checkpoint {newest} is intact",
    ):
        assert part in evidence, (part, evidence)


def dropped(run: RealRun) -> list[int]:
    """The number of void steps that each worker has counted at its end."""
    pages = [(run.folder / f"metrics-{rank}").read_text() for rank in (0, 1)]
    found = [re.search(r"^ganinv_nonfinite_steps_total\{.*\} (\S+)$", p, re.M) for p in pages]
    return [int(float(match[1])) for match in found if match]
