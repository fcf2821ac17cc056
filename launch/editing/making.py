"""Makes all results of `ganinv edit`, picture by picture.

Shapes: K frames or columns, C × H × W pixels, uint8.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ganinv.editing.edits import Points
from ganinv.editing.settings import Settings, settings_of
from ganinv.errors import StorageError
from launch.editing.page import EditPage
from launch.editing.results import (
    GRIDS,
    PICTURES,
    SETTINGS,
    replaced,
    save_frames,
    save_picture,
    write_record,
)
from launch.editing.starts import Advance, Start
from launch.editing.work import Edited, Work
from launch.inversion.strip import strip as sheet
from launch.replacing import replaced_file

GRID_ROWS = 24  # pictures in a grid, the first ones


@dataclass(kw_only=True)
class Made:
    """What has been made so far."""

    names: list[str] = field(default_factory=list)  # files without a suffix
    each: list[dict[str, Any]] = field(default_factory=list)
    points: list[Points] = field(default_factory=list)  # for interpolation and mixing
    images: list[Tensor] = field(default_factory=list)
    grids: dict[str, list[Tensor]] = field(default_factory=dict)  # rows, K × C × H × W
    files: list[str] = field(default_factory=list)

    def add_row(self, grid: str, row_KCHW: Tensor) -> None:
        rows = self.grids.setdefault(grid, [])
        if len(rows) < GRID_ROWS:
            rows.append(row_KCHW)


def make(work: Work, starts: Iterable[Start], page: EditPage | None, advance: Advance) -> Made:
    """Write the folder and the page that the options name; each appears as a whole, at the end.

    Raises `StorageError` if a file cannot be written.
    """
    options, made = work.options, Made()
    try:
        with ExitStack() as stack:
            folder = html = None
            if options.to is not None:
                folder = stack.enter_context(replaced(Path(options.to)))
            if options.page is not None:
                html = stack.enter_context(replaced_file(Path(options.page)))
            for start in starts:
                edited = work.edited(start)
                strips = _strips(work, edited, page)
                _add(
                    made, edited, together=options.interpolate != "none" or options.mix is not None
                )
                if folder is not None:
                    _write(work, made, edited, strips, folder)
                if page is not None:
                    page.add(edited, strips)
                advance(1)
            if folder is not None:
                _write_together(work, made, folder)
                made.files = write_record(folder, {"pictures": made.each})
            if html is not None and page is not None:
                html.write_text(page.html(len(made.names)), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{options.to or options.page}: {error.strerror or error} ({error.filename}); make the "
            "folder writable, free space on its disk, or choose another one"
        ) from error
    return made


def _strips(work: Work, edited: Edited, page: EditPage | None) -> dict[str, Tensor]:
    wanted = work.options.to is not None or (page is not None and not page.full)
    return {name: work.strip(edited, name) for name in work.strips} if wanted else {}


def _add(made: Made, edited: Edited, *, together: bool) -> None:
    """`together`: pictures are needed again, when all of them are there."""
    name = edited.start.name
    made.names.append(name)
    if together:
        made.points.append(edited.points)
        made.images.append(edited.after)
    made.each.append(
        {
            "picture": name,
            "origin": edited.start.origin,
            "strengths": dict(edited.strengths),
            "distances": dict(edited.distances),
            "distances_after": dict(edited.distances_after),
        }
    )


def _write(
    work: Work, made: Made, edited: Edited, strips: Mapping[str, Tensor], folder: Path
) -> None:
    options, name = work.options, made.names[-1]
    _save(work.png(edited.points), folder / PICTURES / f"{name}.png")
    _save_settings(work.settings(edited), folder / SETTINGS / f"{name}.json")
    photograph = [] if edited.start.image_CHW is None else [edited.start.image_CHW]
    after = [edited.after] if any(edited.strengths.values()) else []
    made.add_row("pictures", torch.stack([*photograph, edited.before, *after]))
    for boundary, frame_KCHW in strips.items():
        title = f"strip-{file_name(boundary, list(strips))}"
        made.add_row(title, frame_KCHW)
        save_frames(_pictures(frame_KCHW), folder, f"{title}/{name}", options.animation)
    if after and options.animation != "none":
        frames = _pictures(work.transition(edited))
        save_frames(frames, folder, f"edit/{name}", options.animation)
    if options.noise:
        noisy_KCHW = work.noisy(edited)
        made.add_row("noise", torch.cat([edited.after[None], noisy_KCHW]))
        save_frames(_pictures(noisy_KCHW), folder, f"noise/{name}", "none")


def _write_together(work: Work, made: Made, folder: Path) -> None:
    """What takes all pictures: interpolation, mixing, grids."""
    options = work.options
    if options.interpolate != "none":
        frame_KCHW = work.interpolation(made.points, options.interpolate)
        save_frames(_pictures(frame_KCHW), folder, "interpolation", options.animation)
        for first in range(0, len(frame_KCHW) - 1, options.steps - 1):
            made.add_row("interpolation", frame_KCHW[first : first + options.steps])
    if options.mix is not None:
        _write_mixed(work, made, folder)
    for title, rows in made.grids.items():
        columns = torch.stack(rows, 1)  # K × rows × C × H × W
        save_picture(sheet(list(columns)), folder / GRIDS / f"{title}.png")


def _write_mixed(work: Work, made: Made, folder: Path) -> None:
    """The grid has the pictures themselves in its first row and column."""
    blank = torch.full_like(made.images[0], 255)
    made.add_row("mixing", torch.stack([blank, *made.images]))
    rows = work.mixing(made.points)
    for first, image_CHW, row in zip(made.names, made.images, rows, strict=True):
        found = [work.image(points) for points in row]
        made.add_row("mixing", torch.stack([image_CHW, *found]))
        for second, points in zip(made.names, row, strict=True):
            name = f"mixed/{first}/{second}"
            _save(work.png(points), folder / PICTURES / f"{name}.png")
            origin = f"{first} with layers {work.options.mix} of {second}"
            settings = settings_of(work.editor, points, {}, origin)
            _save_settings(settings, folder / SETTINGS / f"{name}.json")


def _save_settings(settings: Settings, path: Path) -> None:
    _save(settings.to_json().encode(), path)


def _save(data: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def file_name(boundary: str, others: Sequence[str]) -> str:
    """A boundary's name for files; different from those of all `others`."""
    plain = _plain(boundary)
    alike = [name for name in others if _plain(name) == plain]
    return plain if len(alike) < 2 else f"{plain}-{alike.index(boundary) + 1}"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name.replace("!=", "-not-")).strip("-.") or "boundary"


def _pictures(image_KCHW: Tensor) -> list[Image.Image]:
    return [_picture(image_CHW) for image_CHW in image_KCHW]


def _picture(image_CHW: Tensor) -> Image.Image:
    image_HWC = image_CHW.permute(1, 2, 0).numpy()
    return Image.fromarray(image_HWC.squeeze(2) if image_HWC.shape[2] == 1 else image_HWC)
