"""Whole trainings with faults in them, and what each fault cost.

What is measured comes from the run's own record of its worker groups (`groups/` in its storage),
and from the process table.
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
from tests.support.faults import BUCKET, KINDS, PATIENT, Faulty, Stage, committed
from tests.support.traced_train import read_trace

BATCH = 16  # of the recipe
INTERVAL = 640  # images from one checkpoint to the next
STRIDE = 3 * INTERVAL  # images from one fault to the next, and a random moment more
RECOVERY_S = 240.0
ORPHANS_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one fault cost. Seconds since the fault; None: the group trained on."""

    kind: str
    reason: str | None  # that the run gave to it
    detected_s: float | None  # to the end of the group
    recovered_s: float | None  # to the end of the next trained step
    lost_images: int
    orphans: int  # processes of the group's workers that live 5 s after its end
    workers: int  # of the next group


@dataclass(frozen=True, kw_only=True)
class Result:
    """A whole run with faults of one kind."""

    kind: str
    faults: tuple[Measured, ...]
    status: int  # of the command
    images_seen: int
    goodput: float
    wall_seconds: float
    equal: bool | None  # to the run without faults, bit for bit; None: the number of workers varied
    largest_difference: float  # of any weight or average, to the run without faults
    same_sequence: bool  # every step of both took the same samples, whatever the faults


def run_with(kind: str, faults: int, stage: Stage, seed: int = 0) -> Result:
    """A run with so many faults of a kind, compared with one without any in the same storage."""
    images = STRIDE * (faults + 1)
    _train_in_peace(stage, images)
    chance = random.Random(f"{kind}/{seed}")
    log = (stage.directory / f"{kind}.log").open("w+")
    elastic = ("cluster.workers=null", "cluster.min_workers=1", "cluster.max_workers=2")
    words = _words(kind, images, *(elastic if stage.nodes is not None else ()))
    started = time.monotonic()
    process = _start(stage, kind, words, log)
    try:
        run = Faulty(process, stage.open(kind), stage, Path(log.name))
        measured = []
        for number in range(faults):
            run.await_images(STRIDE * number + INTERVAL)
            time.sleep(chance.uniform(0.0, 4.0))
            measured.append(_measure(kind, run))
        status = process.wait(600)
    finally:
        process.kill()
        process.wait(30)
    peaceful = f"peaceful-{images}"
    equal, difference = _compare(run.store, stage.open(peaceful))
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
        same_sequence=_same_sequence(stage.directory / kind, stage.directory / peaceful, images),
    )


def _measure(kind: str, run: Faulty) -> Measured:
    before = run.groups()[-1]
    workers = set(run.workers())
    at = time.time()
    KINDS[kind](run)
    following = _next_group(run, before.number, at, must_end=kind not in PATIENT)
    if following is None:  # it trained on
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


def _next_group(run: Faulty, number: int, at: float, *, must_end: bool) -> GroupRecord | None:
    """The group after `number` once it has trained, or None once `number` itself trains on."""

    saved = committed(run.groups()[-1])

    def there() -> GroupRecord | bool:
        run.lives()
        last = run.groups()[-1]
        if last.number == number:
            trains_on = not must_end and last.reason is None and (last.committed or 0) > saved
            return trains_on and (last.last_step or 0) > at
        return last if last.number > number and last.first_step is not None else False

    found = wait_until(there, RECOVERY_S, "training goes on")
    return found if isinstance(found, GroupRecord) else None


def _train_in_peace(stage: Stage, images: int) -> None:
    """The run without faults, unless it is there already."""
    name = f"peaceful-{images}"
    if any(r.reason == "done" for r in read_groups(stage.open(name))):
        return
    with (stage.directory / f"{name}.log").open("w+") as log:
        process = _start(replace(stage, proxy=None, nodes=None), name, _words(name, images), log)
        try:
            assert process.wait(1200) == 0, Path(log.name).read_text()
        finally:
            process.kill()


def _start(stage: Stage, run: str, words: tuple[str, ...], log: IO[str]) -> "subprocess.Popen[str]":
    trace = stage.directory / run
    trace.mkdir()
    environment = {**stage.environment(), "GANINV_TRACE": str(trace)}
    return start(*words, output=log, environment=environment, module="tests.support.traced_train")


def _same_sequence(found: Path, expected: Path, images: int) -> bool:
    """Whether both runs took every batch, with the same samples each time that one was taken."""
    a, b = (read_trace(folder) for folder in (found, expected))
    places = sorted(b)[: images // BATCH]
    complete = [len(b[place]) == BATCH and a.get(place) == b[place] for place in places]
    alone = all(len(keys) == 1 for place in places for keys in b[place].values())
    return alone and all(complete) and len(places) == images // BATCH


def _words(run: str, images: int, *more: str) -> tuple[str, ...]:
    return (
        "train", "tiny-pvdgan", f"storage.run=s3://{BUCKET}/{run}",
        f"data.url=s3://{BUCKET}/data", "data.images=512", f"train.images={images}",
        f"train.checkpoint_every={INTERVAL}", f"train.log_every={INTERVAL}",
        "evaluate.every=10000000", "evaluate.features=[]", "cluster.grow_after_s=5", *more,
    )  # fmt: skip


def _compare(found: Store, expected: Store) -> tuple[bool, float]:
    """Whether two final states are equal bit for bit, and the largest difference of weights."""
    (_, a), (_, b) = (chosen for s in (found, expected) if (chosen := choose(s)) is not None)
    assert a.keys() == b.keys()
    weights = [name for name in a if "/weights/" in name or "/average/" in name]
    largest = max(float((a[name].double() - b[name].double()).abs().max()) for name in weights)
    return all(torch.equal(a[name], b[name]) for name in a), largest
