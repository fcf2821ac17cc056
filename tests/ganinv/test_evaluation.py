"""Figures of inversion: known values, and the same over any number of workers."""

import math

import pytest
import torch
from torch import Tensor

from ganinv.evaluation import Share, inversion_figures, psnr_db
from ganinv.model import InvertibleGan, to_bytes, to_signed
from ganinv.seams import no_reduction
from tests.support.runs import NETWORK, RandomImages, build_networks

SEED = 5


@pytest.fixture(scope="module")
def model() -> InvertibleGan:
    generator, discriminator = build_networks()
    scale_L = torch.linspace(0.5, 1.5, NETWORK.latent_size)
    return InvertibleGan(
        generator=generator, discriminator=discriminator, scale_L=scale_L, batch_size=3
    )


def images(count: int) -> Tensor:
    source = RandomImages(global_batch=1)
    return torch.stack([source.image(number) for number in range(8)])[:count]


def figures_of_shares(
    model: InvertibleGan, held_out: int, generated: int, world: int
) -> list[dict[str, float]]:
    """Every rank's figures; first each rank's own sums are taken down, then all get their total."""
    real_BCHW = images(held_out)
    sums: list[Tensor] = []

    def take_down(total: Tensor) -> Tensor:
        sums.append(total.clone())
        return total

    def figures(rank: int, *, joined: bool) -> dict[str, float]:
        share = Share(rank=rank, world=world)
        return inversion_figures(
            model,
            real_BCHW[list(share.of(held_out))],
            generated=generated,
            seed=SEED,
            share=share,
            reduce=(lambda _: torch.stack(sums).sum(0)) if joined else take_down,
        )

    for rank in range(world):
        figures(rank, joined=False)
    return [figures(rank, joined=True) for rank in range(world)]


@pytest.mark.parametrize(("difference", "decibel"), [(2.0, 0.0), (0.2, 20.0), (0.002, 60.0)])
def test_psnr_of_a_constant_difference(difference: float, decibel: float) -> None:
    """The range of [−1, 1] is 2, so PSNR = 20 log10(2 / difference)."""
    image_BCHW = to_signed(images(2)).double()
    found_B = psnr_db(image_BCHW, image_BCHW + difference)
    torch.testing.assert_close(found_B, torch.full((2,), decibel).double(), rtol=1e-9, atol=1e-9)


def test_psnr_is_symmetric_per_image_and_infinite_for_equal_images() -> None:
    image_BCHW = to_signed(images(3))
    other_BCHW = to_signed(images(4))[1:]
    other_BCHW[0] = image_BCHW[0]
    found_B = psnr_db(image_BCHW, other_BCHW)
    assert torch.equal(found_B, psnr_db(other_BCHW, image_BCHW))
    assert found_B.isinf().tolist() == [True, False, False]
    mean_square = float((image_BCHW[1].double() - other_BCHW[1].double()).square().mean())
    assert float(found_B[1]) == pytest.approx(20 * math.log10(2) - 10 * math.log10(mean_square))


@pytest.mark.parametrize(("held_out", "generated"), [(7, 8), (2, 1)])
@pytest.mark.parametrize("world", [2, 3])
def test_figures_do_not_depend_on_the_number_of_workers(
    model: InvertibleGan, held_out: int, generated: int, world: int
) -> None:
    """Also where a worker has no image at all."""
    (expected,) = figures_of_shares(model, held_out, generated, world=1)
    assert expected.keys() == {"eval/psnr_db_test", "eval/psnr_db_generated", "eval/enc"}
    for figures in figures_of_shares(model, held_out, generated, world):
        assert figures == pytest.approx(expected, rel=1e-6)


def test_figures_are_those_of_the_paper_written_out(model: InvertibleGan) -> None:
    (figures,) = figures_of_shares(model, 5, 6, world=1)
    with torch.no_grad():
        real_BCHW = to_signed(images(5))
        code_BL = model.discriminator(real_BCHW).latent_BL
        recovered_BCHW = model.generator(code_BL * model.scale_L).clamp(-1, 1)
        z_BL = model.prior(range(6), SEED)
        generated_BCHW = model.generator(z_BL * model.scale_L).clamp(-1, 1)
        z_recovered_BL = model.discriminator(generated_BCHW).latent_BL
    error = ((z_BL - z_recovered_BL) * model.scale_L).square().mean()
    assert figures["eval/enc"] == pytest.approx(float(error), rel=1e-5)
    psnr = float(psnr_db(real_BCHW, recovered_BCHW).mean())
    assert figures["eval/psnr_db_test"] == pytest.approx(psnr, rel=1e-5)


def test_a_part_without_images_has_no_figure(model: InvertibleGan) -> None:
    (figures,) = figures_of_shares(model, 0, 2, world=1)
    assert figures.keys() == {"eval/psnr_db_generated", "eval/enc"}
    figures = inversion_figures(
        model, images(2), generated=0, seed=SEED, share=Share(), reduce=no_reduction
    )
    assert figures.keys() == {"eval/psnr_db_test"}


def test_shares_take_every_image_once() -> None:
    taken = [number for rank in range(3) for number in Share(rank=rank, world=3).of(8)]
    assert sorted(taken) == list(range(8))


def test_bytes_to_signed_and_back_is_exact() -> None:
    every_byte = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(to_signed(every_byte)), every_byte)
    assert to_signed(every_byte)[[0, 255]].tolist() == [-1.0, 1.0]
    assert to_bytes(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]
