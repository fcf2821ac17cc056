"""A user's cluster from its start to its end, with faults in between. `make lab` runs it.

Three hosts on this machine, Ray's own launcher, S3. Needs root; enter.sh finds what is missing.
Deadlines are long because the hosts share this machine's cores. Where documentation promises
seconds, Ray's own timestamps are checked.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator

import pytest

from tests.lab.hosts import Host, build, client
from tests.lab.sights import (
    RUN,
    await_checkpoint_after,
    await_no_processes,
    both_train,
    contain_no_secrets,
    firing,
    has_packages_of_its_own,
    logs,
    lost_at,
    newest,
    only_documented_ports_are_open,
    prometheus_sees_all_of,
    public,
    strangers_are_refused,
    wait_until,
    workers,
)
from tests.lab.user import BUCKET, User, s3

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("GANINV_LAB"),
        reason=os.environ.get("GANINV_LAB_LACKS", "type make lab, as root"),
    ),
    pytest.mark.timeout(1500),
]
JOB = "first"
SHOWN = "job-driver-*.log monitor.log monitor.out"  # the head's logs to show if the test fails
WATCHED = shutil.which("prometheus") is not None
SUBMIT = (
    "submit", "avatars32-pvdgan", f"storage.run={RUN}", f"data.url=s3://{BUCKET}/avatars32",
    "data.images=256", "train.images=4000000", "train.checkpoint_every=800",
    "train.log_every=400", "network.width=4", "network.max_width=16",
    "evaluate.every=8000", "evaluate.test_images=16", "evaluate.generated_images=16",
    "cluster.min_workers=1", "cluster.max_workers=2", "metrics.host=node",
    # More than half of a host's CPUs, so that each host gets one worker. No more threads than
    # cores: the hosts share the cores, and threads that wait for each other are ten times slower.
    f"cluster.cpus_per_worker={(os.cpu_count() or 1) / 2 + 0.5}",
    "cluster.grow_after_s=5",  # the default would make this test wait
    "cluster.max_failures=10",
)  # fmt: skip


@pytest.fixture(scope="module")
def user(request: pytest.FixtureRequest) -> Iterator[User]:
    with s3() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment().items():
            patch.setenv(name, value)
        user = User(build(["head", "one", "two"], bare=["one"]), store)
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", user.token)
        yield user
        if request.session.testsfailed:
            print(user.hosts[0].run(f"cd /tmp/ray/session_latest/logs; tail -n 80 {SHOWN}"))


def test_the_life_of_a_cluster(user: User) -> None:
    head, one, two = user.hosts
    announce("ray up")
    user.ray("up")
    with user.tunnel():
        wait_until(lambda: len(workers()) == 2, 120, "both workers' nodes")
        has_packages_of_its_own(one)
        strangers_are_refused(user, head)
        only_documented_ports_are_open(head, one)
        announce("doctor")
        looked = user.launch("doctor", "--cluster", f"storage.run={RUN}-try")
        assert looked.returncode == 0, looked.stdout
        assert "gloo over 2 nodes" in looked.stdout
        output = submitted(user)
        if WATCHED:
            announce("monitoring")
            prometheus_sees_all_of(one, two)
            assert not firing(), "a clean run raises no alert"
        crash_and_return(two, one)
        cut_and_restore_link(one, two)
        if WATCHED:
            wait_until(lambda: "RepeatedRestarts" in firing(), 60, "the alert")
        output += public(watched=WATCHED)
        output += stopped(user)
    reached = newest()
    announce("ray down")
    output += logs(user.hosts)
    user.ray("down")
    await_no_processes(user.hosts)
    contain_no_secrets(user, output)

    announce("a second cluster")
    user.ray("up")
    with user.tunnel():
        wait_until(lambda: len(workers()) == 2, 120, "both workers' nodes of the new cluster")
        again = [word for word in SUBMIT if not word.startswith("train.images")]
        done = user.launch(*again, f"train.images={reached + 800}", timeout_s=300)
    assert done.returncode == 0, done.stdout
    assert f"resuming from {reached} images" in done.stdout
    announce("done")


def submitted(user: User) -> str:
    """Submit a run to both hosts, wait for a checkpoint, end the client as a closed laptop does."""
    announce("submit")
    file = client() / "output"
    follower = user.follow(*SUBMIT, f"submit.id={JOB}", output=file)
    wait_until(newest, 300, "the first checkpoint")
    wait_until(both_train, 120, "a worker on each host")
    listed = user.launch("status", "--cluster")
    assert re.search(rf"{JOB} +RUNNING +" + RUN, listed.stdout), listed.stdout
    follower.kill()
    follower.wait(10)
    return file.read_text() + listed.stdout


def crash_and_return(crashed: Host, other: Host) -> None:
    """A host crashes, and the run continues without it. The host returns, and the run grows."""
    announce("crash")
    crashed.crash()
    wait_until(lambda: workers() == {other.address: 1}, 180, "training on one host")
    await_checkpoint_after(newest())
    if WATCHED:
        wait_until(lambda: {"NodeLost", "FewerWorkers"} <= firing(), 60, "the alerts")
    announce("return")
    crashed.start()
    wait_until(both_train, 240, "two workers again")
    await_checkpoint_after(newest())


def cut_and_restore_link(cut: Host, other: Host) -> None:
    """A link is cut; Ray notices, and the run continues. The link is restored; the run grows."""
    announce("cut")
    since = time.time()
    cut.cut_link()
    noticed = wait_until(lambda: lost_at(cut), 30, "Ray notices the cut")
    assert since < noticed <= since + 10
    wait_until(lambda: workers() == {other.address: 1}, 180, "training on one host")
    await_checkpoint_after(newest())
    announce("restored link")
    cut.restore_link()
    wait_until(both_train, 240, "two workers after the cut")
    await_checkpoint_after(newest())


def stopped(user: User) -> str:
    """The user stops the run from a new shell; the run saves and ends."""
    announce("attach --stop")
    done = user.launch("attach", JOB, "--stop")
    assert done.returncode == 130, done.stdout
    return done.stdout


def announce(chapter: str) -> None:
    """Tell the person who watches which part begins."""
    print(f"{time.strftime('%H:%M:%S')} {chapter}", flush=True)
