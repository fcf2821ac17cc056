"""The picture sections of the result page, and images as data URLs.

Arrays of images are uint8, H × W × C pixels with C = 1 (grey), 2 (grey and opacity), 3 (RGB) or
4 (RGBA), with values from 0 to 255.
"""

import base64
import io
import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

Images = npt.NDArray[np.uint8]

CONTENT_PX = 1120  # width of the page's column, in CSS pixels
LARGEST_PX = 128  # small images are enlarged by a whole factor up to about this width
SMALLEST_PX = 64
# A page holds hundreds of images. Images up to this side are stored exactly, in less than 3 MB a
# page; larger photographs, stored exactly, would take 30 MB.
EXACT_PX = 64
STORED_PX = 256  # larger images are reduced to this: two pixels for each shown CSS pixel
QUALITY = 90  # of lossy WebP, 0 to 100
AS_STORED = (
    f"Images of up to {EXACT_PX} pixels a side are shown exactly; larger ones are compressed, and "
    f"above {STORED_PX} pixels also made smaller."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """N items that wrap like words; each has K images one above another, and a note below."""

    images: Images  # N × K × H × W × C
    names: tuple[str, ...]  # K, what each image of an item shows, for its text alternative
    notes: tuple[str, ...] = ()  # N, or none at all

    def __post_init__(self) -> None:
        assert self.images.shape[1] == len(self.names)
        assert len(self.notes) in (0, len(self.images))


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table of images, R rows that are read from left to right."""

    images: Images  # R × K × H × W × C
    columns: tuple[str, ...]  # K headings; may be empty
    name: str  # what the table shows, for text alternatives
    heading: str = ""
    remark: str = ""  # beside the heading
    originals: frozenset[int] = field(default_factory=frozenset)  # columns of unchanged images

    def __post_init__(self) -> None:
        assert self.images.shape[1] == len(self.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One section of the page. Without pictures, its caption gives the reason."""

    anchor: str
    title: str
    caption: str  # what the pictures show and what to look for
    source: str = ""  # the corresponding figures of the papers
    gallery: Gallery | None = None
    grids: tuple[Grid, ...] = ()


def image_url(image_HWC: Images) -> str:
    """The image as a data URL of WebP: lossless if it is small, else lossy."""
    assert image_HWC.dtype == np.uint8, f"images are uint8, not {image_HWC.dtype}"
    assert image_HWC.shape[-1] in (1, 2, 3, 4), f"no image has the shape {image_HWC.shape}"
    pixels = image_HWC[..., 0] if image_HWC.shape[-1] == 1 else image_HWC
    image = Image.fromarray(np.ascontiguousarray(pixels))
    file = io.BytesIO()
    if max(image.size) <= EXACT_PX:
        image.save(file, format="WEBP", lossless=True, exact=True)
    else:
        image.thumbnail((STORED_PX, STORED_PX), Image.Resampling.LANCZOS)
        image.save(file, format="WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def shown_px(native_px: int, columns: int, gap_px: int) -> int:
    """Width in CSS pixels at which `columns` images fit side by side; a multiple of `native_px`."""
    room = (CONTENT_PX + gap_px) // columns - gap_px
    zoom = min(room, LARGEST_PX) // native_px
    return native_px * zoom if zoom else max(min(room, LARGEST_PX), SMALLEST_PX)


def decibels(value: float) -> str:
    """One decimal; empty if unknown, and infinite for a perfect reconstruction."""
    if math.isnan(value):
        return ""
    return "∞ dB" if math.isinf(value) else f"{value:.1f} dB"


def signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−") if value else "0"
