"""In CI a skip fails unless its reason is on the list, in one process and under xdist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import skips
from tests.support.commands import ROOT

TESTS = """
import pytest

@pytest.mark.skipif(True, reason="no prometheus on this machine (Debian package: prometheus)")
def test_lacks_a_program(): ...

def test_lacks_a_package():
    pytest.importorskip("a_package_that_nobody_has")

@pytest.fixture
def lacking():
    pytest.skip("no chromium on this machine (Debian package: chromium)")

def test_lacks_in_a_fixture(lacking): ...

@pytest.mark.skipif(True, reason="no NVIDIA GPU on this machine")
def test_lacks_a_gpu(): ...

@pytest.mark.xfail
def test_is_expected_to_fail():
    assert False

def test_runs(): ...
"""
MODULE = 'import pytest\n\npytest.importorskip("a_package_that_nobody_has")\n'


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Pytest with the plugin, and no plugin but xdist besides, in a folder of its own."""
    unset = ("CI", skips.NOT_INSTALLED, "PYTEST_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(unset)}
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "tests.support.skips", "-p", "xdist",
            "-p", "no:cacheprovider", f"--rootdir={folder}", "-c", os.devnull, *words, str(folder),
        ],
        cwd=folder,
        env={
            **inherited,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


def counts(output: str) -> dict[str, int]:
    """What the closing line counts."""
    found = re.findall(r"(\d+) (failed|passed|skipped|xfailed|error)", output.splitlines()[-1])
    return {name: int(number) for number, name in found}


@pytest.mark.integration
@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_a_skip_in_ci_fails_unless_it_is_on_the_list(tmp_path: Path, words: tuple[str]) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    done = run(tmp_path, *words, CI="true")
    assert done.returncode == 1, done.stdout
    # A skip in a mark or in a fixture comes before the test itself: pytest calls that an error.
    expected = {"failed": 1, "error": 2, "passed": 1, "skipped": 1, "xfailed": 1}
    assert counts(done.stdout) == expected
    for name, reason in {
        "test_lacks_a_program": "no prometheus on this machine (Debian package: prometheus)",
        "test_lacks_a_package": "could not import 'a_package_that_nobody_has'",
        "test_lacks_in_a_fixture": "no chromium on this machine (Debian package: chromium)",
    }.items():
        assert f"test_some.py::{name} was skipped: {reason}" in done.stdout
    assert "add the reason of the skip to ALLOWED_SKIPS" in done.stdout


@pytest.mark.integration
def test_a_module_that_skips_itself_in_ci_fails(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(MODULE)
    done = run(tmp_path, CI="true")
    assert done.returncode != 0
    assert counts(done.stdout) == {"error": 1}
    assert "test_some.py was skipped: could not import 'a_package_that_nobody_has'" in done.stdout


def test_a_skip_for_what_ci_could_not_install_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "no promtool on this machine (package: prometheus)"
    monkeypatch.delenv(skips.NOT_INSTALLED, raising=False)
    assert not skips.allowed(reason)
    monkeypatch.setenv(skips.NOT_INSTALLED, "zsh prometheus")
    assert skips.allowed(reason)
    assert not skips.allowed("no chromium on this machine (Debian package: chromium)")


@pytest.mark.integration
def test_a_skip_at_a_desk_is_a_skip(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert counts(done.stdout) == {"passed": 1, "skipped": 4, "xfailed": 1}


def test_every_allowed_reason_still_occurs_in_a_test() -> None:
    own = (Path(__file__), Path(skips.__file__))
    sources = [
        path.read_text()
        for pattern in ("*.py", "*.sh")
        for path in (ROOT / "tests").rglob(pattern)
        if path not in own
    ]
    for pattern in skips.ALLOWED_SKIPS:
        assert any(re.search(pattern, source) for source in sources), pattern


def test_this_suite_uses_the_plugin(request: pytest.FixtureRequest) -> None:
    judges = [
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "pytest_runtest_makereport", None) is skips.pytest_runtest_makereport
    ]
    assert judges
