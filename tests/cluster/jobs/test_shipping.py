"""The shipped files are exactly those that Ray packs, and not too many bytes."""

import zipfile
from pathlib import Path

import pytest

from cluster.jobs.shipping import CHECKOUT, EXCLUDED, shipped
from ganinv.errors import ConfigError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with one file of every kind that is excluded."""
    for name, text in {
        "launch/commands/train.py": "code",
        "launch/big.bin": "x" * 500,
        ".gitignore": "*.log\n",
        ".rayignore": "notes/\n",
        "a.log": "said",
        "notes/private.txt": "mine",
        "tests/test_a.py": "test",
        ".git/config": "git",
        ".venv/bin/python": "binary",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_files_are_those_that_ray_packs(checkout: Path) -> None:
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env.packaging import create_package

    package = checkout.parent / "package.zip"
    patterns = get_runtime_env_default_excludes() + EXCLUDED
    create_package(str(checkout), package, include_gitignore=True, excludes=patterns)
    with zipfile.ZipFile(package) as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
    found = shipped(checkout)
    assert {entry.name for entry in found} == names
    assert names == {"launch/commands/train.py", "launch/big.bin", ".gitignore", ".rayignore"}
    assert (found[0].name, found[0].size_bytes) == ("launch/big.bin", 500)


def test_too_many_bytes_are_refused_and_the_largest_files_named(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.jobs.shipping.LIMIT_BYTES", 400)
    with pytest.raises(ConfigError, match=r"\.rayignore \(largest: launch/big.bin"):
        shipped(checkout)


def test_this_checkout_is_small_and_complete() -> None:
    names = {entry.name for entry in shipped()}
    assert {
        "launch/__main__.py",
        "launch/recipes/tiny-pvdgan.yaml",
        "ganinv/training/step.py",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", ".git/", ".venv/"))]
    assert sum((CHECKOUT / name).stat().st_size for name in names) < 20e6
