"""Each chaos test belongs to one of the groups that CI rotates, or to all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.groups import (
    GROUPS,
    IN_EVERY_RUN,
    NUMBERS,
    ONE_AT_A_TIME,
    VARIABLE,
    estimated_seconds,
    fingerprint,
    groups_of,
    matches,
    selected,
)
from tests.support.commands import ROOT

# Prints, for each setting of the variable, the names of the chaos tests that pytest would run.
COLLECT = """
import contextlib, json, os, sys
import pytest

class Names:
    def pytest_collection_finish(self, session):
        self.found = [item.nodeid.removeprefix("tests/chaos/") for item in session.items]

collected = {}
for setting in sys.argv[2:]:
    os.environ[sys.argv[1]] = setting
    names = Names()
    with contextlib.redirect_stdout(sys.stderr):
        words = ["--collect-only", "-q", "-m", "chaos", "-p", "no:cacheprovider", "tests/chaos"]
        assert pytest.main(words, plugins=[names]) == 0
    collected[setting] = names.found
print(json.dumps(collected))
"""
MAKEFILE = (ROOT / "Makefile").read_text()
SETTINGS = ["all", *map(str, sorted(NUMBERS))]


@pytest.fixture(scope="module")
def collected() -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, VARIABLE, *SETTINGS],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.integration
def test_the_groups_partition_the_chaos_tests(collected: dict[str, list[str]]) -> None:
    everything = collected["all"]
    assert len(everything) > 30
    rotating = [test for test in everything if not test.startswith("test_kill_in_save.py::")]
    for test in rotating:
        assert len(groups_of(test)) == 1, f"{test}: name it once in tests/chaos/groups.py"
    for test in set(everything) - set(rotating):
        assert groups_of(test) == NUMBERS, test
    for number in NUMBERS:
        # What the tables say is what pytest collects.
        expected = [test for test in everything if number in groups_of(test)]
        assert collected[str(number)] == expected
    assert sum(len(collected[str(n)]) for n in NUMBERS) == len(rotating) + len(NUMBERS) * (
        len(everything) - len(rotating)
    )


@pytest.mark.integration
def test_every_pattern_names_a_test(collected: dict[str, list[str]]) -> None:
    for table in (IN_EVERY_RUN, *GROUPS):
        for pattern in table:
            assert any(matches(test, pattern) for test in collected["all"]), pattern


def test_groups_take_about_the_same_time_and_no_longer_than_ci_has() -> None:
    seconds = [estimated_seconds(number) for number in NUMBERS]
    assert max(seconds) <= 7.5 * 60
    assert max(seconds) - min(seconds) <= 60


def test_make_chaos_has_tests_for_both_of_its_commands() -> None:
    # Pytest fails with 5 where it finds no test. The first command of a group may have none.
    assert f"ALONE := {' '.join(f'tests/chaos/{file}' for file in ONE_AT_A_TIME)}\n" in MAKEFILE
    assert "-m chaos $(ALONE) || [ $$? = 5 ]\n" in MAKEFILE
    assert not any(pattern.startswith(ONE_AT_A_TIME) for pattern in IN_EVERY_RUN)
    in_groups = [pattern for table in GROUPS for pattern in table]
    for file in ONE_AT_A_TIME:
        assert any(pattern.startswith(file) for pattern in in_groups)


def test_the_commit_selects_the_group(tmp_path: Path) -> None:
    assert selected("commit", ROOT) == int(fingerprint(ROOT), 16) % 8
    assert selected("commit", tmp_path) == selected("commit", tmp_path)
    assert [selected(setting, ROOT) for setting in (None, "", "all")] == [None] * 3
    assert [selected(str(number), ROOT) for number in range(8)] == list(range(8))
    with pytest.raises(
        ValueError, match="GANINV_CHAOS_GROUP = 8: expected 0, 1, 2, 3, 4, 5, 6, 7, all or commit"
    ):
        selected("8", ROOT)


def test_without_git_the_files_select_the_group(tmp_path: Path) -> None:
    # `rev-parse` fails where the folder names a repository that is not there.
    (tmp_path / ".git").write_text(f"gitdir: {tmp_path / 'nowhere'}\n")
    (tmp_path / "tests").mkdir()
    before = fingerprint(tmp_path)
    (tmp_path / "tests" / "new.py").write_text("")
    assert len({before, fingerprint(tmp_path)}) == 2
    assert selected("commit", tmp_path) in NUMBERS
