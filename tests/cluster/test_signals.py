"""Signals reach this process at any time, and spare the processes that a library starts."""

import os
import signal
import subprocess
import sys

from cluster.signals import children_block, ended_if_blocked


def test_children_outlive_a_signal_that_this_process_hears() -> None:
    code = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    words = [sys.executable, "-c", code]

    def blocked() -> str:
        # Ray starts its processes with a `preexec_fn`, too; without one nothing would be blocked.
        done = subprocess.run(words, capture_output=True, check=True, preexec_fn=os.getpid)
        return done.stdout.decode()

    with children_block((signal.SIGTERM, signal.SIGHUP)):
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        inside = blocked()
    assert "SIGTERM" in inside
    assert "SIGHUP" in inside
    assert blocked().strip() == "[]"


def test_a_signal_ends_a_process_that_cannot_handle_it() -> None:
    code = (
        "import hashlib, signal; from cluster.signals import ended_if_blocked\n"
        "with ended_if_blocked((signal.SIGTERM,), 0.2):\n"
        "    print('blocked', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)\n"
    )
    code = "import signal; signal.signal(15, lambda *_: None)\n" + code
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 130


def test_a_signal_that_is_handled_in_time_ends_nothing() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with ended_if_blocked((signal.SIGTERM,), 20):
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
