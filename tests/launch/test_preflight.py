"""What is checked before a run starts."""

from pathlib import Path

import pytest

import datasets
from ganinv.errors import ConfigError
from launch.preflight import check_packages


def test_our_datasets_package_is_the_one_imported() -> None:
    check_packages()


def test_another_package_named_datasets_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = str(tmp_path / "site-packages" / "datasets" / "__init__.py")
    monkeypatch.setattr(datasets, "__file__", other)
    with pytest.raises(ConfigError, match=r"imported from .*site-packages"):
        check_packages()
