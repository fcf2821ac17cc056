"""Ctrl-C, SIGTERM and a closed terminal end every command; they let a training save first."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from launch import signals

# A verb that waits, and cleans up on its way out. It imports little, so it starts at once.
PROBE = """
import sys, threading, types
import launch.__main__ as command

def wait(argv):
    try:
        print("waiting", flush=True)
        threading.Event().wait(60)
    finally:
        print("cleaned up", flush=True)
    return 0

probe = types.ModuleType("launch.commands.probe")
probe.main = wait
sys.modules[probe.__name__] = probe
command.VERBS["probe"] = ""
sys.exit(command.main(["probe"]))
"""


@pytest.fixture
def fresh() -> Iterator[None]:
    """No signal was heard yet; afterwards the test runner's handlers are back."""
    # The tests may run under nohup, or in the background of a script.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in signals.ENDINGS}
    signals._heard.clear()
    yield
    signals._heard.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


def started(*ignored: int) -> subprocess.Popen[str]:
    """The waiting command; it inherits that the signals `ignored` are ignored."""
    before = {
        number: signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
        for number in signals.ENDINGS
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for number, handler in before.items():
        signal.signal(number, handler)
    assert line(process.stdout) == "waiting"
    return process


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_waiting_command_ends_at_once_with_130(number: signal.Signals) -> None:
    with started(signal.SIGINT) as process:  # a script's background job starts like this
        process.send_signal(number)
        said, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert said.endswith("cleaned up\n")
    assert errors == ""


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    with started(signal.SIGHUP) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130


@pytest.mark.parametrize("number", signals.ENDINGS)
def test_a_training_is_told_and_only_a_second_ctrl_c_interrupts_it(
    fresh: None, number: signal.Signals
) -> None:
    with signals.collected() as asked:
        assert asked == []
        signal.raise_signal(number)
        for repeated in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):  # by timeout and shells
            signal.raise_signal(repeated)
        assert asked == [number]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_repeated_signals_do_not_interrupt_the_clean_up(fresh: None) -> None:
    signals.install()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
