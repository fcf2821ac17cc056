"""Ten faults of ten runs at once, before a real Prometheus with the shipped rules: each raises its
alert in time, and none before that.

Real are the training, the exporter, the object store, the network to it, the processes that are
stopped and killed, rates that explode, a discriminator that wins. Two are fed, into the real
exporter: a code that has collapsed, and restarts. Restarts, fewer workers and a lost node happen
for real in tests/lab, for they take a cluster.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from cluster.monitoring.targets import TargetsFile, targets_folder
from cluster.seaweed.store import ObjectStore
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from tests.support.commands import ROOT, wait_until
from tests.support.fault_proxy import FaultProxy, Faults, fault_proxy
from tests.support.monitors import Ask, monitor
from tests.support.patients import Patient

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="no prometheus on this machine (Debian package: prometheus)",
    ),
]
INTERVAL_S = 5  # from one scrape and one evaluation to the next
WARM_UP_S = 140  # DataWait and RankSkew leave the first two minutes of a run alone
SLOW = Faults(delay_s=4.0)
BROKEN = Faults(slow_down=1.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault, the alert that has to come of it, and those that may come with it."""

    alert: str
    also: frozenset[str] = frozenset()
    world: int = 1
    illness: str = ""  # of the process itself
    stop: signal.Signals | None = None  # what its last rank is sent
    data: Faults | None = None  # what becomes of the network to the data, for its last rank
    store: Faults | None = None  # and to the store
    # From the fault to the alert's condition being true, by its own words, and how long it holds
    # before it fires.
    shows_s: float
    holds_s: float = 0.0


RANK_LOST = frozenset({"WorkerUnreachable", "NoStep"})
NO_SAVES = frozenset({"StorageErrors", "CheckpointOld"})
CASES = {
    "hung": Case(alert="NoStep", also=RANK_LOST, world=2, stop=signal.SIGSTOP, shows_s=30),
    "killed": Case(
        alert="WorkerUnreachable",
        also=RANK_LOST,
        world=2,
        stop=signal.SIGKILL,
        shows_s=0,
        holds_s=15,
    ),
    # The images in stock have to go, and then a tenth of the last minute by in waiting …
    "slow-data": Case(alert="DataWait", data=SLOW, shows_s=40, holds_s=15),
    # … and a quarter of it here, at half the pace.
    "slow-rank": Case(
        alert="RankSkew", also=frozenset({"DataWait"}), world=2, data=SLOW, shows_s=75
    ),
    # A save comes every 20 steps, and its requests are repeated before they fail.
    "storage-errors": Case(alert="StorageErrors", also=NO_SAVES, store=BROKEN, shows_s=30),
    "refused-saves": Case(alert="CheckpointOld", also=NO_SAVES, store=BROKEN, shows_s=90),
    # While steps are dropped no checkpoint is written, and images go on being counted.
    "exploding": Case(
        alert="NonfiniteSteps", also=frozenset({"CheckpointOld"}), illness="exploding", shows_s=3
    ),
    "saturated": Case(alert="DiscriminatorSaturated", illness="saturated", shows_s=60, holds_s=15),
    "collapsed": Case(alert="LatentCollapsed", illness="collapsed", shows_s=5, holds_s=15),
    "restarting": Case(alert="RepeatedRestarts", illness="restarting", shows_s=3),
    "healthy": Case(alert="", world=2, shows_s=0),
}


