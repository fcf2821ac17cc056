"""The result page: what it shows, and how that becomes one self-contained HTML file.

Arrays of images are uint8, H × W × C pixels with C = 1 (grey), 3 (RGB) or 4 (RGBA), and are shown
as they are: any scaling to 0…255 has happened before.
"""

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from launch.page_charts import spectrum_charts, training_charts
from launch.page_curves import Floats, Rows, number

Images = npt.NDArray[np.uint8]

CONTENT_PX = 1120  # width of the page's column, in CSS pixels
LARGEST_PX = 128  # small images are enlarged by a whole factor up to about here
SMALLEST_PX = 64
GALLERY_COLUMNS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """One of the few figures that stand large at the top of the page."""

    label: str
    value: str  # formatted, without its unit
    unit: str = ""
    meaning: str = ""  # one short sentence for newcomers


@dataclass(frozen=True, kw_only=True, slots=True)
class Traversal:
    """One latent element changed step by step, all others held."""

    images: Images  # one image per value, K × H × W × C
    values: tuple[float, ...]  # the K values of the element, before scaling by s
    element: int  # its index in the code
    scale: float  # its s
    variance: float  # its v


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Everything that the page shows. A part without images or values is left out of it.

    N samples, M held-out images, R interpolations of K steps.
    """

    title: str
    run_url: str
    facts: Mapping[str, str]  # name → value, in the order in which they are shown
    headlines: tuple[Headline, ...]
    samples: Images  # N × H × W × C, generated from random codes
    held_out: Images  # M × H × W × C, never trained on
    reconstructions: Images  # M × H × W × C, of `held_out`
    reconstruction_psnr_db: Floats | None = None  # M, of each reconstruction; NaN if unknown
    interpolations: Images  # R × K × H × W × C; first and last are reconstructions of the ends
    interpolation_ends: Images  # R × 2 × H × W × C, the held-out images at both ends
    traversals: tuple[Traversal, ...]  # the most important element first
    curves: Rows  # of metrics.jsonl, with `images_seen` ascending; missing keys and NaN are fine
    variance_fake: Floats  # d_z, v over codes of generated images
    variance_real: Floats | None = None  # d_z, v over codes of real images, where there is one
    config_yaml: str

    def __post_init__(self) -> None:
        assert len(self.held_out) == len(self.reconstructions)
        assert self.reconstruction_psnr_db is None or len(self.reconstruction_psnr_db) == len(
            self.held_out
        )
        assert len(self.interpolations) == len(self.interpolation_ends)
        assert all(len(t.values) == len(t.images) for t in self.traversals)


def render(page: Page) -> str:
    """The page as one HTML document that needs no other file; equal pages give equal text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"png": _png_url, "psnr": _psnr, "signed": _signed, "number": number}
    environment.globals["shown_px"] = _shown_px
    return environment.get_template("report.html.j2").render(
        page=page,
        charts=training_charts(page.curves),
        spectra=spectrum_charts(page.variance_fake, page.variance_real),
        content_px=CONTENT_PX,
        gallery_columns=GALLERY_COLUMNS,
    )


def _png_url(image_HWC: Images) -> str:
    assert image_HWC.dtype == np.uint8, f"images are uint8, not {image_HWC.dtype}"
    assert image_HWC.shape[-1] in (1, 3, 4), f"no image has the shape {image_HWC.shape}"
    pixels = image_HWC[..., 0] if image_HWC.shape[-1] == 1 else image_HWC
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _shown_px(native_px: int, columns: int, gap_px: int) -> int:
    """Width in CSS pixels at which `columns` images fit side by side, a multiple of their own."""
    room = (CONTENT_PX + gap_px) // columns - gap_px
    zoom = min(room, LARGEST_PX) // native_px
    return native_px * zoom if zoom else max(min(room, LARGEST_PX), SMALLEST_PX)


def _psnr(value: float) -> str:
    """Decibels with one decimal; empty if unknown, and infinite for a perfect reconstruction."""
    if math.isnan(value):
        return ""
    return "∞ dB" if math.isinf(value) else f"{value:.1f} dB"


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−") if value else "0"
