"""Photographs to images of one size and kind: for data sets, inversion and edits alike."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ganinv.alignment.cutting import cut
from ganinv.alignment.landmarks import find_landmarks, need_faces
from ganinv.alignment.pixel_shaping import shaped
from ganinv.alignment.quad import centred_part, face_square
from ganinv.alignment.transform import ALIGNMENTS, CROP, FACES, PAD, STRETCH, Transform, box_corners
from ganinv.errors import ConfigError
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import RGB8, Kind
from ganinv.kinds.reading import pixels_of
from ganinv.pixels import upright_rgb
from ganinv.resizing import centred_box, pad_photograph, padded_box, resize_photograph
from ganinv.sizes import Size

if TYPE_CHECKING:
    from PIL.Image import Image


class Aligned(NamedTuple):
    """An image of a photograph, and where it lies in it."""

    picture: "Image"
    """RGB."""
    transform: Transform


class AlignedPixels(NamedTuple):
    """As `Aligned`, of any kind of pixels."""

    pixels_HWC: Pixels
    transform: Transform


def check_alignment(chosen: str | None) -> None:
    """Raises `ConfigError` for a value of an option `align` that is none, or cannot work here."""
    if chosen is not None and chosen not in ALIGNMENTS:
        raise ConfigError(f"align = {chosen}: choose one of {', '.join(ALIGNMENTS)}")
    if chosen == FACES:
        need_faces(f"align = {FACES}")


def alignment_of(chosen: str | None, data: str, key: str) -> str:
    """What is chosen, else how the data of the model were aligned. Raises as `check_alignment`."""
    found = chosen or data
    if found == FACES:
        need_faces(f"{key}={FACES}, as the model's data are aligned,")
    return found


def align(photograph: "Image", size: Size, alignment: str = CROP) -> Aligned:
    """The photograph as an image of `size`, and where the image lies in the upright photograph.

    `crop` keeps the largest centred part of the right shape; `stretch` the whole photograph, with
    other proportions; `pad` the whole photograph, centred on black and never enlarged; `faces` the
    square of its largest face, aligned as FFHQ is (of other shapes, the square's centre).

    Raises what `ganinv.pixels.upright_rgb` raises, and for faces `NoFaceError` (a `DataError`)
    without a face, and `ConfigError` without the extra `faces`.
    """
    upright = upright_rgb(photograph)
    whole = Size(*upright.size)
    if alignment == FACES:
        corners = centred_part(face_square(find_landmarks(upright)), *size)
        picture = cut(upright, corners, size)
    elif alignment == PAD:
        corners = box_corners(*padded_box(whole, size))
        picture = pad_photograph(upright, *size)
    else:
        stretch = alignment == STRETCH
        corners = box_corners(*((0, 0, *whole) if stretch else centred_box(whole, size)))
        picture = resize_photograph(upright, *size, stretch=stretch)
    transform = Transform(alignment=alignment, corners=corners, image=size, photograph=whole)
    return Aligned(picture, transform)


def align_pixels(
    photograph: "Image",
    size: Size,
    alignment: str = CROP,
    kind: Kind = RGB8,
    data: bytes | memoryview = b"",
) -> AlignedPixels:
    """As `align`, with pixels of `kind`. `data`: the bytes that the photograph was opened from.

    Faces are found and cut out in RGB of 8 bits alone. Raises what `align` raises, and
    `ConfigError` for faces of another kind.
    """
    if kind == RGB8:
        picture, transform = align(photograph, size, alignment)
        return AlignedPixels(np.array(picture), transform)
    check_kind(alignment, kind)
    return align_upright(pixels_of(photograph, kind, data), size, alignment)


def align_upright(upright_HWC: Pixels, size: Size, alignment: str = CROP) -> AlignedPixels:
    """As `align_pixels`, of the upright pixels of a photograph, in their own kind."""
    if upright_HWC.dtype == np.uint8 and upright_HWC.shape[2] == RGB8.channels:
        from PIL.Image import fromarray

        picture, transform = align(fromarray(upright_HWC), size, alignment)
        return AlignedPixels(np.array(picture), transform)
    height, width = upright_HWC.shape[:2]
    pixels_HWC, box = shaped(upright_HWC, size, alignment)
    transform = Transform(
        alignment=alignment, corners=box_corners(*box), image=size, photograph=Size(width, height)
    )
    return AlignedPixels(pixels_HWC, transform)


def check_kind(alignment: str, kind: Kind) -> None:
    """Raises `ConfigError` for faces of pixels that cannot be searched for them."""
    if alignment == FACES and kind != RGB8:
        raise ConfigError(
            f"align = {FACES}: faces are cut out in {RGB8}, not in {kind}; align photographs in"
            " another way, or keep to 3 channels of 8 bits"
        )
