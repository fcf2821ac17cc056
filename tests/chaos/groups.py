"""The chaos tests in eight groups, of which a run of CI does one.

The variable GANINV_CHAOS_GROUP says which tests run:

- unset or `all`: every chaos test, as `make chaos` does;
- `0` to `7`: one group;
- `commit`: the group that the commit's hash selects, as `.ci/run` does. A folder without git is
  hashed file by file.

The tests in `IN_EVERY_RUN` belong to all groups.
"""

import hashlib
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GANINV_CHAOS_GROUP"
# Pattern over FILE::FUNCTION[PARAMETERS] (`*`: any characters) → estimated seconds of all tests
# that match, one at a time on two quiet cores with GANINV_FAULTS=1. A new method adds a test, and
# 106 s, to one of the `test_every_other_method_*`.
Table = Mapping[str, int]
IN_EVERY_RUN: Table = {"test_kill_in_save.py::*": 244}
GROUPS: tuple[Table, ...] = (
    {
        "test_alerts_live.py::*": 225,
        "test_departures.py::*": 40,
    },
    {
        "test_step_faults.py::test_a_worker_that_hangs_*": 135,  # with the reference
        "test_resume.py::test_killed_*-flat]": 106,
        "test_elastic.py::*": 87,
    },
    {
        "test_step_faults.py::test_survivors_*": 95,  # with the reference
        "test_world_sizes.py::*": 235,
    },
    {
        "test_step_faults.py::test_a_controller_*": 80,  # with the reference
        "test_faults.py::*[sigterm]": 93,  # the first test of this file trains the reference, too
        "test_faults.py::*[lost_node]": 77,
        "test_faults.py::*[restarted_store]": 36,
        "test_trouble.py::*": 43,
    },
    {
        "test_step_faults.py::test_*_nans_*": 58,
        "test_resume.py::test_every_other_method_*-0]": 212,
        "test_resume.py::test_every_other_method_*-flat]": 106,
    },
    {
        "test_faults.py::*[sigkill]": 90,
        "test_faults.py::*[drained]": 82,
        "test_faults.py::*[outage]": 46,
        "test_resume.py::test_every_other_method_*-2]": 136,  # LIA in two stages
    },
    {
        "test_faults.py::*[sigstop]": 100,
        "test_resume.py::test_killed_*-0]": 106,
        "test_resume.py::test_killed_*-1]": 212,
    },
    {
        "test_resume.py::test_killed_*-2]": 212,
        "test_resume.py::test_every_other_method_*-1]": 106,
        "test_compiled_steps.py::*": 40,
    },
)
# `make chaos` runs these files one test at a time, because they measure time. It runs all other
# tests two at a time, which takes about 2/3 of the seconds: a starting run often uses one core.
ONE_AT_A_TIME = ("test_alerts_live.py", "test_step_faults.py")
TWO_AT_A_TIME = 2 / 3
NUMBERS = frozenset(range(len(GROUPS)))
HASHED_FOLDERS = ("cluster", "datasets", "ganinv", "launch", "tests")


def groups_of(test: str) -> frozenset[int]:
    """The groups of a test FILE::FUNCTION[PARAMETERS]; none if the tables lack the test."""
    if _listed(test, IN_EVERY_RUN):
        return NUMBERS
    return frozenset(number for number in NUMBERS if _listed(test, GROUPS[number]))


def runs_in(test: str, group: int) -> bool:
    """Whether a run of this group includes the test. A test that the tables lack always runs."""
    return group in (groups_of(test) or NUMBERS)


def estimated_seconds(group: int) -> float:
    """The duration of `make chaos` for this group."""
    seconds = {**IN_EVERY_RUN, **GROUPS[group]}
    alone = {pattern for pattern in seconds if pattern.startswith(ONE_AT_A_TIME)}
    return sum(
        value * (1 if pattern in alone else TWO_AT_A_TIME) for pattern, value in seconds.items()
    )


def selected(setting: str | None, root: Path) -> int | None:
    """The group that a value of GANINV_CHAOS_GROUP selects in a checkout; None: all tests."""
    if setting in (None, "", "all"):
        return None
    if setting == "commit":
        return int(fingerprint(root), 16) % len(GROUPS)
    if setting not in map(str, NUMBERS):
        known = ", ".join(map(str, sorted(NUMBERS)))
        raise ValueError(f"{VARIABLE} = {setting}: expected {known}, all or commit")
    return int(setting)


def fingerprint(root: Path) -> str:
    """The hash of the commit that is checked out, or of all Python files where git knows none."""
    try:
        words = ["git", "rev-parse", "--verify", "HEAD"]
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        digest = hashlib.sha256()
        for path in sorted(p for name in HASHED_FOLDERS for p in (root / name).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
        return digest.hexdigest()


def _listed(test: str, table: Table) -> bool:
    return any(matches(test, pattern) for pattern in table)


def matches(test: str, pattern: str) -> bool:
    """`*` in a pattern stands for any characters; all others, brackets too, for themselves."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), test) is not None
