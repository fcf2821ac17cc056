"""The page of an edit: a slider for each attribute over frames that were made before.

Images are uint8. Shapes: K frames, C × H × W pixels.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ganinv.boundaries.boundary import Boundary
from launch.editing.work import Edited
from launch.pages.page import fill
from launch.pages.sections import AS_STORED, EXACT_PX, QUALITY, STORED_PX, image_url, signed

PAGE_BYTES = 16 * 2**20  # a page above this size takes no further picture


class EditPage:
    """Takes pictures as long as the file stays below `PAGE_BYTES`, but at least one."""

    def __init__(
        self, boundaries: Sequence[Boundary], strengths: Sequence[float], model: str
    ) -> None:
        self._boundaries, self._strengths, self._model = boundaries, strengths, model
        self._pictures: list[dict[str, Any]] = []
        self._bytes = 0
        self.full = False

    def add(self, edited: Edited, strips: Mapping[str, Tensor]) -> None:
        if self.full:
            return
        photograph = edited.start.image_CHW
        before = ["" if photograph is None else _url(photograph), _url(edited.before)]
        names = [one.name for one in self._boundaries]
        sprites = [sprite_url(strips[name]) for name in names]
        # Those before stand on the page twice: to choose a picture, and beside the edited one.
        size = sum(len(url) for url in (*sprites, *before, *before))
        if self._pictures and self._bytes + size > PAGE_BYTES:
            self.full = True
            return
        picture: dict[str, Any] = {
            "name": edited.start.name,
            "origin": edited.start.origin,
            "photograph": before[0],
            "reconstruction": before[1],
            "sprites": sprites,
            "distances": [_distance(edited.distances_after.get(n)) for n in names],
            "edits": [
                f"{boundary} {signed(strength)} σ"
                for boundary, strength in edited.strengths.items()
                if strength
            ],
        }
        self._pictures.append(picture)
        self._bytes += size
        _, self._height, self._width = edited.after.shape

    def html(self, pictures: int) -> str:
        """The page; `pictures` there were in all."""
        return fill(
            "edit.html.j2",
            model=self._model,
            pictures=self._pictures,
            in_all=pictures,
            megabytes=PAGE_BYTES // 2**20,
            boundaries=[
                {"name": one.name, "accuracy": one.figures.get("accuracy_validation")}
                for one in self._boundaries
            ],
            strengths=[signed(strength) for strength in self._strengths],
            middle=len(self._strengths) // 2,
            width=min(self._width, STORED_PX),
            height=round(self._height * min(1, STORED_PX / self._width)),
            pixels=self._width <= EXACT_PX,
            as_stored=AS_STORED,
        )


def _distance(value: float | None) -> str:
    """One decimal; empty where it is unknown."""
    return "" if value is None else signed(round(value, 1))


def sprite_url(frame_KCHW: Tensor) -> str:
    """Frames side by side as a data URL of WebP: lossless if they are small, else lossy."""
    frames = [Image.fromarray(_pixels(frame_CHW)) for frame_CHW in frame_KCHW]
    exact = max(frames[0].size) <= EXACT_PX
    if not exact:
        for frame in frames:
            frame.thumbnail((STORED_PX, STORED_PX), Image.Resampling.LANCZOS)
    width, height = frames[0].size
    sprite = Image.new(frames[0].mode, (width * len(frames), height))
    for number, frame in enumerate(frames):
        sprite.paste(frame, (number * width, 0))
    file = io.BytesIO()
    sprite.save(file, format="WEBP", lossless=exact, exact=exact, quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _pixels(image_CHW: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image_HWC: np.ndarray[Any, np.dtype[np.uint8]] = image_CHW.permute(1, 2, 0).numpy()
    return image_HWC.squeeze(2) if image_HWC.shape[2] == 1 else image_HWC


def _url(image_CHW: Tensor) -> str:
    return image_url(image_CHW.permute(1, 2, 0).numpy())
