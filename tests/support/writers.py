"""A process that saves one checkpoint and is killed during the save.

It is forked from a server that has imported this module, so that it starts in a fraction of a
second. It trains nothing: its state is that of `session_at`, which tests can compute too.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import torch

import cluster.storage.s3  # noqa: F401 (imported before the fork: it takes most of a second)
from cluster.checkpoints import saving
from cluster.config import CheckpointConfig
from cluster.run_folder.lease import FencingToken
from cluster.storage import local as storage_local
from cluster.storage import s3_parts as storage_s3_parts
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from ganinv.seams.stores import Store
from ganinv.training.session import Session
from tests.support.runs import TRAIN, local_session, make_objective
from tests.support.saves import IDENTITY, Counts

PART_BYTES = 5 * 2**20  # the minimum of S3
KEEP = CheckpointConfig(keep_last=2, trouble_limit_s=60)
LEASE = FencingToken(1, "ours")
# The calls by which the local store changes a disk, except writes to files.
DISK_STEPS = ("open", "fsync", "replace", "link", "unlink", "rmdir", "mkdir")


@cache
def session_at(images: int, large: bool = False) -> Session:
    """A session whose weights depend on `images` alone. A large one is uploaded in three parts."""
    session = local_session(make_objective("dlsgan"), replace(TRAIN, seed=images))
    session.images_seen = images
    if large:
        session.state["padding"] = torch.zeros(2 * PART_BYTES + 2**18, dtype=torch.uint8)
    return session


@dataclass(frozen=True, kw_only=True)
class Writing:
    """The task of the process."""

    url: str
    images: int
    endpoint_url: str | None = None
    die_at: int | None = None  # the number of the step on disk at which it kills itself
    after: bool = False  # whether it kills itself after that step, not before


def save_once(store: Store, session: Session) -> Counts:
    counts = Counts()
    saver = saving.Saver(
        store,
        IDENTITY,
        KEEP,
        observer=counts,
        before_commit=lambda: LEASE.check(store),
        give_up=counts.given_up.append,
        resumed=None,
    )
    with saver:
        saver.save(session)
        saver.finish(session)
    return counts


def start(writing: Writing) -> ForkServerProcess:
    """Start the process. The caller must end and join it."""
    process = _context().Process(target=_write, args=(writing, dict(os.environ)))
    process.start()
    return process


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.writers"])
    return context


def _write(writing: Writing, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the server may have been started with another environment
    storage_s3_parts.PART_BYTES = PART_BYTES
    saving.FIRST_PAUSE_S = 0.05
    if writing.die_at is not None:
        _die_at(writing.die_at, after=writing.after)
    retries = RetryPolicy(deadline_s=20, option="storage.deadline_s")
    store = open_store(writing.url, endpoint_url=writing.endpoint_url, retries=retries)
    save_once(store, session_at(writing.images, large=writing.endpoint_url is not None))


def _die_at(number: int, *, after: bool) -> None:
    """Make this process kill itself at a step of the local store, counted from 0."""
    steps = iter(range(10**9))

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            turn = next(steps)
            if turn == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return step(*arguments, **options)
            finally:  # a step that fails, such as creating an existing directory, counts too
                if turn == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    def opened(descriptor: int, mode: str) -> Any:
        file = open(descriptor, mode)  # noqa: SIM115 (the caller closes it)
        return _TwoWriteFile(file, counted(file.write)) if "w" in mode else file

    for name in DISK_STEPS:
        setattr(os, name, counted(getattr(os, name)))
    storage_local.open = opened  # type: ignore[attr-defined]  # in place of the built-in


class _TwoWriteFile:
    """A file that writes its content in two steps."""

    def __init__(self, file: Any, write: Callable[..., Any]) -> None:
        self._file = file
        self._write = write

    def __enter__(self) -> "_TwoWriteFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._write(data[:half])
        self._file.flush()
        self._write(data[half:])

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number
