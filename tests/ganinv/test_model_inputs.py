"""What a model takes and refuses. Shapes: B samples, L latent elements, C × H × W image."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import ganinv
from ganinv.errors import ConfigError, DataError
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_signed
from tests.support.codecs import codec_of, codec_without_encoder
from tests.support.families import LATENT_SIZE, build, normal

SIZE = 16


@pytest.fixture(scope="module")
def model() -> InvertibleGan:
    scale_L = torch.linspace(0.5, 1.4, LATENT_SIZE)
    return InvertibleGan(codec=codec_of(build("conv"), scale_L), batch_size=2)


def random_pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    numbers = np.random.default_rng(0)
    return [
        Image.fromarray(numbers.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes
    ]


def test_definitions(model: InvertibleGan) -> None:
    """E(x) and G(z ∘ s), whatever the batches."""
    assert model.image_shape == (3, SIZE, SIZE)
    image_BCHW = normal(5, 3, SIZE, SIZE).clamp(-1, 1)
    networks = model.codec.networks
    code_BL = networks["d"](image_BCHW).latent_BL
    torch.testing.assert_close(model.encode(image_BCHW), code_BL)
    decoded = networks["g"](code_BL * model.codec.tensors["scale_L"]).clamp(-1, 1)
    torch.testing.assert_close(model.decode(code_BL), decoded)
    torch.testing.assert_close(model.reconstruct(image_BCHW), decoded)


def test_samples_are_a_function_of_seed_and_number(model: InvertibleGan) -> None:
    many = model.sample(5, seed=3)
    torch.testing.assert_close(model.sample(2, seed=3), many[:2])
    assert not torch.equal(model.sample(5, seed=4), many)


def test_pictures_and_tensors_of_them_have_the_same_codes(model: InvertibleGan) -> None:
    pictures = random_pictures(*[(SIZE, SIZE)] * 3)
    bytes_BHWC = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    image_BCHW = to_signed(bytes_BHWC.permute(0, 3, 1, 2))
    expected = model.encode(image_BCHW)
    assert torch.equal(model.encode(pictures), expected)
    assert torch.equal(model.encode(tuple(pictures)), expected)
    torch.testing.assert_close(model.encode(pictures[0]), expected[:1])
    back = ganinv.to_pictures(image_BCHW)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(back, pictures, strict=True))


def test_pictures_are_cropped_to_their_central_square(model: InvertibleGan) -> None:
    (wide,) = random_pictures((3 * SIZE, SIZE))
    middle = wide.crop((SIZE, 0, 2 * SIZE, SIZE))
    assert torch.equal(model.encode(wide), model.encode(middle))
    (large,) = random_pictures((4 * SIZE, 2 * SIZE))
    assert model.reconstruct([large, middle]).shape == (2, 3, SIZE, SIZE)


def test_grey_images_become_grey_pictures() -> None:
    image_BCHW = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    (picture,) = ganinv.to_pictures(image_BCHW)
    assert picture.mode == "L"
    assert np.array_equal(np.asarray(picture), to_bytes(image_BCHW)[0, 0].numpy())
    with pytest.raises(DataError, match="pictures need"):
        ganinv.to_pictures(torch.zeros(1, 5, 8, 8))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, SIZE, 2 * SIZE), r"shape \(1, 3, 16, 32\): .*B × 3 × 16 × 16"),
        (torch.zeros(1, 1, SIZE, SIZE), "shape"),
        (torch.zeros(3, SIZE, SIZE), "shape"),
        (torch.zeros(0, 3, SIZE, SIZE), "shape"),
        (torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8), "x / 127.5 - 1"),
        (np.zeros((1, 3, SIZE, SIZE), np.uint16), r"16 bits by x / 32767.5 - 1"),
        (torch.full((1, 3, SIZE, SIZE), 65535.0), r"65,535 by x / 32767.5 - 1"),
        (torch.full((1, 3, SIZE, SIZE), 1.1), "from 1.1 to 1.1"),
        (torch.full((1, 3, SIZE, SIZE), -255.0), "2 \\* x - 1"),
        (torch.full((1, 3, SIZE, SIZE), float("nan")), "finite"),
        ([], "nothing"),
        (["a.png"], "str cannot be converted"),
        (Image.new("I;16", (SIZE, SIZE)), "not 8 bits"),
    ],
)
def test_images_that_cannot_be_encoded(model: InvertibleGan, images: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.encode(images)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(2, LATENT_SIZE + 1), rf"B × {LATENT_SIZE}"),
        (torch.zeros(LATENT_SIZE), r"code\[None\]"),
        (torch.zeros(0, LATENT_SIZE), "shape"),
        (torch.zeros(2, LATENT_SIZE, dtype=torch.int64), "int64"),
        (torch.full((2, LATENT_SIZE), float("inf")), "finite"),
    ],
)
def test_codes_that_cannot_be_decoded(model: InvertibleGan, codes: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.decode(codes)


def test_pictures_need_pillow_and_tensors_do_not(
    model: InvertibleGan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture,) = random_pictures((SIZE, SIZE))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert model.reconstruct(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 3, SIZE, SIZE)
    with pytest.raises(ConfigError, match=r"pip install 'ganinv\[pictures\]'"):
        model.encode(picture)


def test_a_model_without_an_encoder_generates_and_says_why_it_does_not_encode() -> None:
    generator = build("conv")["g"]
    model = InvertibleGan(codec=codec_without_encoder(generator, LATENT_SIZE))
    assert not model.encodes
    code_BL = model.prior(range(3), seed=1)
    torch.testing.assert_close(model.sample(3, seed=1), generator(code_BL).clamp(-1, 1))
    assert torch.equal(model.spread, torch.ones(LATENT_SIZE))
    for call in (model.encode, model.reconstruct):
        with pytest.raises(ConfigError, match="this model's method has no encoder; train a"):
            call(normal(1, 3, SIZE, SIZE).clamp(-1, 1))


@pytest.mark.parametrize("bits", [8, 16])
def test_models_of_grey_images_take_and_give_grey_pictures(bits: int) -> None:
    codec = codec_of(build("conv", channels=1), torch.ones(LATENT_SIZE))
    grey = InvertibleGan(codec=codec, bits=bits)
    pixels_HW = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    picture = Image.fromarray(pixels_HW)
    assert torch.equal(grey.to_tensor(picture), to_signed(torch.from_numpy(pixels_HW))[None, None])
    assert ganinv.to_pictures(grey.to_tensor(picture))[0].tobytes() == picture.tobytes()


def test_models_of_more_than_four_channels_take_no_pictures() -> None:
    many = InvertibleGan(codec=codec_of(build("conv", channels=5), torch.ones(LATENT_SIZE)))
    with pytest.raises(ConfigError, match="5 channels"):
        many.encode(random_pictures((SIZE, SIZE)))
