"""Batches on a device with little memory are computed in pieces."""

import logging
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganinv.codec import Codec
from ganinv.errors import ConfigError
from ganinv.fitting import Fitting
from ganinv.metrics.features import Features, pixel_features
from tests.support.evaluations import evaluator, model


class Device:
    """A function of batches on a device with memory for `room` samples."""

    def __init__(self, room: int) -> None:
        self.room, self.sizes = room, list[int]()

    def __call__(self, batch: Tensor) -> Tensor:
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return 2 * batch


def test_batches_are_halved_until_they_fit_and_stay_so(caplog: pytest.LogCaptureFixture) -> None:
    device, fitting = Device(room=5), Fitting(16)
    batch = torch.arange(20.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.equal(fitting.run(device, batch), 2 * batch)
    assert device.sizes == [16, 8, *[4] * 5, *[4] * 5]
    assert [record.message for record in caplog.records] == [
        "16 images do not fit the memory of cpu; from now on 8 at a time",
        "8 images do not fit the memory of cpu; from now on 4 at a time",
    ]


def test_what_fits_is_done_at_once() -> None:
    device = Device(room=16)
    Fitting(16).run(device, torch.zeros(16))
    assert device.sizes == [16]


def test_a_device_without_room_for_one_image_is_named() -> None:
    with pytest.raises(ConfigError, match=r"not even one image .*CUDA out of memory"):
        Fitting(4).run(Device(room=0), torch.zeros(3))


def test_other_errors_pass() -> None:
    def fail(batch: Tensor) -> Tensor:
        raise RuntimeError(f"{len(batch)} samples")

    with pytest.raises(RuntimeError, match="3 samples"):
        Fitting(4).run(fail, torch.zeros(3))


def test_figures_do_not_depend_on_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of networks of the model nor of feature networks, whichever is too large."""
    expected = evaluator(37, 40).figures(model(), [pixel_features()])
    gan = model()
    decode = type(gan.codec).decode
    room = Device(room=5)

    def little(codec: Codec, code_BL: Tensor) -> Tensor:
        room(code_BL)
        return decode(codec, code_BL)

    def extract(image_BCHW: Tensor) -> Tensor:
        Device(room=3)(image_BCHW)
        return pixel_features().extract(image_BCHW)

    monkeypatch.setattr(type(gan.codec), "decode", little)
    features: Features = replace(pixel_features(), extract=extract)
    found = evaluator(37, 40).figures(gan, [features])
    assert found == pytest.approx(expected, rel=1e-5)
    assert max(room.sizes) > 5
