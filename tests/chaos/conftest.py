"""The group of chaos tests that this run does, and what real runs share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.seaweed.store import ObjectStore
from tests.chaos import groups
from tests.support.commands import ROOT
from tests.support.real_runs import MakeRun, RealRun

HERE = Path(__file__).parent
SHARE_A_RUN = ("test_faults.py", "test_step_faults.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put short tests last, and deselect the chaos tests of the other groups."""
    items.sort(key=_is_short)
    group = _selected_group()
    if group is None:
        return
    others = [item for item in _chaos(items) if not groups.runs_in(_name(item), group)]
    config.hook.pytest_deselected(items=others)
    dropped = set(others)
    items[:] = [item for item in items if item not in dropped]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two processes share the tests of a file, except where the tests of a file share a run."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            splits = (ROOT / file).parent == HERE and Path(file).name not in SHARE_A_RUN
            return nodeid if splits else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_report_header() -> list[str]:
    """Say which group runs, by which rule, and how to run the others."""
    group = _selected_group()
    if group is None:
        return []
    by_commit = os.environ[groups.VARIABLE] == "commit"
    others = "|".join(str(number) for number in sorted(groups.NUMBERS - {group}))
    return [
        f"chaos group {group} of {len(groups.GROUPS)}"
        + (f", selected by commit {groups.fingerprint(ROOT)[:12]}" if by_commit else "")
        + f"; all of it takes about {groups.estimated_seconds(group) / 60:.0f} min:",
        *(f"  {pattern}" for pattern in (*groups.IN_EVERY_RUN, *groups.GROUPS[group])),
        f"other groups: {groups.VARIABLE}={others} make chaos; all groups: make chaos",
    ]


def _selected_group() -> int | None:
    try:
        return groups.selected(os.environ.get(groups.VARIABLE), ROOT)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def _chaos(items: list[pytest.Item]) -> list[pytest.Item]:
    return [i for i in items if i.path.is_relative_to(HERE) and i.get_closest_marker("chaos")]


def _is_short(item: pytest.Item) -> bool:
    """Short tests run beside the last long test, so that both processes end together."""
    return item.path.name == "test_kill_in_save.py"


def _name(item: pytest.Item) -> str:
    """FILE::FUNCTION[PARAMETERS]; unlike the node id, it has no folder and no xdist group."""
    return f"{item.path.relative_to(HERE)}::{item.name}"


@pytest.fixture(scope="session")
def real_run(
    tmp_path_factory: pytest.TempPathFactory, object_store: ObjectStore
) -> Iterator[MakeRun]:
    """Makes runs on the same data and bucket, with the environment set for S3 clients.

    Names of runs are unique over all modules: the first run builds the data for all of them.
    """
    root = tmp_path_factory.mktemp("real-runs")

    def make(name: str, **more: Any) -> RealRun:
        return RealRun(name=name, root=root, server=object_store, **more)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.environment().items():
            patch.setenv(name, value)
        yield make
