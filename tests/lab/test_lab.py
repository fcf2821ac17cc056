"""What a user does with a cluster, and what happens to her. `make lab` runs it, in some minutes.

Three hosts on this machine, Ray's own launcher, S3. Needs root; enter.sh finds out what is missing.
Waits are long, for the hosts share the cores that there are; what is promised to be quick is
measured by Ray's own notes.
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
    both,
    firing,
    logs,
    lost_at,
    moves_on,
    newest,
    nothing_remains,
    nothing_secret,
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
SHOWN = "job-driver-*.log monitor.log monitor.out"  # of the head, if the test fails
WATCHED = shutil.which("prometheus") is not None
SUBMIT = (
    "submit", "avatars32-pvdgan", f"storage.run={RUN}", f"data.url=s3://{BUCKET}/avatars32",
    "data.images=256", "train.images=4000000", "train.checkpoint_every=800",
    "train.log_every=400", "network.width=4", "network.max_width=16",
    "evaluate.every=8000", "evaluate.test_images=16", "evaluate.generated_images=16",
    "cluster.min_workers=1", "cluster.max_workers=2", "metrics.host=node",
    # More than half of what a host has, so that there is one worker on each; but no more threads
    # than cores: the hosts share them, and threads that wait for one another are ten times slower.
    f"cluster.cpus_per_worker={(os.cpu_count() or 1) / 2 + 0.5}",
    "cluster.grow_after_s=20",  # there is only a quarter of an hour
    "cluster.max_failures=10",
)  # fmt: skip


@pytest.fixture(scope="module")
def user(request: pytest.FixtureRequest) -> Iterator[User]:
    with s3() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment().items():
            patch.setenv(name, value)
        user = User(build(["head", "one", "two"]), store)
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", user.token)
        yield user
        if request.session.testsfailed:  # what the job said, whoever followed it
            print(user.hosts[0].run(f"cd /tmp/ray/session_latest/logs; tail -n 80 {SHOWN}"))


def test_the_life_of_a_cluster(user: User) -> None:
    head, one, two = user.hosts
    told("ray up")
    user.ray("up")
    with user.tunnel():
        wait_until(lambda: len(workers()) == 2, 120, "both workers' nodes")
        strangers_are_refused(user, head)
        only_documented_ports_are_open(head, one)
        told("doctor")
        looked = user.launch("doctor", "--cluster", f"storage.run={RUN}-try")
        assert looked.returncode == 0, looked.stdout
        assert "gloo over 2 nodes" in looked.stdout
        said = submitted(user)
        if WATCHED:
            told("monitoring")
            prometheus_sees_all_of(one, two)
            assert not firing(), "a clean run raises no alert"
        lose_and_find(two, one)
        cut_and_mend(one, two)
        if WATCHED:
            wait_until(lambda: "RepeatedRestarts" in firing(), 60, "the alert")
        said += public(watched=WATCHED)
        said += stopped(user)
    reached = newest()
    told("ray down")
    said += logs(user.hosts)
    user.ray("down")
    nothing_remains(user.hosts)
    nothing_secret(user, said)

    told("a second cluster")
    user.ray("up")
    with user.tunnel():
        wait_until(lambda: len(workers()) == 2, 120, "both workers' nodes of the new cluster")
        again = [word for word in SUBMIT if not word.startswith("train.images")]
        done = user.launch(*again, f"train.images={reached + 800}", timeout_s=300)
    assert done.returncode == 0, done.stdout
    assert f"resuming from {reached} images" in done.stdout
    told("done")


def submitted(user: User) -> str:
    """A run on both hosts, that has saved. Its client ends: the laptop is closed."""
    told("submit")
    output = client() / "output"
    follower = user.follow(*SUBMIT, f"submit.id={JOB}", output=output)
    wait_until(newest, 300, "the first checkpoint")
    wait_until(both, 120, "a worker on each host")
    listed = user.launch("status", "--cluster")
    assert re.search(rf"{JOB} +RUNNING +" + RUN, listed.stdout), listed.stdout
    follower.kill()
    follower.wait(10)
    return output.read_text() + listed.stdout


def lose_and_find(lost: Host, left: Host) -> None:
    """A host crashes: the run goes on without it; it comes back: the run grows."""
    told("crash")
    lost.crash()
    wait_until(lambda: workers() == {left.address: 1}, 180, "training on one host")
    moves_on(newest())
    if WATCHED:
        wait_until(lambda: {"NodeLost", "FewerWorkers"} <= firing(), 60, "the alerts")
    told("return")
    lost.start()
    wait_until(both, 240, "two workers again")
    moves_on(newest())


def cut_and_mend(cut: Host, left: Host) -> None:
    """A link is cut: noticed, and the run goes on; it is mended: the run grows."""
    told("cut")
    since = time.time()
    cut.cut()
    noticed = wait_until(lambda: lost_at(cut), 30, "the cut is noticed")
    assert since < noticed <= since + 10
    wait_until(lambda: workers() == {left.address: 1}, 180, "training on one host")
    moves_on(newest())
    told("mend")
    cut.mend()
    wait_until(both, 240, "two workers after the cut")
    moves_on(newest())


def stopped(user: User) -> str:
    """The run saves and ends, as the user asks from a new shell."""
    told("attach --stop")
    done = user.launch("attach", JOB, "--stop")
    assert done.returncode == 130, done.stdout
    return done.stdout


def told(chapter: str) -> None:
    """For whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {chapter}", flush=True)
