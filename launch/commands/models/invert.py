"""`ganinv invert`: encodes the images of a folder, and decodes the codes."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from datasets.inputs.listing import EXTENSIONS
from datasets.sources.base import DEFAULT_MAX_PIXELS
from ganinv.alignment.aligning import check_alignment
from ganinv.errors import ConfigError
from ganinv.kinds.kind import RGB8
from ganinv.latents.labelled import label_columns
from ganinv.model import InvertibleGan
from launch.evaluation.inversion import invert
from launch.evaluation.photographs import list_photographs, photographs_of
from launch.evaluation.results_folder import (
    CODES_STEM,
    CURVES_NAME,
    FIGURES_NAME,
    PAGE_NAME,
    PASTED,
    PSNR_NAME,
    RECONSTRUCTIONS,
    STRIP_NAME,
    check_replaceable,
)
from launch.evaluation.trained import open_model
from launch.inversion import options as stages
from launch.inversion.stages import Stages
from launch.options.arguments import parse
from launch.options.places import RunOptions
from launch.options.sections import read_sections
from launch.progress import console
from launch.replacing import check_empty

NAMED_AT_MOST = 20  # unreadable files named one by one
EXAMPLES = f"""\
MODEL is a run or an export, IMAGES a folder or one image; or give them by their keys.

keys:
  storage.run=RUN            the run whose newest checkpoint inverts; or invert.model=EXPORT
  invert.images=FOLDER       images ({", ".join(EXTENSIONS)}) at any depth
  invert.to=FOLDER           receives {RECONSTRUCTIONS}/…png, {PSNR_NAME} and the codes
  invert.align=faces|crop|pad|stretch
                             how photographs come to the model's size; default: as its data did.
                             faces (the extra faces) finds the largest face and aligns it as FFHQ
  invert.label=CLASS         the known class of all images, of a conditional model; default: what
                             its classifier finds
  invert.paste=true          also write {PASTED}/…png: photographs with the reconstructions in them
  invert.codes=npz           or safetensors: {CODES_STEM}.npz with names, codes and latent scale
  invert.max_unreadable=0.01 ratio of images that may be unreadable; they are skipped
  invert.max_pixels=N        images of more pixels are skipped; default: {DEFAULT_MAX_PIXELS}
  invert.overwrite=true      write into a folder that is not empty; replaces all earlier results

The codes are E(x), not yet multiplied with the latent scale, as model.decode takes them. Images are
processed in batches; only the codes stay in memory until the end.

--refine and --optimise search the code of each image by Adam, and keep the best. They add
{PAGE_NAME} and {STRIP_NAME} to look at, {FIGURES_NAME} and {CURVES_NAME}. --refine starts from the
encoder: 200 steps, about 3 dB more. --optimise takes 1,000 steps from the encoder, the mean and
random codes: slow, for comparison. Any of their keys switches them on; refine=300 is
refine.steps=300.
  refine.steps=N               steps; or optimise.steps, and so on for all of these
  refine.space=z|u|y|y_layers  code; what enters the generator; style; one style for each layer
  refine.starts=[encoder,mean,random]  with refine.random_starts=4 and refine.seed=0
  refine.learning_rate=0.05    of Adam at the first step; falls to 0
  refine.features=own|none     features in the loss; or refine.feature_file=FILE (TorchScript)
  refine.lpips=FILE            or LPIPS on its weights; heads in another file: refine.lpips_heads
  refine.features_weight=0.1   weight of their relative squared error, beside that of pixels
  refine.prior_weight=0.005    weight of how improbable the code is
  refine.patience=100          steps without progress after which an image stops
--tune changes the generator for each image afterwards, and writes the changes beside its picture as
a delta; the model stays as it is. ganinv.load(MODEL, delta=FILE) applies one.
  tune.steps=350, tune.learning_rate=3e-4

examples:
  ganinv invert storage.run=runs/a invert.images=~/photos invert.to=inverted
  ganinv invert invert.model=faces.safetensors invert.images=photos invert.to=inverted
  ganinv invert runs/a photo.jpg invert.to=refined refine=200 --tune
  ganinv invert runs/a photos invert.to=optimised --optimise optimise.space=y
  ganinv invert runs/faces party.jpg invert.to=party invert.align=faces invert.paste=true
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class InvertConfig:
    """The images to invert, the model, and the folder of the results."""

    images: str  # folder
    to: str  # folder
    model: str | None = None  # an export, or a run, instead of storage.run
    codes: Literal["npz", "safetensors"] = "npz"
    max_unreadable: float = 0.01  # ratio, 0–1
    max_pixels: int = DEFAULT_MAX_PIXELS  # of one image; larger ones are skipped
    overwrite: bool = False  # write into a folder that is not empty
    align: str | None = None  # faces, crop, pad or stretch; None: as the model's data
    label: str | None = None  # the class of all images; None: what a conditional model finds
    paste: bool = False  # also write the photographs with the reconstructions in them

    def __post_init__(self) -> None:
        for key in ("images", "to"):
            if "://" in getattr(self, key):
                raise ConfigError(f"{key} = {getattr(self, key)!r}: must be a folder on this disk")
        if not 0 <= self.max_unreadable <= 1:
            raise ConfigError(f"max_unreadable = {self.max_unreadable}: must lie within 0–1")
        if self.max_pixels < 1:
            raise ConfigError(f"max_pixels = {self.max_pixels}: must be 1 or more")
        check_alignment(self.align)


SECTIONS: dict[str, type] = {"storage": RunOptions, "invert": InvertConfig, **stages.SECTIONS}
SWITCHES = stages.SWITCHES


def main(argv: list[str]) -> int:
    arguments = parse(
        argv,
        "invert",
        "Encode a folder of images and decode them; search and tune if asked.",
        EXAMPLES,
        "[MODEL IMAGES]",
        SWITCHES,
    )
    named = zip(("invert.model", "invert.images"), arguments.names, strict=False)
    given = [*(f"{key}={place}" for key, place in named), *arguments.options]
    words, asked = stages.spelled_out(given, arguments.switches)
    sections = read_sections(words, SECTIONS)
    options: InvertConfig = sections["invert"]
    screen = console(arguments.as_json)
    target = Path(options.to)
    folder, found = list_photographs(options.images, options.to, "invert", options.max_unreadable)
    check_empty(target, "invert", overwrite=options.overwrite)
    check_replaceable(target)
    model, _ = open_model(sections["storage"], options.model, "invert")
    if options.paste and model.kind != RGB8:
        raise ConfigError(
            f"invert.paste = true: only {RGB8} is pasted into photographs, and this model's images"
            f" are {model.kind}; leave it out"
        )
    if options.label is not None:
        label_columns(model.classes, options.label, 1)
        model = replace(model, label=options.label)
    photographs = photographs_of(
        model, folder, found, "invert",
        align=options.align, max_unreadable=options.max_unreadable, max_pixels=options.max_pixels,
    )  # fmt: skip
    improve = _stages(model, sections, asked)
    summary = invert(
        model,
        photographs,
        target,
        codes=options.codes,
        screen=screen,
        improve=improve,
        paste=options.paste,
    )
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
        stage_figures = {} if improve is None else {"stages": improve.record.plain()["stages"]}
        print(json.dumps(answer | more | stage_figures))
    return 0


def _stages(
    model: InvertibleGan, sections: Mapping[str, Any], asked: Collection[str]
) -> Stages | None:
    section = stages.search_in(asked)
    if section is None:
        return None
    return Stages(
        model,
        sections[section],
        sections["tune"] if "tune" in asked else None,
        section=section,
        origin=sections["invert"].model or sections["storage"].run,
    )
