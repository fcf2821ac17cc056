"""The strip of an inversion: one picture with the images and what each stage made of them."""

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

LEAST_PX = 64  # side of an image; smaller ones are enlarged by a whole factor
GAP_PX = 4
WHITE = 255


def strip(pictures: Sequence[Tensor]) -> Image.Image:
    """N columns of K images, each uint8 K × C × H × W: the image on top, the stages below."""
    image_KHNWC = torch.stack(list(pictures)).permute(1, 3, 0, 4, 2)
    zoom = math.ceil(LEAST_PX / image_KHNWC.shape[1])
    big = image_KHNWC.repeat_interleave(zoom, 1).repeat_interleave(zoom, 3)
    rows, height, count, width, channels = big.shape
    shape = (rows, height + GAP_PX, count, width + GAP_PX, channels)
    sheet = torch.full(shape, WHITE, dtype=torch.uint8)
    sheet[:, :height, :, :width] = big
    flat = sheet.reshape(rows * shape[1], count * shape[3], channels)[:-GAP_PX, :-GAP_PX]
    return Image.fromarray(flat.numpy().squeeze(2) if channels == 1 else flat.numpy())
