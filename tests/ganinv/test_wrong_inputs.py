"""Whatever is passed to the library: it works, or raises our exceptions with a reason.

The tables name every public function. Shapes: B samples, R rows, L latent elements.
"""

import inspect
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import ganinv
from ganinv import editing
from ganinv.errors import ConfigError, DataError, StorageError
from ganinv.model import InvertibleGan
from tests.support.codecs import codec_of, codec_without_encoder
from tests.support.commands import ROOT
from tests.support.families import LATENT_SIZE, build, families, normal

SIZE = 16
EXPORT = ROOT / "tests" / "fixtures" / "version_0.1" / "pvdgan-export.safetensors"
MODEL = InvertibleGan(codec=codec_of(build("conv"), torch.linspace(0.5, 1.4, LATENT_SIZE)))
CODES = normal(3, LATENT_SIZE)
IMAGES = normal(2, 3, SIZE, SIZE).clamp(-1, 1)
NAN = float("nan")


def picture(width: int = SIZE, height: int = SIZE) -> Image.Image:
    return Image.effect_noise((width, height), 64).convert("RGB")


def truncated() -> Image.Image:
    file = io.BytesIO()
    picture(64, 64).save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:2000]))


def corrupt_avif() -> Image.Image:
    """Its pixels are broken, but not its header."""
    file = io.BytesIO()
    picture(64, 64).save(file, "AVIF")
    header, _, pixels = file.getvalue().partition(b"mdat")
    return Image.open(io.BytesIO(header + b"mdat" + bytes(len(pixels))))


def closed() -> Image.Image:
    found = picture()
    found.close()
    return found


# A public function, arguments that it cannot take, and its exception.
Case = tuple[Callable[..., Any], tuple[Any, ...], type[Exception], str]


def places_and_devices() -> Iterator[Case]:
    load = ganinv.load
    for place, message in ((None, "place = None"), (3, "place = 3"), ("a\0b", "null byte")):
        yield load, (place,), ConfigError, message
    yield partial(load, EXPORT, delta=3), (), ConfigError, "place = 3"
    yield partial(load, endpoint_url=3), ("s3://bucket/a",), ConfigError, "endpoint_url = 3"
    for wrong, message in (
        ("gpu", "device = 'gpu': PyTorch knows no such device; choose cpu"),
        ("CPU", "'CPU'"),
        ("", "''"),
        (-1, "-1"),
        (1.5, "1.5"),
        (False, "False"),
        (torch.float16, "float16"),
        ("cuda:99", "cuda:99"),
        ("hpu", "cannot be used here"),
        ("meta", "holds no numbers"),
    ):
        yield partial(load, EXPORT, device=wrong), (), ConfigError, message
        yield MODEL.to, (wrong,), ConfigError, message
    yield MODEL.to, (None,), ConfigError, "None"


def numbers_of_models() -> Iterator[Case]:
    for count in (2.0, "2", True, None, NAN, 0, -1, torch.tensor(2.5), 2**31):
        yield MODEL.sample, (count, 0), ConfigError, "count = .*: must be a whole number"
    for seed in (0.5, "a", None, True, -1, 2**63):
        yield MODEL.sample, (1, seed), ConfigError, "seed = .*: must be a whole number"
        yield MODEL.prior, (range(2), seed), ConfigError, "seed = .*: must be a whole number"
    for numbers in ([], 3, None, [0.5], ["a"], [-1], range(-1, 2), [2**70], [True]):
        yield MODEL.prior, (numbers, 0), ConfigError, "image_numbers"
    for size in (0, -1, 2.5, None, "a", True):
        yield partial(_with_batches_of, MODEL), (size,), ConfigError, "batch_size = "


