"""Each section of pictures is what its caption says, equal to plain calls of the model."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganinv.draws import standard_normal
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_signed
from launch.pages.pictures import HeldOutPictures, Pictures
from launch.pages.sections import Images, Section
from tests.support.codecs import codec_of, codec_without_encoder

LATENT, SIDE = 6, 4


class Generator(nn.Module):
    """A fixed linear map from codes to images of 4 × 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.2 * torch.randn(LATENT, 3 * SIDE * SIDE))

    def forward(self, code_BL: Tensor) -> Tensor:
        return (code_BL @ self.weight).unflatten(1, (3, SIDE, SIDE))


class Discriminator(nn.Module):
    """Only the encoder of it: another fixed linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.3 * torch.randn(3 * SIDE * SIDE, LATENT))

    def forward(self, image_BCHW: Tensor) -> "Discriminator":
        self.latent_BL = image_BCHW.flatten(1) @ self.weight
        return self


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    torch.manual_seed(0)
    scale_L = torch.tensor([0.5, 1.4, 0.1, 1.2, 1.3, 0.2])
    model = InvertibleGan(codec=codec_of({"g": Generator(), "d": Discriminator()}, scale_L))
    images = torch.randint(0, 256, (5, 3, SIDE, SIDE), dtype=torch.uint8)
    return Pictures(
        model=model,
        variance_L=scale_L.square(),
        held_out=HeldOutPictures(images_BCHW=images),
        samples=3,
        pairs=4,
        rows=2,
    )


def gallery(section: Section) -> Images:
    assert section.gallery is not None
    return section.gallery.images


def pixels(image_BCHW: Tensor) -> Images:
    return to_bytes(image_BCHW).permute(0, 2, 3, 1).numpy()


def test_pairs_are_images_and_their_reconstructions(pictures: Pictures) -> None:
    model, held_out = pictures.model, pictures.held_out.images_BCHW[:4]
    real = gallery(pictures.held_out_pairs())
    np.testing.assert_array_equal(real[:, 0], held_out.permute(0, 2, 3, 1))
    np.testing.assert_array_equal(real[:, 1], pixels(model.reconstruct(to_signed(held_out))))
    generated = pictures.generated_pairs()
    assert generated.gallery is not None
    assert len(generated.gallery.images) == 4
    image, other = (generated.gallery.images[:, i].astype("f8") / 127.5 for i in (0, 1))
    psnr_db = 10 * np.log10(4 / ((image - other) ** 2).mean((1, 2, 3)))
    words = [float(note.removesuffix(" dB")) for note in generated.gallery.notes]
    np.testing.assert_allclose(words, psnr_db, atol=0.1)  # of rounded images, with one decimal


def test_generated_images_of_pairs_are_no_samples(pictures: Pictures) -> None:
    samples = gallery(pictures.sampled()).reshape(3, -1)
    images = gallery(pictures.generated_pairs())[:, 0].reshape(4, -1)
    assert len(np.unique(np.concatenate([samples, images]), axis=0)) == 7


def test_interpolations_begin_and_end_with_images_and_reconstructions(pictures: Pictures) -> None:
    (grid,) = pictures.interpolations().grids
    real = pictures.held_out.images_BCHW[:4]
    reconstructed = pixels(pictures.model.reconstruct(to_signed(real)))
    np.testing.assert_array_equal(grid.images[:, 0], real[0::2].permute(0, 2, 3, 1))
    np.testing.assert_array_equal(grid.images[:, -1], real[1::2].permute(0, 2, 3, 1))
    np.testing.assert_array_equal(grid.images[:, 1], reconstructed[0::2])
    np.testing.assert_array_equal(grid.images[:, -2], reconstructed[1::2])
    assert grid.originals == {0, grid.images.shape[1] - 1}


def test_traversals_are_of_the_largest_scales_from_minus_to_plus_two(pictures: Pictures) -> None:
    grids = pictures.traversals().grids
    assert [grid.name for grid in grids] == ["Element 1", "Element 4", "Element 3"]
    model = pictures.model
    code_RL = model.prior(range(20_000, 20_002), 0)
    for element, grid in zip((1, 4, 3), grids, strict=True):
        for column, value in ((0, -2.0), (4, 0.0), (-1, 2.0)):
            code = code_RL.clone()
            code[:, element] = value
            np.testing.assert_array_equal(grid.images[:, column], pixels(model.decode(code)))
        assert (grid.columns[0], grid.columns[4], grid.columns[-1]) == ("−2", "0", "+2")


def test_noise_has_variance_0_3_and_is_the_same_in_a_column(pictures: Pictures) -> None:
    (grid,) = pictures.noise().grids
    model, real = pictures.model, to_signed(pictures.held_out.images_BCHW[:2])
    np.testing.assert_array_equal(grid.images[:, 0], pixels(real))
    np.testing.assert_array_equal(grid.images[:, 1], pixels(model.reconstruct(real)))
    noise_KL = 0.3**0.5 * standard_normal(0, "report/noise", range(6), LATENT)
    for row, code in enumerate(model.encode(real)):
        np.testing.assert_array_equal(grid.images[row, 2:], pixels(model.decode(code + noise_KL)))


def test_without_held_out_images_their_sections_say_why(pictures: Pictures) -> None:
    none = HeldOutPictures(
        images_BCHW=torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8), missing="None!"
    )
    sections = [make() for make in dataclasses.replace(pictures, held_out=none).makers()]
    empty = [s for s in sections if s.gallery is None and not s.grids]
    assert [s.anchor for s in empty] == ["reconstructions", "interpolation", "noise"]
    assert {s.caption for s in empty} == {"None!"}


def test_without_an_encoder_there_are_samples_and_traversals(pictures: Pictures) -> None:
    generator = pictures.model.codec.networks["g"]
    model = InvertibleGan(codec=codec_without_encoder(generator, LATENT))
    plain = dataclasses.replace(pictures, model=model, variance_L=None)
    sections = [make() for make in plain.makers()]
    assert [section.anchor for section in sections] == ["samples", "traversal"]
    for grid in sections[1].grids:
        assert "scale s 1" in grid.remark
        assert "variance" not in grid.remark


def test_a_single_held_out_image_has_no_interpolation_but_noise(pictures: Pictures) -> None:
    one = HeldOutPictures(images_BCHW=pictures.held_out.images_BCHW[:1])
    few = dataclasses.replace(pictures, held_out=one)
    assert few.interpolations().grids == ()
    assert "takes two" in few.interpolations().caption
    assert len(few.noise().grids[0].images) == 1
