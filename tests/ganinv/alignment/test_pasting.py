"""Pasting: an image returns to its place, and nothing else of the photograph changes."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganinv.alignment import aligning
from ganinv.alignment.aligning import Aligned, align
from ganinv.alignment.pasting import paste
from ganinv.alignment.transform import ALIGNMENTS, FACES, Point, Transform
from ganinv.errors import DataError
from ganinv.sizes import Size
from tests.support.marked_faces import landmarks, marks, photograph

SIZE = Size(32, 32)
FACE = marks(Point(70, 50), 18, degrees=20)


@pytest.fixture(autouse=True)
def _known_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligning, "find_landmarks", lambda _: landmarks(FACE))


def pixels(picture: Image.Image) -> NDArray[np.int_]:
    return np.asarray(picture).astype(int)


def shown(transform: Transform) -> NDArray[np.bool_]:
    """Which pixels of the photograph touch the image."""
    width, height = transform.photograph
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = np.stack(transform.to_image(Point(x, y)), axis=2)
    slack = max(1, transform.image.width / 32)  # a pixel of the photograph
    found: NDArray[np.bool_] = (
        (places > -slack) & (places < np.array(transform.image) + slack)
    ).all(axis=2)
    return found


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_an_image_that_was_not_edited_changes_nearly_nothing(alignment: str) -> None:
    whole = photograph((120, 96))
    aligned = align(whole, SIZE, alignment)
    difference = np.abs(pixels(paste(whole, *aligned)) - pixels(whole))
    assert difference.max() <= 4
    assert difference.mean() < 1


@pytest.mark.parametrize("size", [SIZE, Size(128, 128)], ids=["enlarged", "reduced"])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_only_the_place_of_the_image_changes(size: Size, alignment: str) -> None:
    whole = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 120, 3), np.uint8))
    transform = align(whole, size, alignment).transform
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    made = pixels(paste(whole, Image.fromarray(noise), transform))
    changed = (made != pixels(whole)).any(axis=2)
    assert not changed[~shown(transform)].any()
    assert changed.sum() > 0.5 * shown(transform).sum()


def test_the_image_counts_fully_in_its_middle_and_fades_at_its_edge() -> None:
    whole = Image.new("RGB", (120, 96), (0, 0, 0))
    transform = align(whole, SIZE, FACES).transform
    made = pixels(paste(whole, Image.new("RGB", SIZE, (200, 200, 200)), transform))[..., 0]
    middle = transform.to_photograph(Point(SIZE.width / 2, SIZE.height / 2))
    assert made[int(middle.y), int(middle.x)] == 200
    path = [transform.to_photograph(Point(x / 4, SIZE.height / 2)) for x in range(0, 4 * 8)]
    values = [made[int(p.y), int(p.x)] for p in path]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0, 200)
    assert max(np.diff(values)) < 100  # no step: neighbours on the path may be one pixel apart


def test_a_photograph_that_a_camera_turned_comes_back_upright() -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    upright = photograph((120, 96))
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    with Image.open(file) as turned:
        aligned = align(turned, SIZE, FACES)
        assert aligned.transform.photograph == (120, 96)
        assert np.array_equal(pixels(aligned.picture), pixels(align(upright, SIZE, FACES).picture))
        made = paste(turned, *aligned)
    saved = io.BytesIO()
    made.save(saved, "PNG")
    with Image.open(saved) as again:
        assert again.getexif().get(0x0112, 1) == 1
        assert np.array_equal(pixels(again), pixels(paste(upright, *aligned)))


def test_files_that_do_not_belong_together_are_refused() -> None:
    whole = photograph((120, 96))
    picture, transform = align(whole, SIZE)
    with pytest.raises(DataError, match=r"the photograph has 96 × 120 pixels.*120 × 96"):
        paste(photograph((96, 120)), picture, transform)
    with pytest.raises(DataError, match=r"the edited image has 16 × 16 pixels.*32 × 32"):
        paste(whole, picture.resize((16, 16)), transform)
    with pytest.raises(DataError, match=r"feather = 0\.6"):
        paste(whole, picture, transform, feather=0.6)


def test_an_image_beyond_the_photograph_changes_nothing() -> None:
    whole = photograph((120, 96))
    picture, found = align(whole, SIZE)
    beyond = tuple(Point(p.x + 500, p.y) for p in found.corners)
    transform = Transform.from_plain(found.plain() | {"corners": beyond}, "here")
    assert np.array_equal(pixels(paste(whole, picture, transform)), pixels(whole))


def test_aligned_pictures_name_their_alignment() -> None:
    for alignment in ALIGNMENTS:
        found: Aligned = align(photograph((120, 96)), SIZE, alignment)
        assert found.transform.alignment == alignment
        assert (found.picture.size, found.transform.image) == (SIZE, SIZE)
