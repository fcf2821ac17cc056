"""The folder of `ganinv edit`: pictures, settings, grids, frames, animations.

They replace those of an earlier call as a whole, once all of them are written.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from PIL import Image

from ganinv.errors import ConfigError
from launch.pages.sections import EXACT_PX, QUALITY
from launch.replacing import check_empty, check_own, files_in, replaced_results

RECORD = "edit.json"  # lists the files
PICTURES, SETTINGS, GRIDS = "pictures", "settings", "grids"
FRAMES, ANIMATIONS = "frames", "animations"
FOLDERS = (PICTURES, SETTINGS, GRIDS, FRAMES, ANIMATIONS)
FRAME_MS = 90
LEAST_PX = 128  # side of animations; smaller images are enlarged by a whole factor
_FILES = "files"  # the key of the list in the record


def replaced(target: Path) -> AbstractContextManager[Path]:
    """A new folder for all results, which replace those in `target` if the block succeeds."""
    return replaced_results(target, FOLDERS)


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raises `ConfigError` if the results would replace what no such command has written."""
    check_empty(target, "edit", overwrite=overwrite)
    check_own(target, "edit", FOLDERS, RECORD, _listed(target / RECORD))


def check_page(path: Path, *, overwrite: bool) -> None:
    """Raises `ConfigError` if there is a file already."""
    if path.is_dir() or (path.exists() and not overwrite):
        raise ConfigError(
            f"edit.page = {path}: exists already; choose another file, or give edit.overwrite=true"
        )


def write_record(folder: Path, plain: dict[str, Any]) -> list[str]:
    """Write the record of a finished folder; returns the names of its files."""
    files = sorted(path.relative_to(folder).as_posix() for path in files_in(folder))
    text = json.dumps(plain | {_FILES: files}, indent=1)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    return files


def save_picture(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def save_frames(frames: Sequence[Image.Image], folder: Path, name: str, animation: str) -> None:
    """Write frames as PNG, and as an animation that runs forth and back, if one is asked for."""
    for number, frame in enumerate(frames):
        save_picture(frame, folder / FRAMES / name / f"{number:03d}.png")
    if animation == "none":
        return
    path = folder / ANIMATIONS / f"{name}.{animation}"
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [_enlarged(frame) for frame in (*frames, *frames[-2:0:-1])]
    how = {"save_all": True, "append_images": others, "duration": FRAME_MS, "loop": 0}
    if animation == "webp":
        exact = max(frames[0].size) <= EXACT_PX
        first.save(path, format="WEBP", lossless=exact, quality=QUALITY, **how)
    else:
        first.save(path, format="GIF", **how)


def _enlarged(frame: Image.Image) -> Image.Image:
    zoom = -(-LEAST_PX // min(frame.size))
    width, height = frame.size
    return frame.resize((zoom * width, zoom * height), Image.Resampling.NEAREST)


def _listed(path: Path) -> list[str]:
    """The files of earlier results; empty without a record of them."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []  # there are none, or another program's file of this name
    files = found.get(_FILES) if isinstance(found, dict) else None
    return [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
