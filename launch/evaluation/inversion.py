"""Inverts images batch by batch: codes, reconstructions as PNG, and the PSNR of each image.

Shapes: N images in all, B of a batch, L latent elements.
"""

import collections
import csv
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from torch import Tensor

from datasets.sources.photographs import Photographs, Placed
from datasets.streaming.decoding import stack_images
from ganinv.alignment.transform import Transform
from ganinv.errors import StorageError
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_pictures, to_png, to_signed
from ganinv.saved.exports import without_shape
from launch.evaluation.results_folder import (
    CODES_STEM,
    DELTA_COLUMN,
    DELTA_SUFFIX,
    LABEL_COLUMN,
    PASTED,
    PASTED_COLUMN,
    PLACE_COLUMN,
    PSNR_NAME,
    RECONSTRUCTIONS,
    TRANSFORM_COLUMN,
    TRANSFORM_SUFFIX,
    replaced,
)
from launch.progress import working


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """An inverted batch. `point`, `columns` and `deltas` are those of an `Improvement`."""

    names: list[str]
    code_BL: Tensor | None  # on the CPU, unscaled; None for points that have none
    image_BCHW: Tensor  # reconstructions
    psnr_db: list[float]
    seconds: float
    point: Tensor | None = None  # B × …, on the CPU
    columns: Mapping[str, Sequence[object]] = field(default_factory=dict)  # of the table, B each
    deltas: Sequence[bytes] = ()  # files, one for each image, or none


class _Batch(NamedTuple):
    """An inverted batch, and where each of its images lies in its photograph."""

    inverted: Inverted
    transforms: list[Transform]


class Improvement(Protocol):
    """What comes after the encoder, batch by batch."""

    @property
    def space(self) -> str:
        """The space of the points."""
        ...

    @property
    def passes(self) -> int:
        """How often it tells `progress` of an image, at most."""
        ...

    def __call__(
        self,
        names: list[str],
        real_BCHW: Tensor,
        encoded: Inverted | None,
        progress: Callable[[int], None],
    ) -> Inverted:
        """`encoded`: what the encoder gives; None if the model has none."""
        ...

    def write(self, folder: Path) -> None:
        """Write its figures and pictures of all batches."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The result of an inversion; `Photographs` lists the skipped images."""

    images: int
    mean_psnr_db: float


def invert(
    model: InvertibleGan,
    photographs: Photographs,
    target: Path,
    *,
    codes: str,
    screen: Console,
    improve: Improvement | None = None,
    paste: bool = False,
) -> Summary:
    """Write the codes, reconstructions and PSNR of all photographs to the folder `target`.

    They replace the results of an earlier inversion as a whole, once all of them are written.
    Memory holds one batch of images and all codes so far (4 L bytes per image). `codes` is the
    suffix of the file of codes, `npz` or `safetensors`. With `paste`, the photographs are written
    with the reconstructions in them, too. Raises `DataError` as `Photographs.placed` and `pasted`
    do, and `StorageError` if a file cannot be written.
    """
    try:
        with replaced(target) as folder:
            batches = _batches(model, photographs, screen, improve)
            pasted = photographs if paste else None
            summary = _write(model, photographs.names, batches, folder, codes, improve, pasted)
            if improve is not None:
                improve.write(folder)
            return summary
    except OSError as error:
        raise StorageError(
            f"invert.to = {target}: {error.strerror or error} ({error.filename}); make the "
            "folder writable, free space on its disk, or choose another folder"
        ) from error


def _write(
    model: InvertibleGan,
    all_names: Sequence[str],
    batches: Iterator[_Batch],
    folder: Path,
    codes: str,
    improve: Improvement | None,
    pasted: Photographs | None,
) -> Summary:
    places = reconstruction_names(all_names)
    names: list[str] = []
    code_blocks: list[Tensor] = []
    points: list[Tensor] = []
    total_db = 0.0
    path = folder / PSNR_NAME
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        for batch, transforms in batches:
            if not names:
                rows.writerow(_titles(batch, pasted))
            rows.writerows(_rows(batch, places, pasted))
            _write_files(batch, transforms, folder, places, pasted, model.bits)
            names += batch.names
            code_blocks += [] if batch.code_BL is None else [batch.code_BL]
            points += [] if batch.point is None else [batch.point]
            total_db += sum(batch.psnr_db)
    latent = {without_shape(name): tensor.cpu() for name, tensor in model.codec.tensors.items()}
    tensors, space = latent, {}
    if code_blocks:
        tensors["codes"] = torch.cat(code_blocks)
    if improve is not None:
        tensors["points"], space = torch.cat(points), {"space": improve.space}
    _write_codes(folder / f"{CODES_STEM}.{codes}", names, tensors, space)
    return Summary(images=len(names), mean_psnr_db=total_db / len(names))


