"""CelebA, aligned and cropped: 202,599 faces of 178 × 218 pixels with 40 attributes.

From https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (non-commercial research): unpack
`img_align_celeba.zip`, and put `list_eval_partition.txt` and `list_attr_celeba.txt` beside it; or
from Kaggle, whose lists are CSV files. The images may be PNG files (`img_align_celeba_png`).
The DLSGAN paper trains on it; its author resizes to 128 × 128 without a crop:

    ganinv data build celeba data.input=~/celeba data.url=s3://bucket/celeba128 \\
        data.resolution=128 data.resize=stretch

Partition 0 (162,770 images) becomes the training split and partition 2 (19,962 images) the test
split, as in the paper. Partition 1, the validation images, is left out.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from datasets.inputs.celeba_lists import (
    ATTRIBUTES,
    PARTITIONS,
    find_list,
    read_attributes,
    read_partitions,
)
from datasets.inputs.left_out import ROWS, LeftOut
from datasets.inputs.listing import list_images, refuse_no_images
from datasets.inputs.matching import stem_of
from datasets.shards.splits import Split
from datasets.sources.base import BuildOptions, Inputs, spread
from datasets.sources.files import FileSource, ImageFile
from datasets.sources.input_places import input_folder
from ganinv.errors import ConfigError

_IMAGES = ("img_align_celeba", "img_align_celeba_png")
_SPLITS: dict[str, Split] = {"0": "train", "2": "test"}
_VALIDATION = "1"
_LAST_TRAIN, _LAST_VALIDATION = 162_770, 182_637  # of the official partition


def source(options: BuildOptions, inputs: Inputs) -> FileSource:
    """Raises `ConfigError` if there are no CelebA images, `DataError` for a corrupt list."""
    del inputs  # only a directory is read
    where = f"data.input={options.input}"
    given = input_folder(options, "CelebA")
    folder = _images_folder(given)
    names, left_out = list_images(folder)
    if not names:
        raise refuse_no_images(where, left_out)
    paths = _by_stem(names, where)
    partition_list, attribute_list = (find_list(folder, given, n) for n in (PARTITIONS, ATTRIBUTES))
    partitions = read_partitions(partition_list) if partition_list else None
    files = _files(paths, partitions, left_out)
    attributes = read_attributes(attribute_list) if attribute_list else {}
    _count_rows(paths, partitions or {}, attributes, left_out)
    if attribute_list is None:
        left_out.note("lists of attributes that were not found", f"{ATTRIBUTES}.txt or .csv")
    left_out.check(options.max_unreadable, "data.max_unreadable")
    return FileSource(
        folder,
        spread(files, options.images, where),
        options,
        facts={
            "source": "celeba",
            "with_attributes": attribute_list is not None,
            "licence": "CelebA: non-commercial research",
        },
        attributes={paths[stem]: row for stem, row in attributes.items() if stem in paths},
        left_out=left_out,
    )


def _images_folder(given: Path) -> Path:
    """The folder of the images. Archives repeat its name: img_align_celeba/img_align_celeba."""
    folder = given
    while (inner := next((folder / n for n in _IMAGES if (folder / n).is_dir()), None)) is not None:
        folder = inner
    return folder


def _by_stem(names: list[str], where: str) -> dict[str, str]:
    """Stem → path. Raises `ConfigError` for two images of one stem, which would be one sample."""
    found: dict[str, str] = {}
    for name in names:
        stem = stem_of(name)
        if stem in found or not re.fullmatch(r"[a-z0-9_-]{1,80}", stem):
            reason = f"has the name of {found[stem]!r}" if stem in found else "is not named so"
            raise ConfigError(
                f"{where}: CelebA's images are named 000001.jpg and so on, but {name!r} {reason};"
                f" name the folder of {_IMAGES[0]}, or build other images by data build FOLDER"
            )
        found[stem] = name
    return found


def _files(
    paths: Mapping[str, str], partitions: Mapping[str, str] | None, left_out: LeftOut
) -> list[ImageFile]:
    """The images for training and tests, by the list or else by their numbers."""
    files = []
    for stem, path in paths.items():
        part = partitions.get(stem) if partitions is not None else _partition(stem, path)
        if part is None:
            left_out.add(f"images that {PARTITIONS} does not name", path)
        elif part == _VALIDATION:
            left_out.note("validation images, which are not used", path)
        else:
            files.append(ImageFile(Path(path).stem, _SPLITS[part], path))
    return files


def _partition(stem: str, path: str) -> str:
    if not stem.isdecimal():
        raise ConfigError(
            f"data.input: {path!r} is not a CelebA image, because its name is not a number such as"
            f" 000001.jpg; name the folder of {_IMAGES[0]}, or build other images by data build"
            " FOLDER"
        )
    number = int(stem)
    return "0" if number <= _LAST_TRAIN else _VALIDATION if number <= _LAST_VALIDATION else "2"


def _count_rows(
    paths: Mapping[str, str],
    partitions: Mapping[str, str],
    attributes: Mapping[str, object],
    left_out: LeftOut,
) -> None:
    """Count the rows of both lists that match no image, and the images without attributes."""
    rows = 0
    for name, stems in ((PARTITIONS, partitions), (ATTRIBUTES, attributes)):
        rows += len(stems)
        for stem in stems:
            if stem not in paths:
                left_out.add(f"rows of {name} that match no image", stem, of=ROWS)
    if rows:
        left_out.totals[ROWS] = rows
    for stem, path in paths.items():
        if attributes and stem not in attributes:
            left_out.note(f"images without a row in {ATTRIBUTES}, kept without attributes", path)
