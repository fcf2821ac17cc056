"""Whole trainings with faults, and the measured cost of each fault.

The measurements come from the run's records of its worker groups (`groups/` in its storage) and
from the process table.
"""

import random
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import torch

from cluster.run_folder.group_history import GroupRecord, summarise
from cluster.run_folder.group_log import read_groups
from ganinv.saved.checkpoints import choose
from ganinv.seams.stores import Store
from tests.support.commands import alive, start, wait_until
from tests.support.faults import (
    BUCKET,
    KINDS,
    STORAGE_FAULTS,
    RunningTraining,
    Testbed,
    committed,
)
from tests.support.traced_train import read_trace

BATCH = 16  # the recipe's
INTERVAL = 640  # images between two checkpoints
STRIDE = 3 * INTERVAL  # images between two faults; a random delay comes on top
RECOVERY_S = 240.0
ORPHANS_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The cost of one fault. Seconds count from the fault; None: the worker group survived."""

    kind: str
    reason: str | None  # for which the worker group ended, by the run's record
    detected_s: float | None  # until the group ended
    recovered_s: float | None  # until the end of the next trained step
    lost_images: int
    orphans: int  # worker processes of the group that are alive 5 s after the group's end
    workers: int  # in the next group


@dataclass(frozen=True, kw_only=True)
class Result:
    """A whole run with faults of one kind."""

    kind: str
    faults: tuple[Measured, ...]
    status: int  # exit status of the command
    images_seen: int
    goodput: float
    wall_seconds: float
    # Compared with the run without faults:
    equal: bool | None  # bit for bit; None: the number of workers changed during the run
    largest_difference: float  # of any weight or weight average
    same_sequence: bool  # every step took the same samples


def run_with_faults(kind: str, faults: int, testbed: Testbed, seed: int = 0) -> Result:
    """Train with `faults` faults of a kind; compare with a run without faults in the same storage.

    Later calls with the same number of faults in the same testbed reuse the run without faults.
    """
    images = STRIDE * (faults + 1)
    _train_without_faults(testbed, images)
    chance = random.Random(f"{kind}/{seed}")
    log = (testbed.directory / f"{kind}.log").open("w+")
    elastic = ("cluster.workers=null", "cluster.min_workers=1", "cluster.max_workers=2")
    words = _words(kind, images, *(elastic if testbed.nodes is not None else ()))
    started = time.monotonic()
    process = _start(testbed, kind, words, log)
    try:
        run = RunningTraining(process, testbed.open(kind), testbed, Path(log.name))
        measured = []
        for number in range(faults):
            run.await_images(STRIDE * number + INTERVAL)
            time.sleep(chance.uniform(0.0, 4.0))
            measured.append(_measure(kind, run))
        status = process.wait(600)
    finally:
        process.kill()
        process.wait(30)
    reference = _reference_name(images)
    equal, difference = _compare(run.store, testbed.open(reference))
    records = run.groups()
    goodput = summarise(records, time.time()).goodput
    return Result(
        kind=kind,
        faults=tuple(measured),
        status=status,
        images_seen=records[-1].images_seen or 0,
        goodput=goodput or 0.0,
        wall_seconds=time.monotonic() - started,
        equal=equal if len({record.world_size for record in records}) == 1 else None,
        largest_difference=difference,
        same_sequence=_same_sequence(
            testbed.directory / kind, testbed.directory / reference, images
        ),
    )


def _measure(kind: str, run: RunningTraining) -> Measured:
    before = run.groups()[-1]
    workers = set(run.workers())
    at = time.time()
    KINDS[kind](run)
    following = _next_group(run, before.number, at, must_end=kind not in STORAGE_FAULTS)
    if following is None:  # the group survived
        now = run.groups()[-1]
        return Measured(
            kind=kind, reason=None, detected_s=None, recovered_s=(now.last_step or at) - at,
            lost_images=0, orphans=0, workers=now.world_size,
        )  # fmt: skip
    ended = next(record for record in run.groups() if record.number == before.number)
    assert ended.ended is not None
    assert following.first_step is not None
    time.sleep(max(0.0, ended.ended + ORPHANS_S - time.time()))
    return Measured(
        kind=kind,
        reason=ended.reason,
        detected_s=ended.ended - at,
        recovered_s=following.first_step - at,
        lost_images=max(0, (ended.images_seen or 0) - (following.resumed_from or 0)),
        orphans=len(alive(workers)),
        workers=following.world_size,
    )


def _next_group(
    run: RunningTraining, number: int, at: float, *, must_end: bool
) -> GroupRecord | None:
    """Wait until training continues: the group after `number`, or None if `number` survived."""

    saved = committed(run.groups()[-1])

    def continues() -> GroupRecord | bool:
        run.check_alive()
        last = run.groups()[-1]
        if last.number == number:
            survived = not must_end and last.reason is None and (last.committed or 0) > saved
            return survived and (last.last_step or 0) > at
        return last if last.number > number and last.first_step is not None else False

    found = wait_until(continues, RECOVERY_S, "training continues")
    return found if isinstance(found, GroupRecord) else None


def _reference_name(images: int) -> str:
    return f"reference-{images}"


def _train_without_faults(testbed: Testbed, images: int) -> None:
    """Train the reference, unless it is complete already."""
    name = _reference_name(images)
    if any(r.reason == "done" for r in read_groups(testbed.open(name))):
        return
    with (testbed.directory / f"{name}.log").open("w+") as log:
        undisturbed = replace(testbed, proxy=None, nodes=None)
        process = _start(undisturbed, name, _words(name, images), log)
        try:
            assert process.wait(1200) == 0, Path(log.name).read_text()
        finally:
            process.kill()


def _start(
    testbed: Testbed, run: str, words: tuple[str, ...], log: IO[str]
) -> "subprocess.Popen[str]":
    trace = testbed.directory / run
    trace.mkdir()
    environment = {**testbed.environment(), "GANINV_TRACE": str(trace)}
    return start(*words, output=log, environment=environment, module="tests.support.traced_train")


def _same_sequence(found: Path, expected: Path, images: int) -> bool:
    """Whether both runs took every batch, always with the same samples."""
    a, b = (read_trace(folder) for folder in (found, expected))
    places = sorted(b)[: images // BATCH]
    same = all(len(b[place]) == BATCH and a.get(place) == b[place] for place in places)
    one_sample_per_slot = all(len(keys) == 1 for place in places for keys in b[place].values())
    return one_sample_per_slot and same and len(places) == images // BATCH


def _words(run: str, images: int, *more: str) -> tuple[str, ...]:
    return (
        "train", "tiny-pvdgan", f"storage.run=s3://{BUCKET}/{run}",
        f"data.url=s3://{BUCKET}/data", "data.images=512", f"train.images={images}",
        f"train.checkpoint_every={INTERVAL}", f"train.log_every={INTERVAL}",
        "evaluate.every=10000000", "evaluate.features=[]", "cluster.grow_after_s=5", *more,
    )  # fmt: skip


def _compare(found: Store, expected: Store) -> tuple[bool, float]:
    """Whether two final states are equal bit for bit, and their largest difference of a weight."""
    (_, a), (_, b) = (chosen for s in (found, expected) if (chosen := choose(s)) is not None)
    assert a.keys() == b.keys()
    weights = [name for name in a if "/weights/" in name or "/average/" in name]
    largest = max(float((a[name].double() - b[name].double()).abs().max()) for name in weights)
    return all(torch.equal(a[name], b[name]) for name in a), largest
