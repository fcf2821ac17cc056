"""`ganinv invert`: encodes the images of a folder, and decodes the codes."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cluster.storage.opening import open_store
from datasets.inputs.listing import EXTENSIONS, Listing, list_images, refuse_no_images
from datasets.sources.base import DEFAULT_MAX_PIXELS
from datasets.sources.photographs import Photographs
from ganinv import load
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan, best_device
from ganinv.saved.loading import load_run
from ganinv.sizes import Size
from launch.evaluation.inversion import invert
from launch.evaluation.results_folder import (
    CODES_STEM,
    PSNR_NAME,
    RECONSTRUCTIONS,
    check_replaceable,
)
from launch.options.arguments import parse
from launch.options.sections import read_sections
from launch.progress import console

NAMED_AT_MOST = 20  # unreadable files named one by one
EXAMPLES = f"""\
keys:
  storage.run=RUN            the run whose newest checkpoint inverts; or invert.model=EXPORT
  invert.images=FOLDER       images ({", ".join(EXTENSIONS)}) at any depth; cropped and resized
  invert.to=FOLDER           receives {RECONSTRUCTIONS}/…png, {PSNR_NAME} and the codes
  invert.codes=npz           or safetensors: {CODES_STEM}.npz with names, codes and latent scale
  invert.max_unreadable=0.01 ratio of images that may be unreadable; they are skipped
  invert.max_pixels=N        images of more pixels are skipped; default: {DEFAULT_MAX_PIXELS}
  invert.overwrite=true      write into a folder that is not empty; replaces all earlier results

The codes are E(x), not yet multiplied with the latent scale, as model.decode takes them. Images are
processed in batches; only the codes stay in memory until the end.

examples:
  ganinv invert storage.run=runs/a invert.images=~/photos invert.to=inverted
  ganinv invert invert.model=faces.safetensors invert.images=photos invert.to=inverted
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The run whose model inverts, unless `invert.model` names an export."""

    run: str | None = None  # directory, file:// or s3://
    endpoint_url: str | None = None  # of an S3 server that is not AWS


@dataclass(frozen=True, kw_only=True, slots=True)
class InvertConfig:
    """The images to invert, the model, and the folder of the results."""

    images: str  # folder
    to: str  # folder
    model: str | None = None  # an export, instead of storage.run
    codes: Literal["npz", "safetensors"] = "npz"
    max_unreadable: float = 0.01  # ratio, 0–1
    max_pixels: int = DEFAULT_MAX_PIXELS  # of one image; larger ones are skipped
    overwrite: bool = False  # write into a folder that is not empty

    def __post_init__(self) -> None:
        for key in ("images", "to"):
            if "://" in getattr(self, key):
                raise ConfigError(f"{key} = {getattr(self, key)!r}: must be a folder on this disk")
        if not 0 <= self.max_unreadable <= 1:
            raise ConfigError(f"max_unreadable = {self.max_unreadable}: must lie within 0–1")
        if self.max_pixels < 1:
            raise ConfigError(f"max_pixels = {self.max_pixels}: must be 1 or more")


SECTIONS: dict[str, type] = {"storage": RunOptions, "invert": InvertConfig}


def main(argv: list[str]) -> int:
    arguments = parse(argv, "invert", "Encode a folder of images and decode them.", EXAMPLES)
    sections = read_sections(arguments.options, SECTIONS)
    options: InvertConfig = sections["invert"]
    screen = console(arguments.as_json)
    source, target = Path(options.images), Path(options.to)
    found = _check_folders(source, target, options)
    model = _load(sections["storage"], options)
    _, height, width = model.image_shape
    photographs = Photographs(
        folder=source,
        names=found.names,
        size=Size(width=width, height=height),
        max_unreadable=options.max_unreadable,
        max_pixels=options.max_pixels,
        options="invert",
        left_out=found.left_out,
    )
    summary = invert(model, photographs, target, codes=options.codes, screen=screen)
    for skipped in photographs.skipped[:NAMED_AT_MOST]:
        screen.print(f"skipped {skipped.path}: {skipped.reason}", markup=False, soft_wrap=True)
    if found.left_out:
        screen.print(f"Left out: {found.left_out.line()}", markup=False, soft_wrap=True)
    screen.print(
        f"{summary.images} images inverted, {len(photographs.skipped)} skipped; PSNR "
        f"{summary.mean_psnr_db:.2f} dB on average; all in {target}",
        markup=False,
        soft_wrap=True,
    )
    if arguments.as_json:
        # JSON has no infinite numbers, which equal images would give.
        mean_db = summary.mean_psnr_db if math.isfinite(summary.mean_psnr_db) else None
        answer = {"images": summary.images, "psnr_db": mean_db, "to": str(target)}
        skipped_images = [s._asdict() for s in photographs.skipped]
        more = {"skipped": skipped_images, "left_out": found.left_out.counts()}
        print(json.dumps(answer | more))
    return 0


def _check_folders(source: Path, target: Path, options: InvertConfig) -> Listing:
    """The images. Raises `ConfigError` for an unusable folder.

    Raises `DataError` if more is left out than `invert.max_unreadable`.
    """
    if not source.is_dir():
        raise ConfigError(f"invert.images = {source}: there is no such folder; name another one")
    if target.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"invert.to = {target}: lies in invert.images, so reconstructions would count as "
            "images; choose a folder outside of invert.images"
        )
    if target.exists() and (
        not target.is_dir() or (any(target.iterdir()) and not options.overwrite)
    ):
        raise ConfigError(
            f"invert.to = {target}: exists already and is not an empty folder; choose another one, "
            "or give invert.overwrite=true"
        )
    check_replaceable(target)
    found = list_images(source)
    if not found.names:
        raise refuse_no_images(f"invert.images = {source}", found.left_out)
    found.left_out.check(options.max_unreadable, "invert.max_unreadable")
    return found


def _load(storage: RunOptions, options: InvertConfig) -> InvertibleGan:
    if (storage.run is None) == (options.model is None):
        raise ConfigError("storage.run and invert.model: give one of them, a run or an export")
    if options.model is not None:
        return load(options.model, endpoint_url=storage.endpoint_url)
    assert storage.run is not None
    run = load_run(open_store(storage.run, endpoint_url=storage.endpoint_url))
    return run.model.to(best_device())
