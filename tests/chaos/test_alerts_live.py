"""Ten runs with a fault each, watched by a real Prometheus with the shipped rules.

Each fault raises its alert in time, and no alert fires before the faults.

The training, the exporter, the object store and the network to it are real. So are the faults: a
stopped and a killed process, broken requests, an exploding learning rate, a discriminator that
wins. Two faults are made up and told to the real exporter: a collapsed code, and restarts. Real
restarts, fewer workers and a lost node need a cluster: see tests/lab.
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
from tests.support.faulty_ranks import FaultyRank
from tests.support.monitors import Ask, monitor

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="no prometheus on this machine (Debian package: prometheus)",
    ),
]
INTERVAL_S = 5  # between two scrapes, and between two evaluations of the rules
WARM_UP_S = 140  # DataWait and RankSkew ignore the first two minutes of a run
SLOW = Faults(delay_s=4.0)
BROKEN = Faults(slow_down=1.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault, the alert that it must raise, and the alerts that it may raise besides."""

    alert: str
    also: frozenset[str] = frozenset()
    world: int = 1
    fault: str = ""  # in the process itself, see `FaultyRank`
    stop: signal.Signals | None = None  # sent to the last rank
    data: Faults | None = None  # of the network between the last rank and the data
    store: Faults | None = None  # of the network to the store of checkpoints
    # Seconds from the fault until the alert's condition is true, and the alert's own `for`.
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
    # First the images in stock are used up. Then a tenth of the last minute must be waiting …
    "slow-data": Case(alert="DataWait", data=SLOW, shows_s=40, holds_s=15),
    # … and here a quarter of the last minute, at half the speed.
    "slow-rank": Case(
        alert="RankSkew", also=frozenset({"DataWait"}), world=2, data=SLOW, shows_s=75
    ),
    # A save comes every 20 steps, and its requests are retried before they fail.
    "storage-errors": Case(alert="StorageErrors", also=NO_SAVES, store=BROKEN, shows_s=30),
    "refused-saves": Case(alert="CheckpointOld", also=NO_SAVES, store=BROKEN, shows_s=90),
    # Dropped steps still count images, but no checkpoint is written.
    "exploding": Case(
        alert="NonfiniteSteps", also=frozenset({"CheckpointOld"}), fault="exploding", shows_s=3
    ),
    "saturated": Case(alert="DiscriminatorSaturated", fault="saturated", shows_s=60, holds_s=15),
    "collapsed": Case(alert="LatentCollapsed", fault="collapsed", shows_s=5, holds_s=15),
    "restarting": Case(alert="RepeatedRestarts", fault="restarting", shows_s=3),
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
            introduce_fault(case, tmp_path / name, proxies[name], ranks[name])
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


def introduce_fault(
    case: Case, folder: Path, proxy: FaultProxy, ranks: list[subprocess.Popen[bytes]]
) -> None:
    proxy.faults = case.data or case.store or proxy.faults
    if case.stop is not None:
        ranks[-1].send_signal(case.stop)
    if case.fault:
        (folder / "faulty").touch()


def seen(ask: Ask, seconds: float, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """(run, alert) → seconds until it fired, of the next `seconds`; ends early with all wanted."""
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
    """The running ranks of a run, killed on exit."""
    folder.mkdir()
    processes = []
    for rank in range(case.world):
        arguments = FaultyRank(
            name=name,
            folder=str(folder),
            rank=rank,
            world=case.world,
            fault=case.fault,
            data_url=f"{root}/data" if case.data else None,
            data_endpoint=proxy if rank == case.world - 1 else None,
            store_url=f"{root}/{name}",
            store_endpoint=proxy if case.store else None,
        )
        command = [sys.executable, "-m", "tests.support.faulty_ranks"]
        with (folder / f"log-{rank}").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [*command, json.dumps(asdict(arguments))],
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
    """Announce the ranks to Prometheus, like the directory of a run."""
    addresses = [folder / f"address-{rank}" for rank in range(world)]
    wait_until(lambda: all(path.exists() for path in addresses), 120, f"{name} has begun")
    targets = TargetsFile(targets_folder())
    try:
        targets.write(
            [
                {
                    "targets": [path.read_text()],
                    "labels": {"job": "ganinv", "run": name, "instance": f"rank {rank}"},
                }
                for rank, path in enumerate(addresses)
            ]
        )
        yield
    finally:
        targets.close()
