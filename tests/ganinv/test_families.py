"""Families of interchangeable parts, found by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from ganinv import optimizers
from ganinv.errors import ConfigError
from ganinv.families import Family

FAMILY = Family(
    package="ganinv.optimizers",
    path=optimizers.__path__,
    shared=frozenset({"base"}),
    called="a role's optimizer",
)


def test_members_are_found_and_shared_modules_are_not_members() -> None:
    assert FAMILY.find("adam").__name__ == "ganinv.optimizers.adam"
    for name in ("base", "sgd"):
        with pytest.raises(ConfigError, match=f"a role's optimizer = '{name}': unknown name"):
            FAMILY.find(name)


def test_a_loaded_member_is_found_although_its_folder_was_deleted(tmp_path: Path) -> None:
    """Ray deletes the code that it unpacked for a worker, at times under the worker."""
    loaded = FAMILY.find("adam")
    assert replace(FAMILY, path=[str(tmp_path / "deleted")]).find("adam") is loaded
