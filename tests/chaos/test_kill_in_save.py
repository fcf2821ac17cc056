"""The writer or the store is killed at every point of a save; the points are enumerated.

After each kill the run holds the checkpoint of the interrupted save or of the one before it, never
a partial checkpoint, and the next save works.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.run_folder import lease as leases
from cluster.seaweed import store as seaweed
from cluster.storage.opening import open_store
from ganinv.saved.checkpoints import choose
from ganinv.saved.manifest import committed_names
from ganinv.seams.stores import Store
from tests.support.commands import wait_until
from tests.support.fault_proxy import Cut, FaultProxy, Moment, fault_proxy
from tests.support.writers import LEASE, Writing, save_once, session_at, start

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
BEFORE, DURING, AFTER = 32, 48, 64  # images of the saves before, with and after the kill
DEADLINE_S = 60
MOST_POINTS = 400  # more points than any save has


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A run with two checkpoints; retention will delete the older one."""
    store = open_store(str(tmp_path_factory.mktemp("template")))
    holder = replace(leases._myself(), token=LEASE.token)
    store.write(leases._object(LEASE.number), leases._text(holder))
    for images in (16, BEFORE):
        save_once(store, session_at(images))
    return {entry.name: store.read(entry.name) for entry in store.list()}


def prepared(url: str, template: dict[str, bytes]) -> Store:
    store = open_store(url)
    for name, content in template.items():
        store.write(name, content)
    return store


def check(store: Store, where: str) -> int:
    """Check that the run is intact; returns the images of the checkpoint that is loaded."""
    names = committed_names(store)
    chosen = choose(store)
    assert chosen is not None, where
    manifest, tensors = chosen
    assert manifest.images_seen in (BEFORE, DURING), where
    assert manifest.name == names[-1], f"{where}: fell back, so something partial was committed"
    expected = session_at(manifest.images_seen).engines["g"].network.state_dict()
    for name, tensor in expected.items():
        assert tensor.equal(tensors[f"g/weights/{name}"]), where
    save_once(store, session_at(AFTER))
    after = committed_names(store)
    assert int(after[-1][:12]) == AFTER, where
    assert len(after) == 2, where
    folders = {entry.name.split("/")[1] for entry in store.list("checkpoints/")}
    assert folders == set(after), f"{where}: leftovers remain"
    return manifest.images_seen


# --- the writer -------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_writer_killed_at_every_step_on_disk(
    tmp_path: Path, template: dict[str, bytes], after: bool
) -> None:
    loaded = []
    for point in range(MOST_POINTS):
        url = str(tmp_path / f"{point}")
        store = prepared(url, template)
        process = start(Writing(url=url, images=DURING, die_at=point, after=after))
        process.join(DEADLINE_S)
        if process.exitcode == 0:
            break  # the save has no such step: all were enumerated
        assert process.exitcode == -signal.SIGKILL
        loaded.append(check(store, f"step {point}"))
    assert len(loaded) >= 25
    assert sorted(loaded) == loaded  # once committed, it stays committed
    assert set(loaded) == {BEFORE, DURING}


@pytest.fixture
def proxy(object_store: seaweed.ObjectStore, s3_environment: object) -> Iterator[FaultProxy]:
    with fault_proxy(object_store.endpoint_url) as running:
        yield running


@pytest.mark.parametrize("moment", ["before", 0.01, 0.25, 0.5, 0.75, 0.99, "after"])
def test_writer_killed_at_every_request(
    proxy: FaultProxy, template: dict[str, bytes], moment: Moment
) -> None:
    loaded = []
    for point in range(MOST_POINTS):
        url = f"s3://tests/chaos-{uuid4().hex}"
        store = prepared(url, template)
        proxy.cut = cut = Cut(point, moment)
        process = start(Writing(url=url, images=DURING, endpoint_url=proxy.url))
        try:
            if not reached(cut, process):
                break  # the save has no such request: all were enumerated
            process.kill()
            process.join(DEADLINE_S)
        finally:
            cut.release.set()
            process.kill()
            process.join(DEADLINE_S)
        loaded.append(check(store, f"request {point}, {cut.seen[-1]}"))
        store.delete([entry.name for entry in store.list()])
    assert len(loaded) >= 10  # at seven moments each: more than 50 points
    assert set(loaded) == {BEFORE, DURING}


def reached(cut: Cut, process: ForkServerProcess) -> bool:
    """Wait for the cut; false if the process ends before it."""
    while not cut.reached.wait(0.02):
        if process.exitcode is not None:
            assert process.exitcode == 0
            return False
    return True


# --- the store --------------------------------------------------------------------------------


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[seaweed.ObjectStore]:
    """A store of this test's own, which it may kill."""
    directory = tmp_path / "weed"
    try:
        store = seaweed.start(directory, ["tests"])
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        yield store
    finally:
        seaweed.stop(directory)


def test_store_killed_at_every_request(
    mortal: seaweed.ObjectStore, template: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is started again on the same data, and the save continues by itself."""
    for point in range(MOST_POINTS):
        moment: Moment = ("before", 0.5, "after")[point % 3]
        url = f"s3://tests/chaos-{point}"
        prepared(url, template)
        with fault_proxy(mortal.endpoint_url) as proxy:
            proxy.cut = cut = Cut(point, moment)
            process = start(Writing(url=url, images=DURING, endpoint_url=proxy.url))
            try:
                if not reached(cut, process):
                    break
                os.kill(mortal.process.pid, signal.SIGKILL)
                wait_until(lambda killed=mortal: not killed.process.alive(), 10, "its end")
                mortal = seaweed.start(mortal.directory)
                proxy.port = mortal.ports["s3"]  # the old port may still be in use
                monkeypatch.setenv("AWS_ENDPOINT_URL", mortal.endpoint_url)
                cut.release.set()
                process.join(DEADLINE_S)
                assert process.exitcode == 0, f"request {point}, {moment}"
            finally:
                cut.release.set()
                process.kill()
                process.join(DEADLINE_S)
        assert check(open_store(url), f"request {point}, {moment}") == DURING
    assert point >= 10
