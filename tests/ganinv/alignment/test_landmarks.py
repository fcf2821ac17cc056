"""dlib's landmarks, on the one photograph of a face that a package holds: scikit-image's astronaut.

NASA's portrait of Eileen Collins, in the public domain.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganinv.alignment.aligning import align
from ganinv.alignment.landmarks import NoFaceError, find_landmarks, need_faces
from ganinv.alignment.transform import FACES, Point
from ganinv.errors import ConfigError
from ganinv.sizes import Size

SIZE = Size(64, 64)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    for package in ("dlib", "face_recognition_models"):
        pytest.importorskip(package, reason="extra 'faces' is missing")
    found = importlib.util.find_spec("skimage")  # importing it takes a second
    if found is None or found.origin is None:
        pytest.skip("scikit-image, which holds a photograph of a face, is missing")
    with Image.open(Path(found.origin).parent / "data" / "astronaut.png") as picture:
        return picture.convert("RGB")


def centres(points: list[Point]) -> list[Point]:
    """Of both eyes and of the mouth."""
    parts = points[36:42], points[42:48], points[48:60]
    return [Point(*np.mean(part, axis=0)) for part in parts]


def test_eyes_and_mouth_lie_where_ffhq_has_them(astronaut: Image.Image) -> None:
    """FFHQ's eyes are level, 48 % from the top; the mouth lies on the middle axis below."""
    aligned = align(astronaut, SIZE, FACES)
    found = [aligned.transform.to_image(p) for p in centres(find_landmarks(astronaut))]
    left, right, mouth = (Point(p.x / SIZE.width, p.y / SIZE.height) for p in found)
    assert left.y == pytest.approx(right.y, abs=0.02)
    assert (left.y + right.y) / 2 == pytest.approx(0.48, abs=0.02)
    assert (left.x + right.x) / 2 == pytest.approx(0.5, abs=0.02)
    assert mouth.x == pytest.approx(0.5, abs=0.02)
    assert 0.65 < mouth.y < 0.8


@pytest.mark.parametrize(
    ("degrees", "scale"), [(12, 1.0), (-10, 0.7), (0, 3.0)], ids=["left", "right, small", "large"]
)
def test_a_turned_or_resized_photograph_gives_the_same_image(
    astronaut: Image.Image, degrees: float, scale: float
) -> None:
    expected = np.asarray(align(astronaut, SIZE, FACES).picture, float)
    size = tuple(round(scale * length) for length in astronaut.size)
    other = astronaut.resize(size).rotate(degrees, Image.Resampling.BICUBIC)
    found = np.asarray(align(other, SIZE, FACES).picture, float)
    # Landmarks move by a pixel or so. Without alignment the difference is above 50.
    centre = np.s_[16:56, 16:48]
    assert np.abs(found - expected)[centre].mean() < 12


def test_the_largest_face_counts(astronaut: Image.Image) -> None:
    sheet = Image.new("RGB", (1400, 800), "grey")
    sheet.paste(astronaut.resize((400, 400)), (0, 300))
    sheet.paste(astronaut.resize((800, 800)), (500, 0))
    assert min(p.x for p in find_landmarks(sheet)) > 500


def test_equal_photographs_have_equal_landmarks(astronaut: Image.Image) -> None:
    assert find_landmarks(astronaut) == find_landmarks(astronaut.copy())


@pytest.mark.parametrize("size", [(1, 1), (5, 700), (64, 64)])
def test_a_photograph_without_a_face_is_refused(
    astronaut: Image.Image, size: tuple[int, int]
) -> None:
    del astronaut  # only skips the test without the extra
    with pytest.raises(NoFaceError, match="no face found"):
        find_landmarks(Image.new("RGB", size, (200, 160, 140)))


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"data\.align=faces needs the package 'dlib'.*pip inst"):
        need_faces("data.align=faces")
