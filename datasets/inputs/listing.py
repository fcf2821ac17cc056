"""Listing the images below a folder. Everything that is no image is counted by reason."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from PIL import features

from datasets.inputs.left_out import IMAGES, LeftOut
from datasets.shards.tables import IMAGE_EXTENSIONS
from ganinv.errors import ConfigError, DataError
from ganinv.places.walking import files_below, is_file, is_system_file

# Endings of files that Pillow opens, and that are images: the ending hints, the content decides.
EXTENSIONS = tuple(
    f".{extension}"
    for extension in IMAGE_EXTENSIONS
    if extension != "avif" or features.check("avif")  # not all builds of Pillow have it
)

# Images for which Pillow has no decoder, or none that recognises them by their content.
_UNREADABLE = frozenset(
    (
        *(".heic", ".heif", ".hif", ".jxl", ".svg", ".svgz", ".psd", ".xcf", ".exr", ".hdr"),
        *(".tga", ".ico", ".eps", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
        *(".pef", ".srw", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"),
    )
) - frozenset(EXTENSIONS)
# What systems make in folders, for themselves.
_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN"))
_PLAIN_ENDING = re.compile(r"\.(?=.*[a-z])[a-z0-9]{1,8}")


class Listing(NamedTuple):
    """What lies below a folder."""

    names: list[str]
    """Sorted paths of the images, with forward slashes."""
    left_out: LeftOut


class _Other(NamedTuple):
    """Something that is no image."""

    name: str
    reason: str
    of: str | None  # as `left_out.Group.of`


def list_images(folder: Path) -> Listing:
    """The images below `folder`, by their endings, without hidden files and folders.

    Follows links. Raises `DataError` if a folder cannot be read.
    """
    names: list[str] = []
    others: list[_Other] = []
    hidden = _Hidden(folder)
    entries = files_below(
        folder, enter=hidden.enter, on_loop=hidden.on_loop, on_error=refuse_folder
    )
    for entry in entries:
        name = _name(folder, entry)
        found = _why_left_out(entry)
        if found is None:
            names.append(name)
        elif not is_system_file(entry.name):
            others.append(_Other(name, *found))
    left_out = LeftOut()
    for other in sorted([*others, *hidden.found], key=lambda other: other.name):
        if other.of is None:
            left_out.note(other.reason, other.name)
        else:
            left_out.add(other.reason, other.name, of=other.of)
    left_out.totals[IMAGES] = len(names) + left_out.count(IMAGES)
    return Listing(sorted(names), left_out)


def refuse_no_images(where: str, left_out: LeftOut) -> ConfigError:
    """The error for a folder without readable images; `where` names it. Says what lies there."""
    found = left_out.line(names=True)
    return ConfigError(
        f"{where} holds no images (.jpg, .png, .webp, .gif, .bmp, .tif and others)"
        + (f", but {found}; convert or unpack these, or" if found else " and no other files;")
        + " name another input"
    )


def other_files(name: str) -> str:
    """The reason under which a file is counted that is none of those which are read."""
    ending = Path(name).suffix.lower()
    if not ending:
        return "files without an ending"
    return f"files ending in {ending}" if _PLAIN_ENDING.fullmatch(ending) else "other files"


class _Hidden:
    """Notes hidden folders and loops of links, which are not entered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.found: list[_Other] = []

    def enter(self, entry: os.DirEntry[str]) -> bool:
        if entry.name in _SYSTEM_FOLDERS:
            return False
        if entry.name.startswith("."):
            self._note(entry, "hidden folders")
            return False
        return True

    def on_loop(self, entry: os.DirEntry[str]) -> None:
        self._note(entry, "links to a folder that holds them")

    def _note(self, entry: os.DirEntry[str], reason: str) -> None:
        self.found.append(_Other(_name(self._folder, entry), reason, None))


def _why_left_out(entry: os.DirEntry[str]) -> tuple[str, str | None] | None:
    """The reason, and `IMAGES` if it counts as an image that is lost; None for an image."""
    if entry.name.startswith("."):
        return "hidden files", None
    if not is_file(entry):
        return "links to nothing" if entry.is_symlink() else "pipes, sockets and devices", IMAGES
    ending = Path(entry.name).suffix.lower()
    if ending in EXTENSIONS:
        return None
    if ending in _UNREADABLE:
        return f"files in the format {ending}, which cannot be read", IMAGES
    return other_files(entry.name), None


def refuse_folder(error: OSError) -> None:
    """Raises `DataError` for a folder below an input that cannot be listed."""
    raise DataError(
        f"the folder {error.filename} cannot be read ({error.strerror}); allow reading it, or take"
        " it out of the input"
    ) from error


def _name(folder: Path, entry: os.DirEntry[str]) -> str:
    return Path(entry.path).relative_to(folder).as_posix()
