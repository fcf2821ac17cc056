"""A run's folder belongs to one writer at a time.

`lease/NNNNNN.json`, written only if absent; the highest number is the holder. It rewrites its
object every third of `ttl_s` with a rising count. Nobody compares clocks of different hosts:
whoever wants the run watches the object with a clock of its own. If it changes, its holder lives,
and the run is refused; if it stands still for `ttl_s`, the next number is taken. A holder that
finds a higher number than its own has lost the run, and may commit nothing any more.
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
# Between two looks at an object that is being watched, as a part of `ttl_s`.
LOOKS = 20
# Between two signs of life.
BEATS = 3
# Contenders who overtake one another, before one of them gives up.
ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who writes a run."""

    token: str  # of this holding, never used again
    host: str
    pid: int
    process: str  # boot and clock tick of its start
    place: str  # where `pid` means something
    job: str | None  # under which the cluster runs it
    since: float  # Unix time of its host, seconds; for people alone
    count: int = 0  # signs of life
    released: bool = False

    def gone(self) -> bool:
        """Whether it certainly is: its process was on this machine, and is no more."""
        return self.place == process_namespace() and start_of(self.pid) != self.process

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}{job}, since {since}"


class Held(NamedTuple):
    """A lease that was taken, as workers get it to check it."""

    number: int
    token: str

    def check(self, store: Store) -> None:
        """Raises `LeaseLostError` if somebody else has the run by now."""
        number = _newest(store)
        if number is None:
            return  # the folder was deleted under the run: nobody else has it
        text, holder = _read(store, number)
        if number < self.number or text is None or (holder and holder.token == self.token):
            return
        raise LeaseLostError(
            f"{store.url} was taken over by {holder or 'another command'}; this command stops "
            "without writing any more: leave the run to that one"
        )


@contextmanager
def lease(store: Store, ttl_s: float, say: Callable[[str], None]) -> Iterator["Lease"]:
    """Hold the run at `store` from here to the end of the context.

    May watch another holder for up to `ttl_s`, after telling `say`. Raises `StorageError`, naming
    the holder, if it lives.
    """
    held = Lease(store, _acquire(store, ttl_s, say), ttl_s)
    try:
        yield held
    finally:
        held.release()


class Lease:
    """A run that this process holds, and shows so until `release`."""

    def __init__(self, store: Store, taken: tuple[int, Holder], ttl_s: float) -> None:
        self._store = store
        self._number, self._holder = taken
        self._beat_s = ttl_s / BEATS
        self._trouble = OutageLog("renew the lease of the run", "trying again")
        self._lost: LeaseLostError | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def held(self) -> Held:
        return Held(self._number, self._holder.token)

    def check(self) -> None:
        """Raises `LeaseLostError` if a sign of life found the run in other hands."""
        if self._lost is not None:
            raise self._lost

    def release(self) -> None:
        """Let the next one have the run at once."""
        self._ending.set()
        self._thread.join()  # its requests are bounded
        if self._lost is None:
            self._renew(released=True)

    def _beat(self) -> None:
        while not self._ending.wait(self._beat_s) and self._lost is None:
            self._renew(released=False)

    def _renew(self, *, released: bool) -> None:
        try:
            self.held.check(self._store)
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
            _await_free(store, number, ttl_s, say)
        mine, holder = (number or 0) + 1, _myself()
        try:
            _take(store, mine, holder)
        except StorageExistsError:
            continue  # somebody else was faster, and is to be watched now
        return mine, holder
    raise StorageError(
        f"{store.url} is wanted by several commands at once, and this one was too slow "
        f"{ATTEMPTS} times; leave the run to one of them"
    )


def _take(store: Store, mine: int, holder: Holder) -> None:
    """Raises `StorageExistsError` if somebody else has this number, or a higher one."""
    store.write_if_absent(_object(mine), _text(holder))
    numbers = _numbers(store)
    if max(numbers, default=mine) > mine:  # others took it and the next one since it was looked at
        store.delete([_object(mine)])
        raise StorageExistsError(f"{store.url}: the lease {mine} is an old one")
    store.delete([_object(number) for number in numbers if number < mine])


def _await_free(store: Store, number: int, ttl_s: float, say: Callable[[str], None]) -> None:
    """Return once the holder has released it, is gone, or was silent; raises if it lives."""
    first, holder = _read(store, number)
    if _free(first, holder):
        return
    say(f"{store.url} was held by {holder}; watching for {ttl_s:g} s whether it still is")
    end = time.monotonic() + ttl_s
    while time.monotonic() < end:
        time.sleep(ttl_s / LOOKS)
        text, now = _read(store, number)
        if _free(text, now):
            return
        if text != first or _newest(store) != number:
            raise StorageError(
                f"{store.url} is being written by {now or holder}; stop that command, or choose "
                "another storage.run"
            )


def _free(text: bytes | None, holder: Holder | None) -> bool:
    return text is None or (holder is not None and (holder.released or holder.gone()))


def _read(store: Store, number: int) -> tuple[bytes | None, Holder | None]:
    """The object as it is, None if it is not there; and what it says, None if that is nothing."""
    try:
        text = store.read(_object(number))
    except StorageMissingError:
        return None, None
    try:
        return text, Holder(**json.loads(text))
    except (ValueError, TypeError):
        return text, None  # of another version; whether it lives can be seen all the same


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
    assert process is not None, "this process lives"
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
