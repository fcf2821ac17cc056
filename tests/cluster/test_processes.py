"""Server processes: identified beyond doubt, started with a log, and stopped whatever they do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.processes import Process, Server, children, process_namespace, start_of
from ganinv.errors import ClusterError

DEADLINE_S = 20.0
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); "


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) as process:
        yield process
        process.kill()


def shell(script: str, log: Path) -> Server:
    return Server("It", "http://x", ["/bin/sh", "-c", script], log, {"GIVEN": "given"})


def test_a_process_is_alive_until_it_ends(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert process.alive()
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{sleeper.pid}").exists()  # its exit status is left
    assert not process.alive()
    assert start_of(sleeper.pid) is None
    assert not Process.of(sleeper.pid).alive()
    sleeper.wait()
    assert not process.alive()
    assert not process.stop(1)
    assert not Process.of(sleeper.pid).alive()


def test_a_busy_kernel_gets_time_to_end_what_it_killed(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little time the process itself gets to end."""
    waits_s: list[float] = []

    class Unending:
        def register(self, *_: object) -> None: ...

        def poll(self, wait_ms: float) -> list[object]:
            waits_s.append(wait_ms / 1000)
            return []

    monkeypatch.setattr("cluster.processes.select.poll", Unending)
    with pytest.raises(ClusterError, match="outlived SIGKILL for 10 s"):
        Process.of(sleeper.pid).stop(0.5)
    assert waits_s == [0.5, 10]


def test_a_recycled_number_is_neither_alive_nor_signalled(
    sleeper: subprocess.Popen[bytes],
) -> None:
    own = Process.of(sleeper.pid)
    former = Process(pid=sleeper.pid, started=own.started + "1")
    assert own.alive()
    assert not former.alive()
    assert not former.stop(1)
    assert sleeper.poll() is None


def test_all_processes_of_a_namespace_give_it_the_same_name() -> None:
    code = "from cluster.processes import process_namespace; print(process_namespace())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == process_namespace()


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    code = DEAF + "time.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        process = Process.of(deaf.pid)
        assert process.stop(0.2)
        assert not process.alive()
        assert not process.stop(0.2)


def test_a_process_that_obeys_sigterm_has_time_to_clean_up(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/clean; exit' TERM; echo ready; while :; do sleep 0.05; done"
    with closing(shell(script, tmp_path / "log")) as server:
        server.await_ready(lambda _: "ready" in (tmp_path / "log").read_text(), DEADLINE_S)
    assert (tmp_path / "clean").exists()
    assert not server.process.alive()


def test_another_command_stops_a_server_by_its_record(tmp_path: Path) -> None:
    server = shell("exec sleep 100", tmp_path / "log")
    code = (
        "import sys; from cluster.processes import Process; "
        "print(Process(pid=int(sys.argv[1]), started=sys.argv[2]).stop(20))"
    )
    record = [str(server.process.pid), server.process.started]
    said = subprocess.run(
        [sys.executable, "-c", code, *record], capture_output=True, text=True, check=True
    )
    assert said.stdout == "True\n"
    with pytest.raises(ClusterError, match=rf"status {-signal.SIGTERM}"):
        server.check()
    server.close()


def test_a_server_has_its_own_session_environment_and_empty_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier start")
    script = 'echo "$GIVEN $HOME"; cat; echo ready; exec sleep 100'
    with closing(shell(script, log)) as server:
        server.await_ready(lambda _: "ready" in log.read_text(), DEADLINE_S)
        assert os.getsid(server.process.pid) == server.process.pid != os.getsid(0)
        server.check()
    assert log.read_text() == f"given {os.environ['HOME']}\nready\n"


def test_a_server_that_ends_before_it_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        closing(shell("echo why; echo because >&2; exit 3", log)) as server,
        pytest.raises(ClusterError, match=r"It has ended \(status 3\): why\nbecause\n") as caught,
    ):
        server.await_ready(lambda _: False, DEADLINE_S)
    assert str(log) in str(caught.value)


def test_a_server_that_never_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with closing(shell("echo waiting; exec sleep 100", log)) as server:
        server.await_ready(lambda _: log.read_text() != "", DEADLINE_S)
        with pytest.raises(ClusterError, match=r"not answer at http://x after 0\.2 s: waiting"):
            server.await_ready(lambda url: url != "http://x", 0.2)
        server.check()


def test_own_children_are_known(sleeper: subprocess.Popen[bytes]) -> None:
    assert sleeper.pid in children()
