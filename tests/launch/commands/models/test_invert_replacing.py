"""The verb `invert` replaces results as a whole, and nothing that is none."""

from pathlib import Path

import pytest

from ganinv.errors import ConfigError, DataError
from launch.commands.models import invert
from tests.support.inverted import NAMES, go, rows


def test_results_are_replaced_as_a_whole_or_not_at_all(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    options = [f"storage.run={run}", f"invert.images={images}", f"invert.to={target}"]
    go(capsys, *options)
    (target / "notes.txt").write_text("mine")
    (images / "a.png").unlink()
    before = {path: path.read_bytes() for path in target.rglob("*.*") if path.is_file()}
    (images / "d.png").write_bytes(b"no image at all")
    again = [*options, "invert.overwrite=true", "invert.codes=safetensors"]
    with pytest.raises(DataError, match=r"d\.png"):
        invert.main(again)
    assert {path: path.read_bytes() for path in target.rglob("*.*") if path.is_file()} == before
    go(capsys, *again, "invert.max_unreadable=1")
    assert sorted(path.name for path in target.iterdir()) == [
        "codes.safetensors",
        "notes.txt",
        "psnr.csv",
        "reconstructions",
    ]
    left = {path.relative_to(target).as_posix() for path in target.rglob("*.png")}
    assert left == {row["reconstruction"] for row in rows(target)}
    assert len(left) == len(NAMES) - 2


@pytest.mark.parametrize("kind", ["file", "link to a folder", "the folder is a link"])
def test_only_results_are_replaced(run: str, images: Path, tmp_path: Path, kind: str) -> None:
    target, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.png").write_bytes(b"mine")
    if kind == "the folder is a link":
        target.mkdir()
        (target / "reconstructions").symlink_to(outside)
    else:
        (target / "reconstructions").mkdir(parents=True)
        foreign = target / "reconstructions" / "deep"
        foreign.write_bytes(b"mine") if kind == "file" else foreign.symlink_to(outside)
    with pytest.raises(ConfigError, match=r"psnr\.csv does not list .*/reconstructions"):
        invert.main(
            [
                f"storage.run={run}",
                f"invert.images={images}",
                f"invert.to={target}",
                "invert.overwrite=true",
            ]
        )
    assert [path.name for path in target.iterdir()] == ["reconstructions"]
    assert [path.name for path in outside.iterdir()] == ["mine.png"]
