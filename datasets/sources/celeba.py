"""CelebA, aligned and cropped: 202,599 faces of 178 × 218 pixels with 40 attributes.

From https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (non-commercial research): unpack
`img_align_celeba.zip`, and put `list_eval_partition.txt` and `list_attr_celeba.txt` beside it.
The DLSGAN paper trains on it; its author resizes to 128 × 128 without a crop:

    ganinv data build celeba data.input=~/celeba data.url=s3://bucket/celeba128 \\
        data.resolution=128 data.resize=stretch

Partition 0 (162,770 images) becomes the training split and partition 2 (19,962 images) the test
split, as in the paper. Partition 1, the validation images, is left out.
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
# The archives unpack into folders `Eval` and `Anno`; some mirrors drop or repeat these folders.
_LIST_FOLDERS = (".", "Eval", "Anno", "..", "../Eval", "../Anno")


def source(options: BuildOptions, inputs: Inputs) -> FileSource:
    """Raises `ConfigError` if there are no CelebA images, `DataError` for a corrupt list."""
    del inputs  # only a directory is read
    folder = input_folder(options, "CelebA")
    while (folder / _IMAGES).is_dir():
        folder /= _IMAGES
    partition_list = _find_list(folder, "list_eval_partition.txt")
    partitions = dict(_lines(partition_list)) if partition_list else None
    files = []
    for path in list_photographs(folder):
        split = _split(path, partitions)
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


def _split(path: str, partitions: dict[str, list[str]] | None) -> Split | None:
    """The official split, by the list or else by the number; None for validation images."""
    if partitions is not None:
        return _SPLITS.get("".join(partitions.get(path, [])))
    stem = Path(path).stem
    if not stem.isdecimal():
        raise ConfigError(
            f"data.input: {path!r} is not a CelebA image, because its name is not a number such as"
            f" 000001.jpg; name the folder of {_IMAGES}, or build other images by data build FOLDER"
        )
    number = int(stem)
    if number <= _LAST_TRAIN:
        return "train"
    return "test" if number > _LAST_VALIDATION else None


def _find_list(images: Path, name: str) -> Path | None:
    candidates = [images / folder / name for folder in _LIST_FOLDERS]
    return next((path for path in candidates if path.is_file()), None)


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The first word and the other words of each line that is not empty."""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words:
            yield words[0], words[1:]


def _read_attributes(path: Path) -> dict[str, dict[str, Any]]:
    """File name → attributes, 1 for yes and -1 for no.

    The file holds a count, then the names of the attributes, then one line per image.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    names = lines[1].split() if len(lines) > 1 else []
    found = {}
    for number, line in enumerate(lines[2:], start=3):
        file_name, *values = line.split() or [""]
        if len(values) != len(names) or not {"1", "-1"}.issuperset(values):
            raise DataError(
                f"{path}: line {number} does not hold {len(names)} values of 1 or -1; fetch the"
                " file again"
            )
        found[file_name] = dict(zip(names, map(int, values), strict=True))
    return found
