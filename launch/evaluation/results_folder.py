"""The folder of an inversion's results: a set of files that is replaced as a whole."""

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ganinv.errors import ConfigError

RECONSTRUCTIONS = "reconstructions"  # a folder
PASTED = "pasted"  # a folder: photographs with the reconstructions in them
FOLDERS = (RECONSTRUCTIONS, PASTED)
PSNR_NAME = "psnr.csv"
# Columns of `PSNR_NAME` that name files in these folders.
PLACE_COLUMN = "reconstruction"
TRANSFORM_COLUMN = "transform"
PASTED_COLUMN = "pasted"
DELTA_COLUMN = "delta"  # of tuned models
COLUMNS = (PLACE_COLUMN, TRANSFORM_COLUMN, PASTED_COLUMN, DELTA_COLUMN)
TRANSFORM_SUFFIX = ".transform.json"
DELTA_SUFFIX = ".delta.safetensors"
CODES_STEM = "codes"
CODES_SUFFIXES = ("npz", "safetensors")
FIGURES_NAME = "inversion.json"  # these are written by inversions with optimisation
PAGE_NAME = "inversion.html"
STRIP_NAME = "strip.png"
CURVES_NAME = "curves.npz"
CHART_NAME = "curves.svg"
FILES = (
    PSNR_NAME,
    *(f"{CODES_STEM}.{suffix}" for suffix in CODES_SUFFIXES),
    FIGURES_NAME,
    PAGE_NAME,
    STRIP_NAME,
    CURVES_NAME,
    CHART_NAME,
)


@contextmanager
def replaced_results(target: Path) -> Iterator[Path]:
    """A new folder for all results; they replace those in `target` if the block succeeds.

    If it fails, the results in `target` stay as they are. Nothing else in `target` is touched.
    """
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="unfinished-", dir=target) as made:
        yield Path(made)
        for name in FOLDERS:
            if (target / name).exists():
                shutil.rmtree(target / name)
        for name in FILES:
            (target / name).unlink(missing_ok=True)
        for path in Path(made).iterdir():
            path.replace(target / path.name)


def check_replaceable(target: Path) -> None:
    """Raises `ConfigError` if one of `FOLDERS` holds what no inversion has written."""
    own = {target / place for place in _listed(target / PSNR_NAME)}
    for name in FOLDERS:
        folder = target / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            foreign: Path | None = folder
        else:
            foreign = next((path for path in _files(folder) if path not in own), None)
        if foreign is not None:
            raise ConfigError(
                f"invert.to = {target}: invert.overwrite=true replaces {name}/, but "
                f"{PSNR_NAME} does not list {foreign}; move it away, or choose another folder"
            )


def _listed(path: Path) -> list[str]:
    """The files that a list of earlier results names; empty without such a list."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
    except csv.Error:
        return []  # another program's file of this name
    return [row.get(column) or "" for row in rows for column in COLUMNS]


def _files(folder: Path) -> Iterator[Path]:
    """Files, and links to files and folders, at any depth."""
    for where, folders, files in os.walk(folder):
        yield from (Path(where, name) for name in files)
        yield from (path for name in folders if (path := Path(where, name)).is_symlink())
