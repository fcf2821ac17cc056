"""`ganinv edit`: changes pictures along boundaries, and makes strips, interpolations and a page."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from datasets.inputs.left_out import LeftOut
from ganinv.boundaries.boundary import Boundary
from ganinv.errors import ConfigError
from ganinv.inversion.optimise import RefineConfig
from launch.editing.beside import boundaries_of
from launch.editing.making import Made, make
from launch.editing.opening import new_editor
from launch.editing.options import EditConfig, with_lists
from launch.editing.page import EditPage
from launch.editing.results import FOLDERS, RECORD, check_page, check_target
from launch.editing.starts import (
    Encoding,
    Source,
    of_data,
    of_photographs,
    of_samples,
    of_settings,
    read_settings,
)
from launch.editing.work import Work
from launch.evaluation.photographs import list_photographs, photographs_of
from launch.evaluation.trained import open_model
from launch.inversion.options import SWITCHES as STAGES
from launch.inversion.options import spelled_out
from launch.options.arguments import parse
from launch.options.places import DataPlace, RunOptions
from launch.options.sections import read_sections
from launch.progress import console, working

NAMED_AT_MOST = 20  # unreadable files named one by one
ALL = "all"
EXAMPLES = f"""\
MODEL is a run or an export, IMAGES a folder or one image. Boundaries are those of ganinv boundary;
strengths are in σ, the prior's spread along a boundary. "element 17", an element of the code, is
always there. Without edits the pictures are the model's reconstructions.

which pictures (one of these):
  edit.images=PATH             a photograph, or a folder of them, as of ganinv invert
  edit.samples=N               random ones; edit.seed=0
  edit.data=N                  the first of the run's data set; edit.split=test|train, data.url=URL
  edit.settings=FILE           saved settings: the same picture again, bit for bit

what to do (as many as wanted; all but the first two work on the edited pictures):
  edit.by={{NAME: σ, …}}         move by so much from where the picture is
  edit.to_distance={{NAME: σ, …}}  move to this distance from the boundary; above 0 it has the label
  edit.strip=NAME              or [NAME, …], or {ALL}: from −reach to reach; edit.reach=3
  edit.elements=N              strips of the N most informative elements of the code
  edit.interpolate=linear|arc  from each picture to the next; arc: as codes of the prior lie
  edit.mix=FIRST-LAST          each picture with these layers' styles of each (style-based models)
  edit.noise=N                 N pictures with noise on the code; edit.noise_variance=0.3
  edit.steps=9                 pictures of a strip, and from one picture to the next; odd

results (one of these, or both):
  edit.to=FOLDER               receives {", ".join(FOLDERS)}, and {RECORD}
  edit.animation=webp|gif      besides, animations of strips, interpolations and the edit itself
  edit.page=FILE               a page with a slider for each strip (all, if none is named)
  edit.overwrite=true          replaces all results of an earlier call

  edit.boundaries=FILE         default: boundaries.safetensors in the run or beside the export
  storage.run=RUN, edit.model=EXPORT  instead of MODEL
  edit.align=faces|crop|pad|stretch  how photographs become images; default: as the model's data
  edit.max_unreadable=0.01, edit.max_pixels=N  as of ganinv invert
--refine refines what the encoder gives, as in ganinv invert: refine=200, refine.space=…

examples:
  ganinv edit runs/faces me.jpg edit.to=edited edit.by='{{glasses!=none: 2, mouth=smile: -1}}'
  ganinv edit runs/faces me.jpg refine=200 edit.page=me.html
  ganinv edit runs/faces edit.samples=4 edit.to=between edit.interpolate=arc edit.animation=webp
  ganinv edit runs/faces edit.settings=edited/settings/me.json edit.to=again