def arrays_of_models() -> Iterator[Case]:
    for codes, message in (*wrong_floats(CODES), *wrong_codes()):
        yield MODEL.decode, (codes,), DataError, message
    for points, message in wrong_floats(CODES):
        yield partial(MODEL.decode_points, "z"), (points,), DataError, message
        yield MODEL.labels_of, (points,), DataError, message
        yield partial(MODEL.relabelled, label="a"), (points,), DataError, message
    yield MODEL.decode_points, ("y", CODES), ConfigError, "space = 'y': this model has z, u"
    for unconditional in (MODEL.labels_of, partial(MODEL.relabelled, label="a")):
        yield unconditional, (CODES,), ConfigError, "trained without labels"
    for images, message in (*wrong_floats(IMAGES), *wrong_images(), *wrong_pictures()):
        yield MODEL.encode, (images,), DataError, message
    for images, message in wrong_pictures():
        yield MODEL.reconstruct, (images,), DataError, message
        yield MODEL.to_tensor, (images,), DataError, message
    for images, message in (*wrong_floats(IMAGES), *values_out_of_range()):
        yield ganinv.to_pictures, (images,), DataError, message
    for shape in ((3, 8, 8), (1, 5, 8, 8), (1, 8, 8, 3), (1, 3, 0, 8)):
        yield ganinv.to_pictures, (torch.zeros(shape),), DataError, "pictures need"
    yield ganinv.to_pictures, ([picture()],), DataError, "images"


def edits() -> Iterator[Case]:
    for codes, message in (*wrong_floats(CODES), (CODES[0], r"code\[None\]"), (CODES[:0], "shape")):
        yield editing.interpolated, (codes, CODES, 3), DataError, message
        yield editing.interpolated, (CODES, codes, 3), DataError, message
        yield editing.traversed, (codes, 1, [0.0]), DataError, message
        yield editing.with_noise, (codes, CODES), DataError, message
        yield editing.with_noise, (CODES, codes), DataError, message
    yield editing.interpolated, (CODES, CODES[:2], 3), DataError, "must have 3 rows"
    yield editing.interpolated, (CODES, CODES[:, :2], 3), DataError, f"{LATENT_SIZE} elements"
    yield editing.with_noise, (CODES, CODES[:, :1]), DataError, f"{LATENT_SIZE} elements"
    for steps in (1, 0, -1, 2.5, None, "3"):
        yield editing.interpolated, (CODES, CODES, steps), ConfigError, "steps = "
    for element in (LATENT_SIZE, -LATENT_SIZE - 1, 1.5, None, True, "a"):
        yield editing.traversed, (CODES, element, [0.0]), ConfigError, "element = "
    for values, message in (
        (torch.zeros(()), "row of K"),
        (torch.zeros(2, 2), "row of K"),
        ([NAN], "finite"),
        ("ab", "str cannot"),
        (None, "NoneType cannot"),
    ):
        yield editing.traversed, (CODES, 1, values), DataError, message


def _with_batches_of(model: InvertibleGan, size: int) -> InvertibleGan:
    return replace(model, batch_size=size)


def wrong_floats(good: Tensor) -> Iterator[tuple[Any, str]]:
    """What no function takes for floats."""
    yield good.long(), "int64.*must be floats"
    yield good.to(torch.uint8).numpy(), "uint8.*must be floats"
    yield good > 0, "bool.*must be floats"
    yield good.to(torch.complex64), "complex64.*must be floats"
    yield good * NAN, "not finite"
    yield (good / 0).numpy(), "not finite"
    yield good.to_sparse(), "sparse_coo; pass a dense tensor"
    yield good.to("meta"), "meta tensors hold no numbers"
    yield good.numpy().astype(str), "not an array of numbers"
    yield good.numpy().astype(object), "not an array of numbers"
    yield [good[0], good[0][:1]], "equal shape"
    yield [good[0], None], "equal shape"
    for other in (None, 3, 2.5, {1}, {"a": good}, object()):
        yield other, f"{type(other).__name__} cannot be converted"


def wrong_codes() -> Iterator[tuple[Any, str]]:
    yield CODES[:, :-1], f"B × {LATENT_SIZE}"
    yield CODES[0], r"code\[None\]"
    yield CODES[:0], "shape"
    yield [], "shape"
    yield CODES[None], "shape"
    yield [[1.0], [1.0, 2.0]], "same length"
    yield "abc", "str cannot be converted"
    yield picture(), "Image cannot be converted"
    yield CODES.double() * 1e300, "codes as torch.float32.*not finite"