def test_ten_faults_raise_their_alerts_and_health_raises_none(
    tmp_path: Path, object_store: ObjectStore, s3_store_url: str
) -> None:
    options = BuildOptions(images=64, resolution=16, seed=3)
    build(AvatarSource(options), open_store(f"{s3_store_url}/data"), options)
    with ExitStack() as stack:
        proxies: dict[str, FaultProxy] = {}
        ranks: dict[str, list[subprocess.Popen[bytes]]] = {}
        for name, case in CASES.items():
            proxies[name] = stack.enter_context(fault_proxy(object_store.endpoint_url))
            started = running(name, case, tmp_path / name, s3_store_url, proxies[name].url)
            ranks[name] = stack.enter_context(started)
        for name, case in CASES.items():
            stack.enter_context(registered(name, tmp_path / name, case.world))
        interval = f"monitor.interval_s={INTERVAL_S}"
        ask = stack.enter_context(monitor(tmp_path, "monitor.ray=none", interval))
        count = sum(case.world for case in CASES.values())
        up = 'up{job="ganinv"} == 1'
        wait_until(lambda: len(ask(up)) == count, 60, "all ranks are scraped", every_s=1)
        assert not seen(ask, WARM_UP_S, set()), "an alert of healthy runs"

        for name, case in CASES.items():
            strike(case, tmp_path / name, proxies[name], ranks[name])
        fired = seen(ask, 150, {(name, case.alert) for name, case in CASES.items() if case.alert})
    assert len(CASES) == 11
    print(
        *(f"{run}: {alert} after {after:.0f} s" for (run, alert), after in fired.items()), sep="\n"
    )
    for name, case in CASES.items():
        after_s = {alert: s for (run, alert), s in fired.items() if run == name}
        assert after_s.keys() <= case.also | ({case.alert} if case.alert else set()), name
        if case.alert:
            in_time_s = case.shows_s + case.holds_s + INTERVAL_S + 2 * INTERVAL_S
            assert after_s.get(case.alert, 1e9) <= in_time_s, f"{name}: {after_s}"


def strike(
    case: Case, folder: Path, proxy: FaultProxy, ranks: list[subprocess.Popen[bytes]]
) -> None:
    """The fault happens."""
    proxy.faults = case.data or case.store or proxy.faults
    if case.stop is not None:
        ranks[-1].send_signal(case.stop)
    if case.illness:
        (folder / "ill").touch()


def seen(ask: Ask, seconds: float, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Which alerts fired for which run, and after how long; ends early with all that is wanted."""
    began = time.monotonic()
    fired: dict[tuple[str, str], float] = {}
    while time.monotonic() - began < seconds and not (wanted and wanted <= fired.keys()):
        for alert in ask('ALERTS{alertstate="firing"}'):
            key = (alert["metric"]["run"], alert["metric"]["alertname"])
            fired.setdefault(key, time.monotonic() - began)
        time.sleep(1)
    return fired


@contextmanager
def running(
    name: str, case: Case, folder: Path, root: str, proxy: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The ranks of a run."""
    folder.mkdir()
    processes = []
    for rank in range(case.world):
        patient = Patient(
            name=name,
            folder=str(folder),
            rank=rank,
            world=case.world,
            illness=case.illness,
            data_url=f"{root}/data" if case.data else None,
            data_endpoint=proxy if rank == case.world - 1 else None,
            store_url=f"{root}/{name}",
            store_endpoint=proxy if case.store else None,
        )
        with (folder / f"log-{rank}").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.support.patients", json.dumps(asdict(patient))],
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        yield processes
    finally:
        for rank, process in enumerate(processes):
            process.kill()
            process.wait(10)
            print(f"{name}, rank {rank}:", (folder / f"log-{rank}").read_text()[-1000:])


@contextmanager
def registered(name: str, folder: Path, world: int) -> Iterator[None]:
    """Told to Prometheus, as a run's directory does it."""
    places = [folder / f"address-{rank}" for rank in range(world)]
    wait_until(lambda: all(place.exists() for place in places), 120, f"{name} has begun")
    targets = TargetsFile(targets_folder())
    try:
        targets.write(
            [
                {
                    "targets": [place.read_text()],
                    "labels": {"job": "ganinv", "run": name, "instance": f"rank {rank}"},
                }
                for rank, place in enumerate(places)
            ]
        )
        yield
    finally:
        targets.close()
