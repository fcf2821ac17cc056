"""Listing directories: links are followed, and loops end."""

import os
from pathlib import Path

import pytest

from ganinv.places.walking import files_below


def _raise(error: OSError) -> None:
    raise error


def _names(folder: Path) -> list[str]:
    return sorted(
        Path(entry.path).relative_to(folder).as_posix()
        for entry in files_below(folder, on_error=_raise)
    )


def test_links_to_directories_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "deep" / "a").write_bytes(b"")
    (tmp_path / "here" / "x").mkdir(parents=True)
    for name in ("here/one", "here/x/two"):
        (tmp_path / name).symlink_to(tmp_path / "far")
    (tmp_path / "here" / "nothing").symlink_to(tmp_path / "missing")
    assert _names(tmp_path / "here") == ["nothing", "one/deep/a", "x/two/deep/a"]


def test_loops_are_passed_on_and_not_followed(tmp_path: Path) -> None:
    """A link to an ancestor, and two directories that link to each other."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "other").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    loops: list[str] = []
    found = files_below(
        tmp_path,
        on_error=_raise,
        on_loop=lambda entry: loops.append(os.path.relpath(entry.path, tmp_path)),
    )
    assert len(list(found)) == 4
    assert sorted(loops) == ["a/other/other", "a/up", "b/other/other", "b/other/up"]


def test_directories_may_be_left_out_and_errors_are_passed_on(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a").write_bytes(b"")
    found = files_below(
        tmp_path, on_error=_raise, enter=lambda entry: not entry.name.startswith(".")
    )
    assert list(found) == []
    with pytest.raises(FileNotFoundError):
        list(files_below(tmp_path / "missing", on_error=_raise))
