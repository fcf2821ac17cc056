"""A tree of photographs as a source: centre crop and Lanczos resize, attributes from a table."""

import collections
import functools
import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets.attributes import match_attributes, read_attributes
from datasets.images import DECODE_ERRORS, FORMATS
from datasets.parallel import ordered_map
from datasets.source import BuildOptions, Sample, Skipped, Split, named_split, split_of
from ganinv.errors import ConfigError, DataError

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_MAX_KEY_CHARACTERS = 80
_LISTED = 20  # unreadable files that an error message names


class FolderSource:
    """The images (jpg, png, webp) of a folder, at any depth, hidden ones left out.

    Folders named train, test or val decide the split where there are any; otherwise the last
    eighth by sorted name is for tests.
    """

    def __init__(self, folder: Path, options: BuildOptions) -> None:
        """Raises `ConfigError` if there are no images, or fewer than `options.images`."""
        self._folder = folder
        self._options = options
        self._names = _list_images(folder)
        self.skipped: list[Skipped] = []
        wanted = options.images or len(self._names)
        if not self._names or wanted > len(self._names):
            raise ConfigError(
                f"{folder} holds {len(self._names)} images ({', '.join(_EXTENSIONS)}) and"
                f" {max(wanted, 1)} were asked for; lower data.images or name another folder"
            )
        # Spread over the folder, so that every part of it (train, test, classes) is there.
        self._names = [self._names[i * len(self._names) // wanted] for i in range(wanted)]
        self.count = wanted

    def samples(self) -> Iterator[Sample]:
        """Raises `DataError` once more than the allowed ratio of files is unreadable."""
        self.skipped.clear()
        keys = _keys(self._names)
        splits = dict(zip(self._names, _splits(self._names), strict=True))
        attributes = self._attributes()
        names = sorted(self._names, key=keys.__getitem__)
        workers = os.cpu_count() or 1 if self.count >= 256 else 1
        load = functools.partial(_load, self._folder, self._options.resolution)
        for name, loaded in zip(names, ordered_map(load, names, workers), strict=True):
            if isinstance(loaded, str):
                self._skip(name, loaded)
                continue
            yield Sample(
                key=keys[name],
                image_HWC=loaded,
                attributes=attributes.get(name, {}),
                split=splits[name],
            )
        if len(self.skipped) == self.count:
            raise DataError(self._complaint())

    def describe(self) -> dict[str, Any]:
        listing = hashlib.sha256()
        for name in self._names:
            size_bytes = (self._folder / name).lstat().st_size
            listing.update(f"{name}\0{size_bytes}\n".encode("utf-8", "surrogateescape"))
        table = self._options.attributes
        return {
            "source": "folder",
            "images": self.count,
            "resolution": self._options.resolution,
            "files_sha256": listing.hexdigest(),
            "attributes_sha256": hashlib.sha256(table.read_bytes()).hexdigest() if table else None,
            "licence": "that of the images",
        }

    def _attributes(self) -> dict[str, dict[str, Any]]:
        if self._options.attributes is None:
            return {}
        rows = read_attributes(self._options.attributes)
        return match_attributes(rows, self._names, self._options.attributes)

    def _skip(self, name: str, reason: str) -> None:
        self.skipped.append(Skipped(name, reason))
        if len(self.skipped) > self._options.max_unreadable * self.count:
            raise DataError(self._complaint())

    def _complaint(self) -> str:
        listed = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:_LISTED])
        return (
            f"{len(self.skipped)} of {self.count} files below {self._folder} are unreadable so"
            f" far ({listed}), over data.max_unreadable={self._options.max_unreadable}; mend or"
            " remove them, or raise that ratio"
        )


def _list_images(folder: Path) -> list[str]:
    """Paths below `folder` with forward slashes, sorted."""
    names = []
    for where, folders, file_names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in file_names:
            if name.lower().endswith(_EXTENSIONS) and not name.startswith("."):
                names.append((Path(where) / name).relative_to(folder).as_posix())
    return sorted(names)


def _splits(names: Sequence[str]) -> list[Split]:
    named = [named_split(name.split("/")[:-1]) for name in names]
    if any(named):
        return [split or "train" for split in named]
    return [split_of(position, len(names)) for position in range(len(names))]


def _keys(names: Sequence[str]) -> dict[str, str]:
    """A safe key for each path: itself without its ending, told apart by a hash where needed."""
    plain = {name: re.sub(r"[^A-Za-z0-9_-]", "_", name.rpartition(".")[0]) for name in names}
    uses = collections.Counter(plain.values())
    keys = {}
    for name, key in plain.items():
        if uses[key] > 1 or len(key) > _MAX_KEY_CHARACTERS:
            digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            key = f"{key[: _MAX_KEY_CHARACTERS - 17]}-{digest}"
        keys[name] = key
    return keys


def _load(folder: Path, resolution: int, name: str) -> NDArray[np.uint8] | str:
    """The image as RGB uint8 with H = W = resolution, or the reason why it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(folder / name, formats=FORMATS) as image:
                if image.mode not in _EIGHT_BIT_MODES:
                    return f"its pixels are {image.mode}, not 8 bits a channel"
                square = _rgb(_centre(ImageOps.exif_transpose(image)))
                resized = square.resize((resolution, resolution), Image.Resampling.LANCZOS)
    except DECODE_ERRORS as problem:
        return f"{type(problem).__name__}: {problem}"
    return np.array(resized)


def _centre(image: Image.Image) -> Image.Image:
    """The largest square in the middle."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _rgb(image: Image.Image) -> Image.Image:
    """Transparent parts become white: the colour stored under them is arbitrary."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
