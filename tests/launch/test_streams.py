"""Commands go on, or end quietly, when nobody reads what they print."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from launch import streams
from launch.wiring import jobs
from launch.wiring.jobs import follow

ROOT = Path(__file__).parents[2]
PRINTING = [sys.executable, "-m", "launch", "--help"]


def printing(redirection: str) -> subprocess.CompletedProcess[str]:
    """`ganinv --help` in a shell, with standard output redirected."""
    words = ["sh", "-c", f'exec "$@" {redirection}', "sh", *PRINTING]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        PRINTING, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_closed_standard_output_is_no_error() -> None:
    done = printing(">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_an_error() -> None:
    done = printing("> /dev/full")
    assert done.returncode == 3
    assert done.stderr.startswith("error: standard output is incomplete: No space left on device")


@pytest.mark.parametrize("number", streams.READER_IS_GONE)
def test_printing_goes_on_without_a_reader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    """A closed pipe, and a closed terminal."""
    raw = streams.LastingFile(tmp_path / "output", "w")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw)))
    out = Console(file=sys.stdout)
    out.print("read")
    assert not streams.reader_is_gone()
    os.dup2(os.open("/dev/full", os.O_WRONLY), raw.fileno())
    out.print("lost")
    assert raw.lost is not None
    assert raw.lost.errno == errno.ENOSPC
    raw.lost = OSError(number, os.strerror(number))
    out.print("lost, too")
    assert streams.reader_is_gone()
    streams.check()
    assert (tmp_path / "output").read_text() == "read\n"


def test_following_a_job_ends_when_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        def follow(self, _: str, write: object) -> int:
            assert callable(write)
            for _ in range(9):
                write("more\n")
            return 0

    shown = io.StringIO()
    monkeypatch.setattr(jobs.streams, "reader_is_gone", lambda: shown.getvalue().count("more") > 2)
    assert follow(Server(), "first", Console(file=shown)) == 130  # type: ignore[arg-type]
    assert shown.getvalue().count("more") == 3
    assert "the job continues" in shown.getvalue()
