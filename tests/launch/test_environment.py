"""Commands in odd environments: foreign packages, ASCII terminals, names that are not UTF-8."""

import importlib
import io
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

import datasets
from ganinv.errors import ConfigError
from launch import environment
from tests.support.commands import launch

ROOT = Path(__file__).parents[2]


def test_our_packages_are_the_ones_imported() -> None:
    environment.check_packages()
    assert Path(datasets.__file__ or "").resolve() == ROOT / "datasets" / "__init__.py"


@pytest.mark.parametrize("name", ["datasets", "cluster"])
def test_a_foreign_package_that_comes_first_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise ImportError('the other package')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=f"'{name}' is found in {tmp_path}.*PYTHONPATH"):
        environment.check_packages()
    foreign = ModuleType(name)
    foreign.__spec__ = importlib.machinery.ModuleSpec(name, None, origin=f"{tmp_path}/x.py")
    monkeypatch.setitem(sys.modules, name, foreign)  # as sitecustomize or a .pth file may do
    with pytest.raises(ConfigError, match=f"'{name}' is found in {tmp_path}/x.py"):
        environment.check_packages()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_can_show_any_message(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    environment.prepare()
    for stream in (out, err):
        print("64 × 64 … ✓ caf\udce9.jpg ü", file=stream, flush=True)
        shown = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]  # BytesIO
        assert shown.startswith("64 ")
        assert "caf?.jpg" in shown
    assert encoding != "utf-8" or "64 × 64 … ✓" in shown


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_no_terminal_at_all_is_no_problem(
    stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    environment.prepare()


@pytest.mark.integration
def test_a_foreign_package_on_the_path_and_an_ascii_terminal(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("raise ImportError('the other package')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    plain = {"PYTHONPATH": path, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = launch("data", "ls", "data.url=x", environment={**plain, "PYTHONSAFEPATH": "1"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: the package 'datasets' is found in ")
    assert launch("--help", environment=plain).returncode == 0
    done = launch("data", "build", "avatars", "data.url=/proc/no ü", environment=plain)
    assert done.returncode == 3
    assert done.stderr.startswith("error: /proc/no ?")
