"""The settings of one edited picture as JSON: a file of them gives the same picture again.

They hold the point that the edits start from, so that neither the photograph nor a refinement is
needed again. Its numbers are float32 as base64, little-endian: exact, and compact.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ganinv.editing.edits import Editor, Points
from ganinv.errors import ConfigError, DataError
from ganinv.plain import from_plain

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One picture: where it starts, and the strength of each edit in σ."""

    model: str  # its identity, see `ganinv.saved.identity`
    space: str
    shape: Sequence[int]  # of the point, without the dimension of samples
    point: str  # float32, base64
    strengths: Mapping[str, float] = field(default_factory=dict)
    origin: str = ""  # in words for people: a file's name, or a seed

    def __post_init__(self) -> None:
        if not all(type(side) is int and side > 0 for side in self.shape):
            raise ConfigError(f"shape = {self.shape!r}: must be a list of positive whole numbers")
        object.__setattr__(self, "shape", tuple(self.shape))
        for name, strength in self.strengths.items():
            if type(strength) not in (int, float) or not math.isfinite(strength):
                raise ConfigError(f"strengths.{name} = {strength!r}: must be a finite number")

    def points(self) -> Points:
        """The one point that the edits start from. Raises `DataError` for unusable numbers."""
        try:
            payload = base64.b64decode(self.point, validate=True)
        except binascii.Error as error:
            raise DataError(
                f"point: is no base64 text ({error}); save the settings anew"
            ) from error
        count = math.prod(self.shape)
        if not self.shape or len(payload) != 4 * count:
            raise DataError(
                f"point: has {len(payload)} bytes where shape {self.shape} needs {4 * count}; "
                "save the settings anew"
            )
        values = torch.from_numpy(np.frombuffer(payload, "<f4").astype(np.float32))
        if not values.isfinite().all():
            raise DataError("point: has numbers that are not finite; save the settings anew")
        return Points(self.space, values.reshape(1, *self.shape))

    def to_json(self) -> str:
        """The file's text."""
        fields = {
            "model": self.model,
            "space": self.space,
            "shape": list(self.shape),
            "strengths": dict(self.strengths),
            "origin": self.origin,
            "point": self.point,
        }
        return json.dumps({"ganinv-edit": VERSION} | fields, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Settings":
        """Raises `DataError` for another kind of file, and `ConfigError` for a wrong key."""
        try:
            values: Any = json.loads(text)
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
            raise DataError(f"settings: are not JSON ({error}); save them anew") from error
        version = values.pop("ganinv-edit", None) if isinstance(values, dict) else None
        if version != VERSION:
            raise DataError(
                f"settings: have the format {version!r}, but this program reads format {VERSION}; "
                "use a file that ganinv edit or ganinv studio saved"
            )
        return from_plain(cls, values, "settings")


def settings_of(
    editor: Editor, points: Points, strengths: Mapping[str, float], origin: str = ""
) -> Settings:
    """The settings of a single point, 1 × …, with edits."""
    assert len(points.values) == 1
    values = points.values[0].detach().cpu().float().numpy().astype("<f4")
    return Settings(
        model=editor.identity,
        space=points.space,
        shape=values.shape,
        point=base64.b64encode(values.tobytes()).decode("ascii"),
        strengths={name: strength for name, strength in strengths.items() if strength != 0},
        origin=origin,
    )


def restored(editor: Editor, settings: Settings) -> Points:
    """The edited point of the settings, 1 × … Raises as `start_of`."""
    return editor.edited(start_of(editor, settings), settings.strengths)


def start_of(editor: Editor, settings: Settings) -> Points:
    """The point that the edits of the settings start from, 1 × …

    Raises `DataError` for settings of another model, or with a point of another shape.
    """
    if settings.model != editor.identity:
        raise DataError(
            f"settings: belong to the model {settings.model[:12]}…, but this model is "
            f"{editor.identity[:12]}…; load that model"
        )
    points = settings.points()
    expected = editor.sample(range(1), 0)
    spaces = editor.model.codec.spaces
    if settings.space not in spaces:
        raise DataError(
            f"settings: no space {settings.space!r}; this model has {', '.join(spaces)}"
        )
    shape = tuple(spaces[settings.space].of_code(expected.values).shape[1:])
    if settings.shape != shape:
        raise DataError(
            f"settings: the point has the shape {settings.shape}, but those of this model have "
            f"{shape}; save the settings anew"
        )
    values = points.values.to(editor.model.device, editor.model.dtype)
    return Points(points.space, values)
