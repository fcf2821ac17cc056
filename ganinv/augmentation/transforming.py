"""T(images, draws, p): all transformations of a batch of images, as a function of tensors alone.

Differentiable in the images. An image on which nothing acts stays the same to the bit.

Shapes: N images, C × H × W each, K numbers drawn for an image (`drawing`).
"""

import torch
from torch import Tensor

from ganinv.augmentation import colour, geometry
from ganinv.augmentation.drawing import COINS, VALUES
from ganinv.augmentation.options import AugmentConfig

CUTOUT = 0.5  # of width and height


class _Chosen:
    """Values of the images on which a transformation acts; elsewhere the neutral one."""

    def __init__(self, draws_NK: Tensor, p: Tensor) -> None:
        self.draws_NK, self.p = draws_NK, p

    def acts(self, transformation: str) -> Tensor:
        return self.draws_NK[:, COINS[transformation]] < self.p

    def value(self, name: str) -> Tensor:
        return self.draws_NK[:, VALUES[name]]

    def of(self, transformation: str, value_N: Tensor, neutral: float = 0.0) -> Tensor:
        return torch.where(self.acts(transformation), value_N, neutral)


def augmented(images_NCHW: Tensor, draws_NK: Tensor, p: Tensor, config: AugmentConfig) -> Tensor:
    """T(images). `p` is one number; images are in [−1, 1]."""
    draws_NK, p = draws_NK.to(images_NCHW), p.to(images_NCHW)
    if config.blit or config.geometry:
        images_NCHW = geometry.transformed(
            images_NCHW, geometry_of(draws_NK, p, config, images_NCHW)
        )
    if config.colour:
        images_NCHW = colour.transformed(images_NCHW, colour_of(draws_NK, p * config.colour))
    if config.cutout:
        images_NCHW = _cut_out(images_NCHW, _Chosen(draws_NK, p * config.cutout))
    return images_NCHW


def geometry_of(
    draws_NK: Tensor, p: Tensor, config: AugmentConfig, images_NCHW: Tensor
) -> geometry.Geometry:
    height, width = images_NCHW.shape[2:]
    blit, general = _Chosen(draws_NK, p * config.blit), _Chosen(draws_NK, p * config.geometry)
    # Two rotations; one of them or both act with probability p.
    rotation = _Chosen(draws_NK, 1 - (1 - p * config.geometry).sqrt())
    value = blit.value
    return geometry.Geometry(
        flip=blit.of("flip", (2 * value("flip")).floor()),
        quarter=blit.of("quarter", (4 * value("quarter")).floor()),
        shift_x=blit.of("shift", geometry.whole_pixels(value("shift_x"), width)),
        shift_y=blit.of("shift", geometry.whole_pixels(value("shift_y"), height)),
        scale=general.of("scale", (geometry.SCALE * value("scale")).exp2(), 1.0),
        turn=rotation.of("turn", geometry.angle(value("turn"))),
        stretch=general.of("stretch", (geometry.SCALE * value("stretch")).exp2(), 1.0),
        turn_again=rotation.of("turn_again", geometry.angle(value("turn_again"))),
        move_x=general.of("move", geometry.MOVE * width * value("move_x")),
        move_y=general.of("move", geometry.MOVE * height * value("move_y")),
    )


def colour_of(draws_NK: Tensor, p: Tensor) -> colour.Colour:
    chosen = _Chosen(draws_NK, p)
    value = chosen.value
    return colour.Colour(
        brightness=chosen.of("brightness", colour.BRIGHTNESS * value("brightness")),
        contrast=chosen.of("contrast", (colour.CONTRAST * value("contrast")).exp2(), 1.0),
        luma=chosen.of("luma", (2 * value("luma")).floor()),
        hue=chosen.of("hue", geometry.angle(value("hue"))),
        saturation=chosen.of("saturation", (colour.SATURATION * value("saturation")).exp2(), 1.0),
    )


def _cut_out(images_NCHW: Tensor, chosen: _Chosen) -> Tensor:
    """A rectangle about a point of the image becomes 0, which is grey."""
    inside = [
        (_centres(side, images_NCHW) - chosen.value(name)[:, None]).abs() < CUTOUT / 2
        for side, name in zip(images_NCHW.shape[2:], ("cutout_y", "cutout_x"), strict=True)
    ]
    cut_NHW = inside[0][:, :, None] & inside[1][:, None] & chosen.acts("cutout")[:, None, None]
    return torch.where(cut_NHW[:, None], 0.0, images_NCHW)


def _centres(side: int, like: Tensor) -> Tensor:
    """Of pixels, from 0 to 1."""
    return (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5) / side