def values_out_of_range() -> Iterator[tuple[Tensor, str]]:
    yield IMAGES * 0 + 255, r"from 255 to 255.*x / 127\.5 - 1"
    yield IMAGES * 1.01, r"x\.clamp\(-1, 1\)"


def wrong_images() -> Iterator[tuple[Any, str]]:
    yield from values_out_of_range()
    for shape in ((1, 3, SIZE, 8), (1, 1, SIZE, SIZE), (3, SIZE, SIZE), (0, 3, SIZE, SIZE)):
        yield torch.zeros(shape), "this model takes B × 3 × 16 × 16"
    yield [], "nothing cannot be converted"
    yield (p for p in [picture()]), "generator cannot be converted"
    yield "a.png", "str cannot be converted"
    yield b"abc", "bytes cannot be converted"
    yield [Path("a.png")], "PosixPath cannot be converted"
    yield [[picture()]], "list cannot be converted"
    yield [picture(), IMAGES[0]], "Image, Tensor cannot be converted"


def wrong_pictures() -> Iterator[tuple[Any, str]]:
    for make, message in (
        (truncated, r"cannot be read \(OSError: image file is truncated\)"),
        (corrupt_avif, r"cannot be read \(RuntimeError: "),
        (closed, "cannot be read .*closed"),
        (lambda: Image.new("RGB", (0, 5)), "has 0 × 5 pixels"),
        (lambda: Image.new("F", (SIZE, SIZE)), ".*not 8 bits a channel"),
    ):
        yield make(), f"the image: {message}"
        yield [picture(), make(), picture()], rf"images\[1\]: {message}"


CASES = [*places_and_devices(), *numbers_of_models(), *arrays_of_models(), *edits()]


def name_of(function: Callable[..., Any]) -> str:
    found: str = getattr(function, "func", function).__name__
    return found


