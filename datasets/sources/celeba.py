"""CelebA, aligned and cropped: 202,599 faces of 178 × 218 pixels with 40 attributes.

From https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (non-commercial research): unpack
`img_align_celeba.zip`, and put `list_eval_partition.txt` and `list_attr_celeba.txt` beside it.
The DLSGAN paper's data, which its author squashes to 128 × 128 without a crop:

    ganinv data build celeba data.input=~/celeba data.url=s3://bucket/celeba128 \\
        data.resolution=128 data.resize=stretch

Partition 0 (162,770 images) trains and 2 (19,962) tests, as in the paper. The validation images
(1) are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets.shards.splits import Split
from datasets.sources.base import BuildOptions, Inputs, input_folder, spread
from datasets.sources.files import FileSource, ImageFile
from datasets.sources.photographs import list_photographs
from ganinv.errors import ConfigError, DataError

_IMAGES = "img_align_celeba"
_SPLITS: dict[str, Split] = {"0": "train", "2": "test"}
_LAST_TRAIN, _LAST_VALIDATION = 162_770, 182_637  # of the official partition
# The archives unpack into folders of their own, which some mirrors drop or repeat.
_LIST_FOLDERS = (".", "Eval", "Anno", "..", "../Eval", "../Anno")


def source(options: BuildOptions, inputs: Inputs) -> FileSource:
    """Raises `ConfigError` if there are no such images, `DataError` for a damaged list."""
    del inputs  # a directory is all it takes
    folder = input_folder(options, "CelebA")
    while (folder / _IMAGES).is_dir():
        folder /= _IMAGES
    partition = _find_list(folder, "list_eval_partition.txt")
    parts = dict(_rows(partition)) if partition else None
    files = []
    for path in list_photographs(folder):
        split = _split(path, parts)
        if split is not None:
            files.append(ImageFile(Path(path).stem, split, path))
    files = spread(files, options.images, f"data.input={options.input}")
    attributes = _find_list(folder, "list_attr_celeba.txt")
    return FileSource(
        folder,
        files,
        options,
        facts={
            "source": "celeba",
            "with_attributes": attributes is not None,
            "licence": "CelebA: non-commercial research",
        },
        attributes=_read_attributes(attributes) if attributes else {},
    )


def _split(path: str, parts: dict[str, list[str]] | None) -> Split | None:
    """The official one, by the list or else by the number; None for validation images."""
    if parts is not None:
        return _SPLITS.get("".join(parts.get(path, [])))
    stem = Path(path).stem
    if not stem.isdecimal():
        raise ConfigError(
            f"data.input: {path!r} is no CelebA image, whose names are numbers such as 000001.jpg;"
            f" name the folder of {_IMAGES}, or build other images by data build FOLDER"
        )
    number = int(stem)
    if number <= _LAST_TRAIN:
        return "train"
    return "test" if number > _LAST_VALIDATION else None


def _find_list(images: Path, name: str) -> Path | None:
    candidates = [images / folder / name for folder in _LIST_FOLDERS]
    return next((path for path in candidates if path.is_file()), None)


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The first word of each line, and the others."""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words:
            yield words[0], words[1:]


def _read_attributes(path: Path) -> dict[str, dict[str, Any]]:
    """By file name, 1 for yes and -1 for no. The list: a count, the names, a row per image."""
    lines = path.read_text(encoding="utf-8").splitlines()
    names = lines[1].split() if len(lines) > 1 else []
    found = {}
    for number, line in enumerate(lines[2:], start=3):
        file_name, *values = line.split() or [""]
        if len(values) != len(names) or not {"1", "-1"}.issuperset(values):
            raise DataError(
                f"{path}: line {number} has not {len(names)} values of 1 or -1; fetch it anew"
            )
        found[file_name] = dict(zip(names, map(int, values), strict=True))
    return found
