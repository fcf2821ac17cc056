"""`ganinv boundary`: fits directions of a model's space along which an attribute changes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from cluster.storage.opening import open_store
from datasets.shards.index import Index
from ganinv.boundaries.boundary import Boundary, conditioned, space_of
from ganinv.boundaries.directions import element_directions, principal_directions
from ganinv.boundaries.files import to_bytes
from ganinv.boundaries.fitting import fit
from ganinv.errors import ConfigError
from ganinv.latents.spaces import Space
from ganinv.model import InvertibleGan
from ganinv.saved.format import split_file
from ganinv.saved.identity import identity
from ganinv.seams.stores import Store
from launch.editing.beside import beside
from launch.editing.labelled import LabelledPoints, from_classifier, from_data, table_of
from launch.editing.labels import Label
from launch.evaluation.trained import open_model
from launch.options.arguments import parse
from launch.options.places import DataPlace, RunOptions
from launch.options.sections import read_sections
from launch.progress import console

EXAMPLES = """\
A label is NAME, NAME=VALUE, NAME!=VALUE, NAME<NUMBER or NAME>NUMBER, of the shards' attributes.
NAME=VALUE|VALUE is true for several values, and 'TITLE: NAME=VALUE' names the boundary.
The encoder gives the points of the images, a linear support vector machine the plane between those
with the label and those without; 30 % of the images only measure its accuracy. Strengths of edits
count in standard deviations of the prior along the normal.

keys:
  storage.run=RUN             the run whose newest checkpoint is used; or boundary.model=EXPORT
  boundary.labels=[…]         one boundary for each
  boundary.csv=FILE           labels from a table with a column key, instead of the shards
  boundary.classifier=FILE    labels of generated images from TorchScript: images → scores
  boundary.conditional=true   each boundary orthogonal to all others of this call
  boundary.space=NAME         z, u, y …; by default the last one that can be turned back into codes
  boundary.images=N           at most (10000)
  boundary.keep=0.1           share of the scores at each end that count, with a classifier
  boundary.elements=N         besides, the N most informative elements of the code
  boundary.principal=N        besides, the N principal directions of the generator's first layer
  boundary.to=FILE            receives all of them; default: in the run, or beside the export
  data.url=URL                where the data set lies, for an export or if it has moved

examples:
  ganinv boundary storage.run=runs/faces boundary.labels='[glasses!=none, mouth=smile]'
  ganinv boundary storage.run=runs/faces boundary.labels='[dark hair: hair_color=#2c1b18|#4a312c]'
  ganinv boundary boundary.model=faces.safetensors boundary.elements=5
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryConfig:
    """Which boundaries are fitted, from what, and where they go."""

    to: str | None = None  # file; None: in the folder of the model
    model: str | None = None  # an export, instead of storage.run
    labels: list[str] = field(default_factory=list)
    csv: str | None = None
    classifier: str | None = None
    conditional: bool = False
    space: str | None = None
    images: int = 10_000
    keep: float = 0.1
    elements: int = 0
    principal: int = 0

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ConfigError(f"images = {self.images}: must be at least 1")
        if not 0 < self.keep <= 0.5:
            raise ConfigError(f"keep = {self.keep}: must be above 0 and at most 0.5")
        for key in ("elements", "principal"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must not be below 0")
        if not self.labels and not self.elements and not self.principal:
            raise ConfigError("labels = []: name labels, or give elements=N or principal=N")
        if self.csv is not None and self.classifier is not None:
            raise ConfigError("csv and classifier: labels come from one of them")
        # `[glasses: glasses!=none]` without quotes is read as a list of a mapping.
        words = [_words(label) for label in self.labels]
        object.__setattr__(self, "labels", words)
        if len(set(self.labels)) < len(self.labels):
            raise ConfigError(f"labels = {self.labels}: name each once")


def _words(label: Any) -> str:
    if isinstance(label, Mapping) and len(label) == 1:
        ((title, words),) = label.items()
        return f"{title}: {words}"
    return str(label)


SECTIONS: dict[str, type] = {
    "storage": RunOptions,
    "data": DataPlace,
    "boundary": BoundaryConfig,
}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv, "boundary", "Fit directions along which an attribute changes.", EXAMPLES
    )
    sections = read_sections(arguments.options, SECTIONS)
    options: BoundaryConfig = sections["boundary"]
    screen = console(arguments.as_json)
    labels = [Label.parse(text) for text in options.labels]
    model, data = open_model(
        sections["storage"], options.model, "boundary", sections["data"],
        with_data=bool(labels) and options.classifier is None,
    )  # fmt: skip
    name, space = space_of(model, options.space)
    whose = identity(model)
    found: list[Boundary] = []
    if labels:
        points = _points(model, space, data, labels, options, screen)
        found = [fit(label.text, model, whose, name, *points.of(label.text)) for label in labels]
    if options.conditional:
        found = [conditioned(one, [o for o in found if o is not one], model) for one in found]
    found += element_directions(model, whose, options.elements)
    found += principal_directions(model, whose, options.principal)
    target = _write(options, sections["storage"], found)
    if arguments.as_json:
        print(json.dumps({"to": target, "boundaries": [_plain(one) for one in found]}))
    else:
        screen.print(_table(found))
        screen.print(f"{len(found)} boundaries: {target}", markup=False, soft_wrap=True)
    return 0


def _points(
    model: InvertibleGan, space: Space, data: tuple[Store, Index] | None, labels: Sequence[Label],
    options: BoundaryConfig, screen: Any,
) -> LabelledPoints:  # fmt: skip
    if options.classifier is not None:
        return from_classifier(
            model, space, Path(options.classifier), options.labels, options.images, options.keep,
            screen,
        )  # fmt: skip
    assert data is not None
    table = None if options.csv is None else table_of(Path(options.csv))
    return from_data(model, space, data, labels, table, options.images, screen)


def _write(options: BoundaryConfig, storage: RunOptions, found: Sequence[Boundary]) -> str:
    """Returns the place of the file."""
    model = options.model or storage.run
    assert model is not None
    place = options.to or beside(model)
    folder, name = split_file(place)
    open_store(folder, endpoint_url=storage.endpoint_url).write(name, to_bytes(found))
    return place


def _table(found: Sequence[Boundary]) -> Table:
    table = Table(box=None)
    for title in ("boundary", "space", "accuracy", "on held-out images", "share", "σ"):
        table.add_column(title, justify="left" if title in ("boundary", "space") else "right")
    for one in found:
        figures = one.figures
        cells = (
            f"{figures[key]:.1%}" if key in figures else "–"
            for key in ("accuracy_train", "accuracy_validation", "share")
        )
        table.add_row(one.name, one.space, *cells, f"{one.spread:.3g}")
    return table


def _plain(one: Boundary) -> dict[str, Any]:
    return {
        "name": one.name,
        "space": one.space,
        "spread": one.spread,
        "conditioned_on": list(one.conditioned_on),
        **one.figures,
    }