"""

SECTIONS: dict[str, type] = {
    "storage": RunOptions,
    "data": DataPlace,
    "edit": EditConfig,
    "refine": RefineConfig,
}
SWITCHES = {"--refine": STAGES["--refine"]}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv, "edit", "Edit pictures along boundaries.", EXAMPLES, "[MODEL] [IMAGES]", SWITCHES
    )
    named = zip(("edit.model", "edit.images"), arguments.names, strict=False)
    given = [*(f"{key}={place}" for key, place in named), *arguments.options]
    words, asked = spelled_out(given, arguments.switches)
    if asked - {"refine"}:
        raise ConfigError(
            f"ganinv edit: takes --refine alone, not {', '.join(sorted(asked - {'refine'}))}; that "
            "is for ganinv invert"
        )
    sections = read_sections(with_lists(words), SECTIONS)
    screen = console(arguments.as_json)
    refine: RefineConfig | None = sections["refine"] if asked else None
    source, made = _edit(sections, refine, screen)
    photographs = source.photographs
    skipped = [] if photographs is None else photographs.skipped
    left_out = LeftOut() if photographs is None else photographs.left_out
    for one in skipped[:NAMED_AT_MOST]:
        screen.print(f"skipped {one.path}: {one.reason}", markup=False, soft_wrap=True)
    if left_out:
        screen.print(f"Left out: {left_out.line()}", markup=False, soft_wrap=True)
    options: EditConfig = sections["edit"]
    if arguments.as_json:
        places = {"to": options.to, "page": options.page, "files": made.files}
        more = {"skipped": [one._asdict() for one in skipped], "left_out": left_out.counts()}
        print(json.dumps({"pictures": made.each} | places | more))
    else:
        _tell(made, options, screen)
    return 0


def _edit(
    sections: Mapping[str, Any], refine: RefineConfig | None, screen: Console
) -> tuple[Source, Made]:
    """Everything is checked before anything is written."""
    storage: RunOptions = sections["storage"]
    options: EditConfig = sections["edit"]
    options.check_source()
    _check_places(options)
    listed = None
    if options.images is not None:
        listed = list_photographs(options.images, options.to, "edit", options.max_unreadable)
    saved = None if options.settings is None else read_settings(Path(options.settings))
    model, data = open_model(
        storage, options.model, "edit", sections["data"], with_data=bool(options.data)
    )
    place = options.model or storage.run
    assert place is not None
    tell = partial(screen.print, markup=False, soft_wrap=True)
    boundaries = boundaries_of(model, place, options.boundaries, storage.endpoint_url, tell)
    chosen = [name for name in options.strip if name != ALL]
    named = [*options.by, *options.to_distance, *chosen, *(saved.strengths if saved else ())]
    editor, elements = new_editor(model, boundaries, named, options.elements)
    work = Work(editor, options, [*_strips(options, boundaries, elements), *elements])
    if listed is not None:
        photographs = photographs_of(
            model, *listed, "edit", align=options.align,
            max_unreadable=options.max_unreadable, max_pixels=options.max_pixels,
        )  # fmt: skip
        encoding = Encoding(model, editor, refine)
        source = of_photographs(photographs, encoding, model.batch_size)
    elif data is not None:
        encoding = Encoding(model, editor, refine)
        source = of_data(data, options.split, options.data, encoding, model.batch_size)
    elif refine is not None:
        raise ConfigError("--refine: refines photographs and images of data; leave it out here")
    elif saved is not None:
        source = of_settings(editor, Path(options.settings or ""), saved)
    else:
        source = of_samples(editor, options.samples, options.seed)
    work.check_count(source.count)
    page = None
    if options.page is not None:
        shown = [editor.boundaries[name] for name in work.strips]
        page = EditPage(shown, work.reaches, place)
    with working(screen, "editing", source.count * (source.passes + 1)) as advance:
        return source, make(work, source.begin(advance), page, advance)


def _check_places(options: EditConfig) -> None:
    if options.to is None and options.page is None:
        raise ConfigError("edit.to, edit.page: give a folder, a page or both for the results")
    if options.to is not None:
        check_target(Path(options.to), overwrite=options.overwrite)
    if options.page is not None:
        check_page(Path(options.page), overwrite=options.overwrite)


def _strips(
    options: EditConfig, boundaries: Sequence[Boundary], elements: Sequence[str]
) -> list[str]:
    """The boundaries that get strips. Raises `ConfigError` for a page without any."""
    found = list(options.strip)
    if ALL in options.strip or (options.page is not None and not options.strip):
        found = [boundary.name for boundary in boundaries]
    if options.page is not None and not found and not elements:
        raise ConfigError(
            "edit.page: there are no boundaries for its sliders; fit some with ganinv boundary, "
            "name their file by edit.boundaries=FILE, or give edit.elements=5"
        )
    return list(dict.fromkeys(found))


def _tell(made: Made, options: EditConfig, screen: Console) -> None:
    """A single picture's distances help to choose strengths."""
    if len(made.each) == 1 and made.each[0]["distances"]:
        (one,) = made.each
        table = Table(box=None)
        for title in ("boundary", "distance, σ", "after, σ", "moved by, σ"):
            table.add_column(title, justify="left" if title == "boundary" else "right")
        for name, distance in one["distances"].items():
            after = one["distances_after"].get(name)
            moved = one["strengths"].get(name, 0.0)
            cells = ("" if value is None else f"{value:+.2f}" for value in (distance, after, moved))
            table.add_row(name, *cells)
        screen.print(table)
    places = [place for place in (options.to, options.page) if place is not None]
    count = "1 picture" if len(made.each) == 1 else f"{len(made.each)} pictures"
    screen.print(f"{count} edited: {', '.join(places)}", markup=False, soft_wrap=True)
