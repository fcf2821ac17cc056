"""Inverts images batch by batch: codes, reconstructions as PNG, and the PSNR of each image.

Shapes: N images in all, B of a batch, L latent elements.
"""

import collections
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from datasets.sources.photographs import Photographs
from ganinv.errors import StorageError
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_pictures, to_signed
from ganinv.saved.exports import without_shape
from launch.evaluation.results_folder import (
    CODES_STEM,
    PLACE_COLUMN,
    PSNR_NAME,
    RECONSTRUCTIONS,
    replaced_results,
)


class Inverted(NamedTuple):
    """An inverted batch."""

    names: list[str]
    code_BL: Tensor  # on the CPU, unscaled
    image_BCHW: Tensor  # reconstructions
    psnr_db: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The result of an inversion; `Photographs` lists the skipped images."""

    images: int
    mean_psnr_db: float


def invert(
    model: InvertibleGan, photographs: Photographs, target: Path, *, codes: str, screen: Console
) -> Summary:
    """Write the codes, reconstructions and PSNR of all photographs to the folder `target`.

    They replace the results of an earlier inversion as a whole, once all of them are written.
    Memory holds one batch of images and all codes so far (4 L bytes per image). `codes` is the
    suffix of the file of codes, `npz` or `safetensors`. Raises `DataError` as `Photographs.read`
    does, and `StorageError` if a file cannot be written.
    """
    try:
        with replaced_results(target) as folder:
            return _write(model, photographs, folder, codes=codes, screen=screen)
    except OSError as error:
        raise StorageError(
            f"invert.to = {target}: {error.strerror or error} ({error.filename}); make the "
            "folder writable, free space on its disk, or choose another folder"
        ) from error


def _write(
    model: InvertibleGan, photographs: Photographs, folder: Path, *, codes: str, screen: Console
) -> Summary:
    places = reconstruction_names(photographs.names)
    names: list[str] = []
    code_blocks: list[Tensor] = []
    total_db = 0.0
    path = folder / PSNR_NAME
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(["image", PLACE_COLUMN, "psnr_db"])
        for batch in _batches(model, photographs, screen):
            _write_pictures(batch, folder, places)
            for name, db in zip(batch.names, batch.psnr_db, strict=True):
                rows.writerow([name, places[name], f"{db:.4f}"])
            names += batch.names
            code_blocks.append(batch.code_BL)
            total_db += sum(batch.psnr_db)
    _write_codes(folder / f"{CODES_STEM}.{codes}", names, torch.cat(code_blocks), model)
    return Summary(images=len(names), mean_psnr_db=total_db / len(names))


def reconstruction_names(names: Sequence[str]) -> dict[str, str]:
    """The file of each image's reconstruction, relative to the target; all files differ.

    The suffix of the image's name is replaced by .png. If any two names differ only in their
    suffixes, .png is appended to all names instead.
    """
    plain = {name: name.rpartition(".")[0] + ".png" for name in names}
    if max(collections.Counter(plain.values()).values()) > 1:
        plain = {name: name + ".png" for name in names}
    return {name: f"{RECONSTRUCTIONS}/{place}" for name, place in plain.items()}


def _batches(model: InvertibleGan, photographs: Photographs, screen: Console) -> Iterator[Inverted]:
    read: Iterator[tuple[str, NDArray[np.uint8]]] = iter(
        track(
            photographs.read(),
            "images",
            total=len(photographs.names),
            console=screen,
            disable=not screen.is_terminal,
        )
    )
    while batch := list(islice(read, model.batch_size)):
        image_BHWC = np.stack([image for _, image in batch])
        real_BCHW = to_signed(torch.from_numpy(image_BHWC).permute(0, 3, 1, 2)).to(model.device)
        code_BL = model.encode(real_BCHW)
        image_BCHW = model.decode(code_BL)
        yield Inverted(
            names=[name for name, _ in batch],
            code_BL=code_BL.cpu(),
            image_BCHW=image_BCHW,
            psnr_db=psnr_db(real_BCHW, image_BCHW).tolist(),
        )


def _write_pictures(batch: Inverted, folder: Path, places: dict[str, str]) -> None:
    for name, picture in zip(batch.names, to_pictures(batch.image_BCHW), strict=True):
        path = folder / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)


def _write_codes(path: Path, names: list[str], code_NL: Tensor, model: InvertibleGan) -> None:
    latent = {without_shape(name): tensor.cpu() for name, tensor in model.codec.tensors.items()}
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {
            "names": np.array(names),
            "codes": code_NL.numpy(),
            **{name: tensor.numpy() for name, tensor in latent.items()},
        }
        np.savez(path, **arrays)
    else:
        safetensors.torch.save_file(
            {"codes": code_NL, **latent}, path, metadata={"names": json.dumps(names)}
        )
