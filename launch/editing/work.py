"""The work of `ganinv edit` on one picture: its strengths, its image, its strips.

Every image goes through the networks by itself, so that its bits do not depend on others.
Shapes: K frames, C × H × W pixels.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.editing.edits import Editor, Points, mixed
from ganinv.editing.sequences import Way, between, even_strengths, noisy
from ganinv.editing.settings import Settings, settings_of
from ganinv.editing.targets import strengths_to
from ganinv.errors import ConfigError
from ganinv.pictures import to_bytes, to_png
from launch.editing.options import EditConfig, layers_of
from launch.editing.starts import Start

FRAMES_AT_MOST = 1000  # of an interpolation; they are held until it is written
MIXED_AT_MOST = 12  # pictures, of which each is mixed with each


@dataclass(frozen=True, kw_only=True)
class Edited:
    """One picture before and after. Images are uint8, C × H × W."""

    start: Start
    strengths: Mapping[str, float]
    distances: Mapping[str, float]  # from each boundary before the edits, in σ
    distances_after: Mapping[str, float]
    points: Points  # after the edits
    before: Tensor  # the reconstruction
    after: Tensor


class Work:
    """Edits with the options of the command. `editor` decodes one image at a time.

    Raises `ConfigError` for boundaries that are not there, and layers that are not.
    """

    def __init__(self, editor: Editor, options: EditConfig, strips: Sequence[str]) -> None:
        editor.check_known([*options.by, *options.to_distance, *strips])
        self.editor, self.options, self.strips = editor, options, tuple(strips)
        self.reaches = even_strengths(options.reach, options.steps)
        if options.mix is not None:
            self._check_layers(layers_of(options.mix))

    def check_count(self, pictures: int) -> None:
        """Raises `ConfigError` for a number of pictures that cannot be worked on together."""
        frames = (pictures - 1) * (self.options.steps - 1) + 1
        if self.options.interpolate != "none" and (pictures < 2 or frames > FRAMES_AT_MOST):
            raise ConfigError(
                f"edit.interpolate: {pictures} pictures give {frames} frames; it takes two "
                f"pictures or more, and at most {FRAMES_AT_MOST} frames; give other pictures, or "
                "fewer edit.steps"
            )
        if self.options.mix is not None and not 2 <= pictures <= MIXED_AT_MOST:
            raise ConfigError(
                f"edit.mix: takes 2 to {MIXED_AT_MOST} pictures, not {pictures}; give others"
            )

    def edited(self, start: Start) -> Edited:
        """The picture after the strengths of its settings and of the options, which add up."""
        given = dict(start.strengths)
        for name, strength in self.options.by.items():
            given[name] = given.get(name, 0.0) + strength
        found = strengths_to(self.editor, start.points, self.options.to_distance, given)
        strengths = {name: float(strength) for name, strength in found.items()}
        points = self.editor.edited(start.points, strengths)
        return Edited(
            start=start,
            strengths=strengths,
            distances=self._distances(start.points),
            distances_after=self._distances(points),
            points=points,
            before=self.image(start.points),
            after=self.image(points),
        )

    def settings(self, edited: Edited) -> Settings:
        """What gives the picture again."""
        start = edited.start
        return settings_of(self.editor, start.points, edited.strengths, start.origin)

    def strip(self, edited: Edited, boundary: str) -> Tensor:
        """The edited picture from −reach to reach along a boundary, K × C × H × W."""
        own = edited.strengths.get(boundary, 0.0)
        return torch.stack(
            [
                self.image(
                    self.editor.edited(
                        edited.start.points, {**edited.strengths, boundary: own + strength}
                    )
                )
                for strength in self.reaches
            ]
        )

    def transition(self, edited: Edited) -> Tensor:
        """From the reconstruction to the edited picture, K × C × H × W."""
        last = self.options.steps - 1
        shares = [{n: s * i / last for n, s in edited.strengths.items()} for i in range(last)]
        steps = [self.image(self.editor.edited(edited.start.points, share)) for share in shares]
        return torch.stack([*steps, edited.after])

    def noisy(self, edited: Edited) -> Tensor:
        """The edited picture with noises on its code, K × C × H × W."""
        options = self.options
        return self.images(
            noisy(self.editor, edited.points, options.noise, options.noise_variance, options.seed)
        )

    def interpolation(self, pictures: Sequence[Points], way: Way) -> Tensor:
        """From each picture to the next, K × C × H × W; where two ways meet is one frame.

        Raises `ConfigError` as `check_count`.
        """
        self.check_count(len(pictures))
        frames: list[Tensor] = []
        for first, second in itertools.pairwise(pictures):
            way_KCHW = self.images(between(self.editor, first, second, self.options.steps, way))
            frames += way_KCHW[1:] if frames else way_KCHW
        return torch.stack(frames)

    def mixing(self, pictures: Sequence[Points]) -> list[list[Points]]:
        """Each picture (rows) with the styles of each (columns) in the layers of `edit.mix`.

        Raises `ConfigError` as `check_count`.
        """
        self.check_count(len(pictures))
        assert self.options.mix is not None
        layers = layers_of(self.options.mix)
        own = [self.editor.in_space(points, "y_layers") for points in pictures]
        return [[mixed(first, second, layers) for second in own] for first in own]

    def images(self, points: Points) -> Tensor:
        return to_bytes(self.editor.decode(points)).cpu()

    def png(self, points: Points) -> bytes:
        """The image of a single point as PNG, with all bits of the model's data."""
        return to_png(self.editor.decode(points)[0], self.editor.model.bits)

    def image(self, points: Points) -> Tensor:
        """C × H × W of a single point."""
        return self.images(points)[0]

    def _distances(self, points: Points) -> dict[str, float]:
        found = self.editor.distances(points)
        return {name: float(distance_B[0]) for name, distance_B in found.items()}

    def _check_layers(self, layers: range) -> None:
        spaces = self.editor.model.codec.spaces
        if "y_layers" not in spaces:
            raise ConfigError(
                "edit.mix: only style-based generators have layers with styles; this model has "
                f"the spaces {', '.join(spaces)}"
            )
        points = self.editor.in_space(self.editor.sample([0], 0), "y_layers")
        mixed(points, points, layers)