def _titles(batch: Inverted, pasted: Photographs | None) -> list[str]:
    files = [TRANSFORM_COLUMN, *([PASTED_COLUMN] if pasted else [])]
    deltas = [DELTA_COLUMN] if batch.deltas else []
    return ["image", PLACE_COLUMN, "psnr_db", *batch.columns, *files, *deltas]


def _rows(
    batch: Inverted, places: Mapping[str, str], pasted: Photographs | None
) -> Iterator[list[object]]:
    for i, (name, db) in enumerate(zip(batch.names, batch.psnr_db, strict=True)):
        place = places[name]
        more = [values[i] for values in batch.columns.values()]
        files = [place + TRANSFORM_SUFFIX, *([_pasted_place(place)] if pasted else [])]
        deltas = [place + DELTA_SUFFIX] if batch.deltas else []
        yield [name, place, f"{db:.4f}", *more, *files, *deltas]


def _pasted_place(place: str) -> str:
    """Where the photograph lies that the reconstruction at `place` was pasted into."""
    return PASTED + place.removeprefix(RECONSTRUCTIONS)


def reconstruction_names(names: Sequence[str]) -> dict[str, str]:
    """The file of each image's reconstruction, relative to the target, as `picture_names`."""
    return {name: f"{RECONSTRUCTIONS}/{place}" for name, place in picture_names(names).items()}


def picture_names(names: Sequence[str]) -> dict[str, str]:
    """The PNG that is made of each image; all names differ.

    The suffix of the image's name is replaced by .png. If any two names differ only in their
    suffixes, .png is appended to all names instead.
    """
    plain = {name: name.removesuffix(PurePosixPath(name).suffix) + ".png" for name in names}
    if max(collections.Counter(plain.values()).values()) > 1:
        plain = {name: name + ".png" for name in names}
    return plain


def _batches(
    model: InvertibleGan, photographs: Photographs, screen: Console, improve: Improvement | None
) -> Iterator[_Batch]:
    passes = 1 if improve is None else improve.passes
    with working(screen, "inverting", passes * len(photographs.names)) as advance:
        read: Iterator[tuple[str, Placed]] = photographs.placed()
        while batch := list(islice(read, model.batch_size)):
            transforms = [found.transform for _, found in batch]
            found_BCHW = stack_images([found.image_HWC for _, found in batch])
            real_BCHW = to_signed(found_BCHW).to(model.device)
            names = [name for name, _ in batch]
            encoded = None
            if model.encodes or improve is None:
                encoded = _encoded(model, names, real_BCHW)
            if improve is not None:
                yield _Batch(improve(names, real_BCHW, encoded, advance), transforms)
            elif encoded is not None:
                advance(len(batch))
                yield _Batch(encoded, transforms)


def _encoded(model: InvertibleGan, names: list[str], real_BCHW: Tensor) -> Inverted:
    began = time.perf_counter()
    code_BL = model.encode(real_BCHW)
    image_BCHW = model.decode(code_BL)
    return Inverted(
        names=names,
        code_BL=code_BL.cpu(),
        image_BCHW=image_BCHW,
        psnr_db=psnr_db(real_BCHW, image_BCHW).tolist(),
        seconds=time.perf_counter() - began,
        columns={LABEL_COLUMN: model.labels_of(code_BL)} if model.classes else {},
    )


def _write_files(
    batch: Inverted,
    transforms: Sequence[Transform],
    folder: Path,
    places: Mapping[str, str],
    pasted: Photographs | None,
    bits: int,
) -> None:
    images = zip(batch.names, batch.image_BCHW, transforms, strict=True)
    for name, image_CHW, transform in images:
        path = folder / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_png(image_CHW, bits))
        (folder / (places[name] + TRANSFORM_SUFFIX)).write_text(transform.to_json() + "\n")
        if pasted is not None:
            place = folder / _pasted_place(places[name])
            place.parent.mkdir(parents=True, exist_ok=True)
            (picture,) = to_pictures(image_CHW[None])
            pasted.pasted(name, picture, transform).save(place)
    for name, delta in zip(batch.names, batch.deltas, strict=False):
        (folder / (places[name] + DELTA_SUFFIX)).write_bytes(delta)


def _write_codes(
    path: Path, names: list[str], tensors: Mapping[str, Tensor], space: Mapping[str, str]
) -> None:
    """`space`: the space of the points, if there are points."""
    if path.suffix == ".npz":
        np.savez(path, **codes_arrays(names, tensors, space))
    else:
        metadata = {"names": json.dumps(names), **space}
        safetensors.torch.save_file(dict(tensors), path, metadata=metadata)


def codes_arrays(
    names: Sequence[str], tensors: Mapping[str, Tensor], space: Mapping[str, str]
) -> dict[str, Any]:
    """The arrays of a file of codes in NumPy's format."""
    return {
        "names": np.array(names),
        **{name: tensor.numpy() for name, tensor in tensors.items()},
        **{name: np.array(text) for name, text in space.items()},
    }
