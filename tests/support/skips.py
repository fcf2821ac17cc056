"""In CI a skipped test fails, unless the reason of its skip is on the list below.

A skip is easily overlooked. A missing package or program would silence its tests for months. The
variable CI=true, which CI services set, turns this on; at a desk a skip stays a skip.

This is a pytest plugin: `tests/conftest.py` imports the two hooks.
"""

import os
import re
from collections.abc import Generator

import pytest

# What `.ci/run` could not install here, because the user is not root or the system is not Debian:
# names of Debian packages. Skips for one of them are allowed.
NOT_INSTALLED = "GANINV_CI_NOT_INSTALLED"

# Regular expression over the reason of a skip → why the skip is right even in CI.
ALLOWED_SKIPS = {
    r"no NVIDIA GPU": "CI machines have no GPU",
    r"needs a C\+\+ compiler": "the project needs none; train.compile, an option that is off, does",
    r"parity fixture": "the numbers of the author's code are not distributed",
    r"extra 'faces' is missing": "105 MB that only finding and comparing faces needs",
    r"scikit-image, which holds a photograph": "the extra 'faces' is not installed either",
    r"in the memory of one process": "this kind of store cannot do what the test asks",
    r"type make lab": "`make lab` runs this test, with the hosts that it needs",
    r"may not mount a file ?system": "needs root and a kernel that allows mounts",
    r"only root may make network namespaces": "needs root",
    r"does not allow namespaces": "needs a kernel feature",
    r"kernel has no (veth|bridge|overlay)": "needs a kernel feature",
}

REMEDY = """\
In CI every skip needs a reason on a list. Either let CI install what the test needs (Debian
packages: .ci/run; Python packages: pyproject.toml), or add the reason of the skip to ALLOWED_SKIPS
in tests/support/skips.py and say there why CI may skip the test."""


def in_ci() -> bool:
    """Whether this process runs in CI."""
    return os.environ.get("CI", "").lower() in ("true", "1")


def allowed(reason: str) -> bool:
    """Whether CI may skip a test for this reason."""
    missing = os.environ.get(NOT_INSTALLED, "").split()
    return any(re.search(pattern, reason) for pattern in ALLOWED_SKIPS) or any(
        re.search(rf"\b{re.escape(package)}\b", reason) for package in missing
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a test that is not allowed into a failure; under xdist, in the worker."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips all of its tests while it is imported."""
    report = yield
    _judge(report)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (report.skipped and in_ci()):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not allowed(reason):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped: {reason}\n{REMEDY}"
