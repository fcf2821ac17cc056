"""The chaos tests in three groups, of which a run of CI does one.

The variable GANINV_CHAOS_GROUP says which tests run:

- unset or `all`: every chaos test, as `make chaos` does;
- `0`, `1` or `2`: one group;
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
# Patterns over the name of a test within this folder (`*`: anything) → estimated seconds of all
# tests that match, on two quiet cores with GANINV_FAULTS=1. A parameter that grows (objectives) is
# covered by a pattern, so that a new objective needs no entry here.
Table = Mapping[str, int]
IN_EVERY_RUN: Table = {"test_kill_in_save.py::*": 130}
GROUPS: tuple[Table, ...] = (
    {
        "test_alerts_live.py::*": 300,
        "test_resume.py::*-0]": 200,
        "test_faults.py::*[sigkill]": 70,
        "test_faults.py::*[outage]": 70,
    },
    {
        "test_step_faults.py::*": 400,
        "test_resume.py::*-1]": 200,
        "test_faults.py::*[sigstop]": 90,
    },
    {
        "test_world_sizes.py::*": 220,
        "test_elastic.py::*": 100,
        "test_trouble.py::*": 45,
        "test_resume.py::*-2]": 200,
        "test_faults.py::*[sigterm]": 70,
    },
)
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


def estimated_seconds(group: int) -> int:
    """Of a run of this group, with the tests that belong to all groups."""
    return sum(IN_EVERY_RUN.values()) + sum(GROUPS[group].values())


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
