"""The editor of `ganinv edit`, and the directions that it knows without a file."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from ganinv.boundaries.boundary import Boundary
from ganinv.boundaries.directions import (
    element_direction,
    element_directions,
    principal_directions,
)
from ganinv.editing.edits import Editor
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.saved.identity import identity

_ELEMENT = re.compile(r"element (\d+)")  # as `element_direction` names it
_PRINCIPAL = re.compile(r"principal ([1-9]\d{0,5})")  # as `principal_directions` names them


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
