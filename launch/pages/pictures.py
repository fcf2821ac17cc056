"""The pictures of a trained model: sections of the result page, as in the papers.

Generated images are always G(z ∘ s) and reconstructions G(E(x) ∘ s), with the averaged weights
(DLSGAN §3, §4.2). Shapes: B images, R rows of K columns, L latent elements, C × H × W pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.shards.index import Index
from ganinv.editing import interpolated, traversed, with_noise
from ganinv.errors import GanInvError
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_signed
from ganinv.sizes import size_of
from launch.evaluation.in_training import held_out_images
from launch.evaluation.trained import Trained, open_data
from launch.options.places import StorageConfig
from launch.pages.curves import number
from launch.pages.sections import Gallery, Grid, Images, Section, decibels, signed

SEED = 0
# Each section draws codes of its own: image numbers from here on, beyond those of the samples.
RECONSTRUCTED_FROM, TRAVERSED_FROM = 10_000, 20_000
INTERPOLATION_STEPS = 9
TRAVERSED = 3  # elements, the most important first (DLSGAN figs. 12–14)
TRAVERSAL_STEPS = 9
NOISES = 6
CLASSES, SAMPLES_OF_CLASS = 20, 10  # tables of samples of a conditional model, and their lengths
NOISE_VARIANCE = 0.3  # DLSGAN fig. 15
RANKS = ("Most important", "Second", "Third")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutPictures:
    """Images that were never trained on, or the reason why there are none."""

    images_BCHW: Tensor  # as in `Batch`; B = 0 if there are none
    missing: str = ""  # the reason, as a whole sentence


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Makes the sections from a model and held-out images. Each method takes seconds."""

    model: InvertibleGan
    variance_L: Tensor | None  # traced variance of each latent element, if the method has one
    held_out: HeldOutPictures
    samples: int
    pairs: int  # image and reconstruction, at most
    rows: int  # of interpolations, noise, and each traversal, at most

    def makers(self) -> tuple[Callable[[], Section], ...]:
        if not self.model.encodes:
            return (self.sampled, self.traversals)
        reconstructions = self.generated_pairs, self.held_out_pairs
        edits = self.interpolations, self.traversals, self.noise
        return (self.sampled, *reconstructions, *edits)

    def sampled(self) -> Section:
        if self.model.classes:
            return self._sampled_by_class()
        return Section(
            anchor="samples",
            title="Samples",
            caption="Generated from random codes: none of these is in the data, and nobody picked "
            "them. Look for variety, clean outlines, and no two similar images.",
            gallery=Gallery(
                images=_pixels(self.model.sample(self.samples, SEED)[:, None]),
                names=("Generated sample",),
            ),
        )

    def _sampled_by_class(self) -> Section:
        """One table a class; images below one another have the same code but for their label."""
        shown, numbers = self.model.classes[:CLASSES], range(SAMPLES_OF_CLASS)
        rest = len(self.model.classes) - len(shown)
        grids = tuple(
            Grid(
                images=_pixels(self.model.sample(len(numbers), SEED, label=name)[None]),
                columns=("",) * len(numbers),
                name=f"Class {name}",
                heading=name,
            )
            for name in shown
        )
        return Section(
            anchor="samples",
            title="Samples",
            caption="Generated from random codes, a row for each class of the label: none of these "
            "is in the data, and nobody picked them. Images of a column have the same code, so "
            "look for what it keeps from class to class, and for variety along the rows."
            + (f" Left out: {rest} more classes." if rest else ""),
            grids=grids,
        )

    def generated_pairs(self) -> Section:
        numbers = range(RECONSTRUCTED_FROM, RECONSTRUCTED_FROM + self.pairs)
        image = self.model.decode(self.model.prior(numbers, SEED))
        return Section(
            anchor="generated",
            title="Reconstructions of generated images",
            source="DLSGAN figs. 6 and 7",
            caption="Top: generated images, so each has a known code. Below: the image after the "
            "encoder estimated its code and the generator decoded the estimate, with the "
            "similarity in decibels (PSNR, higher is closer). The encoder causes all differences: "
            "the generator can draw the image.",
            gallery=self._pairs(image, "generated image"),
        )

    def held_out_pairs(self) -> Section:
        real = to_signed(self.held_out.images_BCHW[: self.pairs])
        return Section(
            anchor="reconstructions",
            title="Reconstructions of held-out images",
            source="DLSGAN figs. 10 and 11, PVDGAN fig. 4",
            caption=self.held_out.missing
            or "Top: images the model never trained on. Below: images decoded from their codes, "
            "with the similarity in decibels (PSNR, higher is closer). Look for what is kept, such "
            "as pose and colours, and for what is lost.",
            gallery=self._pairs(real, "held-out image") if len(real) else None,
        )

    def interpolations(self) -> Section:
        real = to_signed(self.held_out.images_BCHW[: 2 * self.rows])
        real = real[: len(real) - len(real) % 2]
        if not len(real):
            why = self.held_out.missing or "An interpolation takes two held-out images."
            return Section(anchor="interpolation", title="Interpolation", caption=why)
        steps = INTERPOLATION_STEPS - 1
        between = (f"{i}/{steps}" for i in range(1, steps))
        grid = Grid(
            images=_pixels(self._interpolated(real)),
            columns=("held out", "decoded", *between, "decoded", "held out"),
            name="Interpolation",
            originals=frozenset({0, INTERPOLATION_STEPS + 1}),
        )
        return Section(
            anchor="interpolation",
            title="Interpolation",
            caption="Framed at both ends: two images the model never trained on. Between them: its "
            "reconstructions of both, and images decoded from codes on the straight line from one "
            "to the other. Look for plausible images in between, not for a cross-fade.",
            grids=(grid,),
        )

    def traversals(self) -> Section:
        numbers = range(TRAVERSED_FROM, TRAVERSED_FROM + self.rows)
        code_RL = self.model.prior(numbers, SEED)
        values = torch.linspace(-2, 2, TRAVERSAL_STEPS)
        importance_L = self._importance()
        elements = importance_L.argsort(descending=True, stable=True)[:TRAVERSED].tolist()
        return Section(
            anchor="traversal",
            title="The most important latent elements",
            source="DLSGAN figs. 12–14",
            caption="Each row takes a random code and sets one of its elements from −2 to 2; all "
            "other elements stay. These elements have the largest scale s or, if all scales are "
            "equal, the largest variance v, if there is one; else they are the first. Images "
            "should change much along a row. If all rows of an element change in the same way, for "
            "example only in their background, the model has disentangled it.",
            grids=tuple(
                Grid(
                    images=_pixels(self._decode(traversed(code_RL, element, values))),
                    columns=tuple(signed(value) for value in values.tolist()),
                    name=f"Element {element}",
                    heading=f"{rank}: element {element}",
                    remark=self._remark(element),
                )
                for rank, element in zip(RANKS, elements, strict=False)
            ),
        )

    def _importance(self) -> Tensor:
        """Orders elements: the scale of DLSGAN grows with the variance, others have no scale."""
        spread_L = self.model.spread.double().cpu()
        if self.variance_L is None:
            return spread_L
        # Codes of conditional models end with a label, whose elements have no variance.
        return spread_L[: len(self.variance_L)] * self.variance_L.sqrt()

    def _remark(self, element: int) -> str:
        scale = f"scale s {number(float(self.model.spread[element]))}"
        if self.variance_L is None:
            return scale
        return f"{scale}, variance v {number(float(self.variance_L[element]))}"

    def noise(self) -> Section:
        real = to_signed(self.held_out.images_BCHW[: self.rows])
        title = "Noise on recovered codes"
        if not len(real):
            return Section(anchor="noise", title=title, caption=self.held_out.missing)
        grid = Grid(
            images=_pixels(self._noisy(real)),
            columns=("held out", "decoded", *(f"noise {i + 1}" for i in range(NOISES))),
            name="Noise on the code",
            originals=frozenset({0}),
        )
        return Section(
            anchor="noise",
            title=title,
            source="DLSGAN fig. 15",
            caption="Framed: images the model never trained on, then their reconstructions, then "
            f"what is decoded if normal noise of variance {NOISE_VARIANCE} is added to every "
            "element of their codes. A column has the same noise in all rows. Look for "
            "variations close to their original, and for columns with the same change.",
            grids=(grid,),
        )

    def _pairs(self, image_BCHW: Tensor, name: str) -> Gallery:
        image = image_BCHW.to(self.model.device)
        other = self.model.reconstruct(image)
        return Gallery(
            images=_pixels(torch.stack([image, other], dim=1)),
            names=(name.capitalize(), f"Reconstruction of {name}"),
            notes=tuple(decibels(value) for value in psnr_db(image, other).tolist()),
        )

    def _interpolated(self, real_BCHW: Tensor) -> Tensor:
        """Pairs of images, with decoded steps between the two: B/2 × K × C × H × W."""
        first, second = self.model.encode(real_BCHW).unflatten(0, (-1, 2)).unbind(1)
        between = self._decode(interpolated(first, second, INTERPOLATION_STEPS))
        left, right = real_BCHW.to(between.device).unflatten(0, (-1, 2)).split(1, dim=1)
        return torch.cat([left, between, right], dim=1)

    def _noisy(self, real_BCHW: Tensor) -> Tensor:
        """Images, their reconstructions, and images of noisy codes: B × K × C × H × W."""
        code_BL = self.model.encode(real_BCHW)
        noise_KL = self.model.codec.latent.draw(SEED, "report/noise", range(NOISES))
        noise_KL = math.sqrt(NOISE_VARIANCE) * noise_KL.to(code_BL)
        code_BKL = torch.cat([code_BL[:, None], with_noise(code_BL, noise_KL)], dim=1)
        decoded = self._decode(code_BKL)
        return torch.cat([real_BCHW.to(decoded.device)[:, None], decoded], dim=1)

    def _decode(self, code_RKL: Tensor) -> Tensor:
        images_BCHW = self.model.decode(code_RKL.flatten(0, 1))
        return torch.stack(images_BCHW.split(code_RKL.shape[1]))


def _pixels(image_RKCHW: Tensor) -> Images:
    return to_bytes(image_RKCHW).permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()


def held_out_of(
    trained: Trained, storage: StorageConfig, count: int, *, required: bool = False
) -> tuple[Index | None, HeldOutPictures]:
    """Up to `count` held-out images of the run's data set, or the reason why there are none.

    The index is None if it cannot be read. Unless the data set is `required`, nothing is raised for
    missing or other data: a page without these images is still of use.
    """
    width, height = size_of(trained.manifest.image_resolution)
    none = torch.zeros(0, trained.manifest.image_channels, height, width, dtype=torch.uint8)
    try:
        data, index = open_data(trained, storage.endpoint_url)
        available = min(count, index.samples("test"))
        if not available:
            reason = (
                f"No held-out images: {trained.config.data.url} has no split 'test'; "
                "`data index data.test_images=N` reserves some."
            )
            return index, HeldOutPictures(images_BCHW=none, missing=reason)
        held_out = held_out_images(data, index, available, trained.config.data)
        return index, HeldOutPictures(images_BCHW=held_out.read(range(available))[1])
    except GanInvError as error:
        if required:
            raise
        return None, HeldOutPictures(images_BCHW=none, missing=f"No held-out images: {error}.")
