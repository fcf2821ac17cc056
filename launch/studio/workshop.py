"""What the studio computes with its model. Nothing here has a state: any thread may call it.

Shapes: 1 picture, C × H × W in [−1, 1]; L latent elements.
"""

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ganinv.alignment.aligning import align_upright, check_kind
from ganinv.alignment.landmarks import NoFaceError, need_faces
from ganinv.alignment.transform import FACES
from ganinv.boundaries.boundary import Boundary
from ganinv.boundaries.directions import element_directions, principal_directions
from ganinv.editing.edits import Editor, Points
from ganinv.editing.settings import Settings, settings_of, start_of
from ganinv.errors import ConfigError
from ganinv.inversion.optimise import Optimisation, RefineConfig
from ganinv.kinds.converting import Pixels, as_kind
from ganinv.metrics.psnr import psnr_db
from ganinv.model import MANY, InvertibleGan
from ganinv.pictures import to_png, to_signed
from ganinv.saved.exports import without_shape
from ganinv.saved.identity import identity
from ganinv.sizes import Size
from launch.evaluation.inversion import codes_arrays
from launch.studio.session import Source, State


class StoppedError(Exception):
    """A refinement was told to stop. Never shown."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Sliders that belong together."""

    title: str
    names: tuple[str, ...]  # of boundaries of the editor


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture as PNG, and the signed distance of its code from each boundary in σ."""

    png: bytes
    distances: Mapping[str, float]


class Workshop:
    """One model with its boundaries; raises `DataError` if these belong to another model."""

    def __init__(
        self,
        model: InvertibleGan,
        boundaries: Sequence[Boundary],
        *,
        elements: int,
        principal: int,
        refine: RefineConfig,
        alignment: str | None = None,
    ) -> None:
        """`alignment` of photographs, see `ganinv.alignment`; None: as the model's data."""
        self.model, self._refine = model, refine
        self.alignment = alignment or model.alignment
        if self.alignment == FACES:
            need_faces(f"studio.align={FACES}, as the model's data are aligned unless told,")
        check_kind(self.alignment, model.kind)
        self._aligning = threading.Lock()  # landmarks are found by one thread at a time
        given = {boundary.name for boundary in boundaries}
        whose = identity(model)
        by_size = element_directions(model, whose, elements)
        of_layer = [] if model.codec.first_weight is None else (
            principal_directions(model, whose, principal)
        )  # fmt: skip
        groups = {
            "Attributes": boundaries,
            "Most informative elements": [b for b in by_size if b.name not in given],
            "Principal directions": [b for b in of_layer if b.name not in given],
        }
        self.groups = tuple(
            Group(title=title, names=tuple(boundary.name for boundary in group))
            for title, group in groups.items()
            if group
        )
        self.editor = Editor(model, [boundary for group in groups.values() for boundary in group])

    def warm_up(self) -> None:
        """Do once what a tab asks for first, so that nobody waits for what loads late."""
        self.show(State(first=self.sample(0)))
        if self.model.encodes and self.alignment != FACES:
            blank_HWC = np.zeros((64, 64, self.model.image_shape[0]), np.uint8)
            nothing = as_kind(blank_HWC, self.model.kind)
            self.show(State(first=self.photograph(nothing, "nothing")))

    def to_input(self, upright_HWC: Pixels) -> Tensor:
        """A photograph, of the model's kind of pixels, as the model's input, 1 × C × H × W.

        The one place where photographs meet the geometry of the model's data. Raises `DataError`
        where a face is sought and none is found.
        """
        _, height, width = self.model.image_shape
        with self._aligning:
            aligned = align_upright(upright_HWC, Size(width, height), self.alignment)
        image_1CHW = torch.from_numpy(aligned.pixels_HWC.copy()).permute(2, 0, 1)[None]
        return to_signed(image_1CHW)

    def photograph(self, upright_HWC: Pixels, origin: str) -> Source:
        """The photograph's point by the encoder. Raises `ConfigError` if the model has none."""
        try:
            photo_1CHW = self.to_input(upright_HWC)
        except NoFaceError as error:
            raise NoFaceError(f"{origin}: {error}") from error
        points = self.editor.encode(photo_1CHW)
        return Source(origin=origin, points=points, photo_1CHW=photo_1CHW)

    def sample(self, seed: int) -> Source:
        """The first generated picture of a seed. Raises `ConfigError` for an impossible one."""
        if not 0 <= seed < MANY:
            raise ConfigError(f"seed {seed}: choose a whole number from 0 on, below 2⁶³")
        return Source(origin=f"seed {seed}", points=self.editor.sample(range(1), seed))

    def start(self, state: State) -> Points:
        """Where the edits start: the first picture, or on the way from it to the second."""
        if state.second is None or state.share == 0:
            return state.first.points
        if state.share == 1:
            return state.second.points
        first_1L, second_1L = self._code(state.first.points), self._code(state.second.points)
        share_1 = torch.tensor([state.share], device=first_1L.device)
        code_1L = self.model.codec.interpolate(first_1L, second_1L, share_1)
        return Points("z", code_1L.to(self.model.dtype))

    def show(self, state: State) -> Shown:
        """The edited picture."""
        edited = self._edited(state)
        distances = self.editor.distances(edited)
        return Shown(
            png=self._png(self.editor.decode(edited)),
            distances={name: float(distance) for name, distance in distances.items()},
        )

    def photo_png(self, source: Source) -> bytes | None:
        """The photograph as the encoder saw it; None without one."""
        return None if source.photo_1CHW is None else self._png(source.photo_1CHW)

    def psnr_db(self, source: Source) -> float | None:
        """Of the source's picture to its photograph; None without one."""
        if source.photo_1CHW is None:
            return None
        image_1CHW = self.editor.decode(source.points)
        return float(psnr_db(source.photo_1CHW.to(image_1CHW), image_1CHW))

    def refine(
        self, source: Source, progress: Callable[[float], None], stop: threading.Event
    ) -> Source:
        """A point nearer to the photograph, found by gradient descent. `progress`: share done.

        Raises `StoppedError` soon after `stop` is set.
        """
        assert source.photo_1CHW is not None
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            if stop.is_set():
                raise StoppedError
            done += steps
            progress(done / self._optimisation.evaluations)

        found = self._optimisation(source.photo_1CHW, progress=advance)
        return replace(source, points=Points(found.space, found.point), refined=True)

    def codes(self, state: State) -> bytes:
        """The edited picture's code in NumPy's format, as `ganinv invert` writes codes."""
        edited = self._edited(state)
        to_code = self.model.codec.spaces[edited.space].to_code
        latent = self.model.codec.tensors.items()
        tensors = {without_shape(name): tensor.cpu() for name, tensor in latent}
        if to_code is not None:
            tensors["codes"] = to_code(edited.values).cpu()
        tensors["points"] = edited.values.cpu()
        file = io.BytesIO()
        np.savez(file, **codes_arrays([self._origin(state)], tensors, {"space": edited.space}))
        return file.getvalue()

    def settings(self, state: State) -> str:
        """The settings of the picture, as `ganinv edit` takes them."""
        found = settings_of(self.editor, self.start(state), state.strengths, self._origin(state))
        return found.to_json()

    def opened(self, text: bytes, name: str) -> State:
        """The state that settings describe. Raises `DataError` or `ConfigError` for others."""
        settings = Settings.from_json(text)
        points = start_of(self.editor, settings)
        self.editor.edited(points, settings.strengths)  # raises for unknown names
        origin = settings.origin or name
        return State(
            first=Source(origin=origin, points=points),
            strengths=dict(settings.strengths),
        )

    def _edited(self, state: State) -> Points:
        return self.editor.edited(self.start(state), state.strengths)

    def _code(self, points: Points) -> Tensor:
        to_code = self.model.codec.spaces[points.space].to_code
        if to_code is None:
            raise ConfigError(
                f"the way between two pictures: a point in {points.space!r} has no code; open the "
                "photographs themselves"
            )
        return to_code(points.values)

    def _png(self, image_1CHW: Tensor) -> bytes:
        return to_png(image_1CHW[0], self.model.bits)

    @staticmethod
    def _origin(state: State) -> str:
        if state.second is None or state.share == 0:
            return state.first.origin
        return f"{state.share:.0%} from {state.first.origin} to {state.second.origin}"

    @cached_property
    def _optimisation(self) -> Optimisation:
        """Only the thread of refinements asks for it, so that it is made once."""
        return Optimisation(self.model, self._refine)