@pytest.mark.parametrize(
    ("function", "arguments", "kind", "message"),
    [pytest.param(*case, id=f"{name_of(case[0])}-{i}") for i, case in enumerate(CASES)],
)
def test_wrong_input_raises_our_exceptions_with_a_reason(
    function: Callable[..., Any], arguments: tuple[Any, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        function(*arguments)


def test_every_public_function_is_in_the_table() -> None:
    methods = {n for n, _ in inspect.getmembers(InvertibleGan, inspect.isfunction)}
    edits = {
        n
        for n, f in vars(editing).items()
        if getattr(f, "__module__", "") == "ganinv.editing.codes"
    }
    own = {n for n, f in vars(ganinv).items() if isinstance(f, FunctionType)}
    public = {name for name in methods | edits | own if not name.startswith("_")}
    assert public == {name_of(case[0]) for case in CASES} - {"_with_batches_of"}


@pytest.mark.parametrize(
    "written",
    [
        lambda codes: codes.numpy(),
        lambda codes: codes.numpy().astype(">f8"),
        lambda codes: codes.numpy().astype(np.longdouble),
        lambda codes: codes.numpy()[::-1].copy()[::-1],
        lambda codes: codes.tolist(),
        list,
        lambda codes: codes.double(),
        lambda codes: codes.clone().requires_grad_(),
    ],
)
def test_codes_and_images_may_be_arrays_and_lists(written: Callable[[Tensor], Any]) -> None:
    assert torch.equal(MODEL.decode(written(CODES)), MODEL.decode(CODES))
    added = editing.with_noise(written(CODES), CODES)[0].float()
    torch.testing.assert_close(added, CODES[0] + CODES)
    if not isinstance(written(IMAGES), list) or isinstance(written(IMAGES)[0], Tensor):
        assert torch.equal(MODEL.encode(written(IMAGES)), MODEL.encode(IMAGES))
    made = [bytes(p.tobytes()) for p in ganinv.to_pictures(written(IMAGES))]
    assert made == [bytes(p.tobytes()) for p in ganinv.to_pictures(IMAGES)]


def test_stored_codes_are_decoded(tmp_path: Path) -> None:
    """The way that docs/library.md shows, and with whole numbers in a list."""
    np.savez(tmp_path / "codes.npz", codes=CODES.numpy())
    with np.load(tmp_path / "codes.npz") as stored:
        assert torch.equal(MODEL.decode(stored["codes"]), MODEL.decode(CODES))
        with pytest.raises(DataError, match="NpzFile cannot be converted"):
            MODEL.decode(stored)
    zeros = MODEL.decode(torch.zeros(1, LATENT_SIZE))
    assert torch.equal(MODEL.decode([[0] * LATENT_SIZE]), zeros)
    values = editing.traversed(CODES, -1, [-2, 0, 2])[0, :, -1]
    assert values.tolist() == [-2, 0, 2]


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    expected = MODEL.sample(2, seed=1)
    assert torch.equal(MODEL.sample(np.int64(2), seed=torch.tensor(1)), expected)
    assert torch.equal(MODEL.decode(MODEL.prior(np.arange(2), seed=1)), expected)


def test_gradients_are_those_of_the_codec_and_of_edits() -> None:
    code_BL = CODES.clone().requires_grad_()
    assert not MODEL.decode(code_BL).requires_grad
    edited_BL = editing.interpolated(code_BL, code_BL, 3)[:, 1]
    MODEL.codec.decode(editing.with_noise(edited_BL, CODES)[:, 0]).sum().backward()
    assert code_BL.grad is not None
    assert code_BL.grad.abs().sum() > 0
    image_BCHW = IMAGES.clone().requires_grad_()
    assert not MODEL.encode(image_BCHW).requires_grad
    MODEL.codec.encode(image_BCHW).sum().backward()
    assert image_BCHW.grad is not None


@pytest.fixture(params=[torch.float64, torch.float16, "meta"])
def other_defaults(request: pytest.FixtureRequest) -> Iterator[None]:
    """A program that has changed torch's default type or device."""
    kind, device = torch.get_default_dtype(), torch.get_default_device()
    if isinstance(request.param, str):
        torch.set_default_device(request.param)
    else:
        torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(kind)
    torch.set_default_device(device)


EXPECTED = ganinv.load(EXPORT, device="cpu").sample(2, seed=0)


@pytest.mark.usefixtures("other_defaults")
@pytest.mark.parametrize("place", [EXPORT, EXPORT.with_name("pvdgan")])
def test_torchs_defaults_change_nothing(place: Path) -> None:
    before = torch.get_default_dtype()
    model = ganinv.load(place, device="cpu")
    assert torch.get_default_dtype() == before
    image_BCHW = model.sample(2, seed=0)
    assert model.dtype == image_BCHW.dtype == model.spread.dtype == torch.float32
    assert torch.equal(image_BCHW, EXPECTED)
    code_BL = model.encode(ganinv.to_pictures(image_BCHW))
    between = editing.interpolated(code_BL.tolist(), code_BL, 3)
    assert model.decode(editing.traversed(between[:, 1], 0, [1.0])[:, 0]).dtype == torch.float32


@pytest.mark.usefixtures("other_defaults")
@families
def test_no_family_uses_torchs_defaults_after_building(name: str) -> None:
    with torch.device("cpu"):
        networks = {n: network.float() for n, network in build(name).items()}
        model = InvertibleGan(codec=codec_without_encoder(networks["g"], LATENT_SIZE))
    assert model.sample(1, seed=0).dtype == torch.float32
    assert model.spread.dtype == torch.float32
    assert networks["d"](model.sample(1, seed=0)).latent_BL.dtype == torch.float32


def test_a_model_stays_usable_when_a_copy_goes_to_another_device() -> None:
    assert MODEL.codec.to("meta").device.type == "meta"
    assert MODEL.to("cpu").device.type == MODEL.device.type == "cpu"
    assert MODEL.decode(CODES).isfinite().all()


def test_relative_and_absolute_files_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXPORT.parent)
    for place in (EXPORT, EXPORT.name, f"file://{EXPORT}", bytes(EXPORT)):
        assert ganinv.load(place, device="cpu").latent_size == 6  # of the fixture
    with pytest.raises(StorageError, match=r"/: cannot read 'nothing\.safetensors'"):
        ganinv.load("/nothing.safetensors")
