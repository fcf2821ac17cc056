"""What `ganinv edit` works with: photographs, model, data set, boundaries."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cluster.storage.opening import open_store
from datasets.inputs.left_out import LeftOut
from datasets.inputs.listing import Listing, list_images, refuse_no_images
from datasets.shards.index import Index
from datasets.sources.photographs import Photographs
from ganinv import load
from ganinv.alignment.aligning import alignment_of
from ganinv.boundaries.boundary import Boundary
from ganinv.boundaries.directions import (
    element_direction,
    element_directions,
    principal_directions,
)
from ganinv.boundaries.files import read_boundaries
from ganinv.editing.edits import Editor
from ganinv.errors import ConfigError, StorageMissingError
from ganinv.model import InvertibleGan, best_device
from ganinv.saved.identity import identity
from ganinv.seams.stores import Store
from ganinv.sizes import Size
from launch.editing.beside import beside
from launch.editing.options import EditConfig
from launch.evaluation.trained import load_trained, open_data
from launch.options.places import DataPlace, RunOptions

_ELEMENT = re.compile(r"element (\d+)")  # as `element_direction` names it
_PRINCIPAL = re.compile(r"principal ([1-9]\d{0,5})")  # as `principal_directions` names them


def list_photographs(options: EditConfig) -> tuple[Path, Listing]:
    """The folder, and the images in it.

    Raises `ConfigError` for an unusable place, and `DataError` if more is left out than
    `edit.max_unreadable`.
    """
    assert options.images is not None
    source = Path(options.images)
    if not source.exists():
        raise ConfigError(
            f"edit.images = {source}: there is no such folder or image; name another one"
        )
    if options.to is not None and Path(options.to).resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"edit.to = {options.to}: lies in edit.images, so edited pictures would count as "
            "images; choose a folder outside of edit.images"
        )
    if source.is_file():
        return source.parent, Listing(names=[source.name], left_out=LeftOut())
    found = list_images(source)
    if not found.names:
        raise refuse_no_images(f"edit.images = {source}", found.left_out)
    found.left_out.check(options.max_unreadable, "edit.max_unreadable")
    return source, found


def photographs_of(
    model: InvertibleGan, options: EditConfig, folder: Path, found: Listing
) -> Photographs:
    """Reads what `list_photographs` has found, in the size of the model's images."""
    _, height, width = model.image_shape
    return Photographs(
        folder=folder,
        names=found.names,
        size=Size(width=width, height=height),
        max_unreadable=options.max_unreadable,
        max_pixels=options.max_pixels,
        options="edit",
        alignment=alignment_of(options.align, model.alignment, "edit.align"),
        left_out=found.left_out,
    )


def open_model(
    storage: RunOptions, place: DataPlace, options: EditConfig
) -> tuple[InvertibleGan, tuple[Store, Index] | None]:
    """The model, and the data set if pictures come from it."""
    if (storage.run is None) == (options.model is None):
        raise ConfigError("storage.run and edit.model: give one of them, a run or an export")
    needs_data = bool(options.data)
    if storage.run is not None:
        store = open_store(storage.run, endpoint_url=storage.endpoint_url)
        trained = load_trained(store, data=place)
        model = trained.model.to(best_device())
        return model, open_data(trained, storage.endpoint_url) if needs_data else None
    assert options.model is not None
    model = load(options.model, endpoint_url=storage.endpoint_url)
    if not needs_data:
        return model, None
    if place.url is None:
        raise ConfigError(
            "data.url: give the place of the data set, or name the run by storage.run=…, which "
            "knows it"
        )
    store = open_store(place.url, endpoint_url=storage.endpoint_url)
    return model, (store, Index.load(store))


def open_boundaries(
    model: InvertibleGan, storage: RunOptions, options: EditConfig, screen: Console
) -> list[Boundary]:
    """Those of `edit.boundaries`, else those beside the model if they belong to it."""
    if options.boundaries is not None:
        return read_boundaries(options.boundaries, endpoint_url=storage.endpoint_url)
    place = storage.run or options.model
    assert place is not None
    url = beside(place)
    try:
        found = read_boundaries(url, endpoint_url=storage.endpoint_url)
    except StorageMissingError:
        return []
    whose = identity(model)
    if any(boundary.model != whose for boundary in found):
        screen.print(
            f"{url}: not used, because it belongs to another model, perhaps to an earlier "
            "checkpoint; fit boundaries anew with ganinv boundary",
            markup=False,
            soft_wrap=True,
        )
        return []
    return found


def new_editor(
    model: InvertibleGan, boundaries: Iterable[Boundary], named: Collection[str], elements: int
) -> tuple[Editor, list[str]]:
    """An editor that takes images one at a time, and the names of `elements` elements.

    `named`: boundaries that somebody names; an `element N` or `principal N` among them, which the
    settings of a studio may have, is there without a file.
    Raises `ConfigError` for others if there is no file at all.
    """
    single = replace(model, batch_size=1)
    whose = identity(model)
    known = {boundary.name: boundary for boundary in boundaries}
    most = element_directions(single, whose, elements)
    wanted = [found for name in named if (found := _ELEMENT.fullmatch(name))]
    more = [element_direction(single, whose, int(found[1])) for found in wanted]
    last = max((int(found[1]) for n in named if (found := _PRINCIPAL.fullmatch(n))), default=0)
    more += principal_directions(single, whose, last) if last else []
    made = {boundary.name for boundary in more}
    missing = [name for name in named if name not in known and name not in made]
    if missing and not known:
        raise ConfigError(
            f"edit {missing[0]!r}: there are no boundaries beside the model; name their file by "
            "edit.boundaries=FILE, or fit some with ganinv boundary"
        )
    for boundary in (*most, *more):
        known.setdefault(boundary.name, boundary)
    return Editor(single, known.values()), [boundary.name for boundary in most]
