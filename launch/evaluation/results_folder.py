"""The folder of an inversion's results: a set of files that is replaced as a whole."""

import csv
from contextlib import AbstractContextManager
from pathlib import Path

from launch.replacing import check_own, replaced_results

RECONSTRUCTIONS = "reconstructions"  # a folder
PASTED = "pasted"  # a folder: photographs with the reconstructions in them
FOLDERS = (RECONSTRUCTIONS, PASTED)
PSNR_NAME = "psnr.csv"
# Columns of `PSNR_NAME` that name files in these folders.
PLACE_COLUMN = "reconstruction"
TRANSFORM_COLUMN = "transform"
PASTED_COLUMN = "pasted"
DELTA_COLUMN = "delta"  # of tuned models
LABEL_COLUMN = "label"  # the class of each image, of a conditional model
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


def replaced(target: Path) -> AbstractContextManager[Path]:
    """A new folder for all results, which replace those in `target` if the block succeeds."""
    return replaced_results(target, (*FOLDERS, *FILES))


def check_replaceable(target: Path) -> None:
    """Raises `ConfigError` if one of `FOLDERS` holds what no inversion has written."""
    check_own(target, "invert", FOLDERS, PSNR_NAME, _listed(target / PSNR_NAME))


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
