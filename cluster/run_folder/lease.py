"""The lease of a run: only one command at a time writes to the run's folder.

A command takes the lease by writing `lease/NNNNNN.json` if absent, with the next number; the object
with the highest number belongs to the holder. The holder renews the lease every third of `ttl_s` by
rewriting its object with a higher count. Clocks of different hosts are never compared: a command
that wants the run watches the object by its own clock. If the object changes, the holder is alive
and the run is refused. If it stays the same for `ttl_s`, the command takes the next number. A
holder that finds a higher number than its own has lost the lease and must not commit any more.
"""

import json
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from cluster.processes import process_namespace, start_of
from cluster.storage.outage_log import OutageLog
from ganinv.errors import LeaseLostError, StorageError, StorageExistsError, StorageMissingError
from ganinv.seams.stores import Store

FOLDER = "lease/"
_NAME = re.compile(rf"{FOLDER}(\d{{6}})\.json")
POLLS_PER_TTL = 20  # of the object that a command watches
RENEWALS_PER_TTL = 3
ATTEMPTS = 5  # to take the lease, while other commands are faster


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The command that writes a run, as its lease object describes it."""

    token: str  # random; no two holders share one
    host: str
    pid: int
    process: str  # boot id and clock tick of the process' start
    place: str  # the machine and pid namespace in which `pid` is valid
    job: str | None  # id of the cluster's job, if any
    since: float  # Unix time in seconds by its host's clock; shown to people only
    count: int = 0  # renewals
    released: bool = False

    def is_dead(self) -> bool:
        """Whether its process ran on this machine and has ended. False if that is unknown."""
        return self.place == process_namespace() and start_of(self.pid) != self.process

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}{job}, since {since}"


class FencingToken(NamedTuple):
    """Identifies one holding of the lease. Workers check it before they commit."""

    number: int
    token: str

    def check(self, store: Store) -> None:
        """Raises `LeaseLostError` if another command has taken the lease."""
        number = _newest(store)
        if number is None:
            return  # the folder was deleted, so no other command has the lease
        text, holder = _read(store, number)
        if number < self.number or text is None or (holder and holder.token == self.token):
            return
        raise LeaseLostError(
            f"{store.url} was taken over by {holder or 'another command'}; this command stops and "
            "writes nothing more: let the other command continue the run"
        )


@contextmanager
def lease(store: Store, ttl_s: float, say: Callable[[str], None]) -> Iterator["Lease"]:
    """Hold the lease of the run at `store` until the context ends.

    If the lease has a holder, calls `say` with a message and watches the holder for up to `ttl_s`
    seconds. Raises `StorageError`, which names the holder, if the holder is alive.
    """
    held = Lease(store, _acquire(store, ttl_s, say), ttl_s)
    try:
        yield held
    finally:
        held.release()


class Lease:
    """A lease that this process holds. A thread renews it until `release`."""

    def __init__(self, store: Store, taken: tuple[int, Holder], ttl_s: float) -> None:
        self._store = store
        self._number, self._holder = taken
        self._pause_s = ttl_s / RENEWALS_PER_TTL
        self._trouble = OutageLog("renew the lease of the run", "trying again")
        self._lost: LeaseLostError | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, daemon=True)
        self._thread.start()

    @property
    def fencing_token(self) -> FencingToken:
        return FencingToken(self._number, self._holder.token)

    def check(self) -> None:
        """Raises `LeaseLostError` if a renewal found that another command has the lease."""
        if self._lost is not None:
            raise self._lost

    def release(self) -> None:
        """End the renewals and let the next command have the lease at once."""
        self._ending.set()
        self._thread.join()  # ends soon: its requests have deadlines
        if self._lost is None:
            self._write(released=True)

    def renew(self) -> None:
        """Show other commands that this one is alive. The lease's thread calls this regularly."""
        self._write(released=False)

    def _keep_renewing(self) -> None:
        while not self._ending.wait(self._pause_s) and self._lost is None:
            self.renew()

    def _write(self, *, released: bool) -> None:
        try:
            self.fencing_token.check(self._store)
            self._holder = replace(self._holder, count=self._holder.count + 1, released=released)
            self._store.write(_object(self._number), _text(self._holder))
        except LeaseLostError as error:
            self._lost = error
        except StorageError as error:
            self._trouble.failed(error)
        else:
            self._trouble.succeeded()


def _acquire(store: Store, ttl_s: float, say: Callable[[str], None]) -> tuple[int, Holder]:
    for _ in range(ATTEMPTS):
        number = _newest(store)
        if number is not None:
            _wait_until_free(store, number, ttl_s, say)
        mine, holder = (number or 0) + 1, _myself()
        try:
            _take(store, mine, holder)
        except StorageExistsError:
            continue  # another command was faster; watch that one
        return mine, holder
    raise StorageError(
        f"several commands try to write {store.url} at once, and this one was too slow {ATTEMPTS} "
        "times; start only one of them"
    )


def _take(store: Store, mine: int, holder: Holder) -> None:
    """Raises `StorageExistsError` if another command has this number, or a higher one."""
    store.write_if_absent(_object(mine), _text(holder))
    numbers = _numbers(store)
    if max(numbers, default=mine) > mine:  # it and the next one were taken since the listing
        store.delete([_object(mine)])
        raise StorageExistsError(f"{store.url}: lease {mine} is outdated")
    store.delete([_object(number) for number in numbers if number < mine])


def _wait_until_free(store: Store, number: int, ttl_s: float, say: Callable[[str], None]) -> None:
    """Return once the holder has released the lease, is dead, or made no renewal for `ttl_s`.

    Raises `StorageError` if the holder is alive.
    """
    first, holder = _read(store, number)
    if _is_free(first, holder):
        return
    say(f"{store.url} is held by {holder}; waiting {ttl_s:g} s to see whether it is alive")
    end = time.monotonic() + ttl_s
    while time.monotonic() < end:
        time.sleep(ttl_s / POLLS_PER_TTL)
        text, now = _read(store, number)
        if _is_free(text, now):
            return
        if text != first or _newest(store) != number:
            raise StorageError(
                f"{store.url} is being written by {now or holder}; stop that command, or choose "
                "another storage.run"
            )


def _is_free(text: bytes | None, holder: Holder | None) -> bool:
    return text is None or (holder is not None and (holder.released or holder.is_dead()))


def _read(store: Store, number: int) -> tuple[bytes | None, Holder | None]:
    """The object's bytes (None: no object), and the holder in it (None: cannot be parsed)."""
    try:
        text = store.read(_object(number))
    except StorageMissingError:
        return None, None
    try:
        return text, Holder(**json.loads(text))
    except (ValueError, TypeError):
        return text, None  # written by another version; its changes show that the holder is alive


def _newest(store: Store) -> int | None:
    return max(_numbers(store), default=None)


def _numbers(store: Store) -> list[int]:
    matches = (_NAME.fullmatch(entry.name) for entry in store.list(FOLDER))
    return [int(match[1]) for match in matches if match]


def _object(number: int) -> str:
    return f"{FOLDER}{number:06d}.json"


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _myself() -> Holder:
    pid = os.getpid()
    process = start_of(pid)
    assert process is not None, "this process runs"
    settings = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    return Holder(
        token=secrets.token_hex(8),
        host=platform.node(),
        pid=pid,
        process=process,
        place=process_namespace(),
        job=settings.get("metadata", {}).get("job_submission_id"),
        since=time.time(),
    )
