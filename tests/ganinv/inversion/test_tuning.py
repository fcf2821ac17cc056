"""Pivotal tuning brings a model nearer to one image, and leaves no trace in the model."""

from pathlib import Path

import pytest
import torch

from ganinv.errors import ConfigError, StorageContentError
from ganinv.inversion.loss import own_feature_map
from ganinv.inversion.tuning import TuneConfig, Tuned, Tuning
from ganinv.model import InvertibleGan
from ganinv.saved.deltas import Delta, read_delta
from ganinv.saved.exports import exported_tensors
from ganinv.saved.identity import identity
from tests.support.codecs import codec_of
from tests.support.families import LATENT_SIZE, build, normal

CONFIG = TuneConfig(steps=15, learning_rate=3e-3)


def model_of(seed: int = 0) -> InvertibleGan:
    built = {n: net.requires_grad_(False).eval() for n, net in build("conv", seed=seed).items()}
    return InvertibleGan(codec=codec_of(built, torch.linspace(0.4, 1.5, LATENT_SIZE)))


def tuned(model: InvertibleGan) -> tuple[torch.Tensor, Tuned]:
    real = model.sample(1, seed=5)
    point = model.codec.spaces["u"].of_code(model.encode(real))
    tuning = Tuning(model, CONFIG, own_feature_map(model.codec), 0.1)
    return real, tuning(real, point, "u")


def test_the_image_comes_nearer_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = model_of()
    before = {name: tensor.clone() for name, tensor in exported_tensors(model).items()}
    real, found = tuned(model)
    assert float(found.loss_T.min()) < 0.9 * float(found.loss_T[0])
    path = tmp_path / "delta.safetensors"
    path.write_bytes(found.delta.to_bytes())
    delta = read_delta(path)
    assert torch.equal(delta.image(model), found.image_1CHW)
    applied = delta.applied(model)
    decoded = applied.codec.spaces["u"].decode(delta.point).clamp(-1, 1)
    error = float((decoded - real).square().mean())
    assert error == pytest.approx(float(found.error_T[found.loss_T.argmin()]), rel=0.02)
    changed = {n for n, t in exported_tensors(applied).items() if not torch.equal(t, before[n])}
    assert changed
    assert changed <= set(delta.changes) <= {n for n in before if n.startswith("g/")}
    after = exported_tensors(model)  # without the delta, all bytes are as before
    assert {n: t.numpy().tobytes() for n, t in after.items()} == {
        n: t.numpy().tobytes() for n, t in before.items()
    }
    assert not any(p.requires_grad for n in model.codec.networks.values() for p in n.parameters())
    weights = sum(t.numel() for n, t in before.items() if n.startswith("g/"))
    assert path.stat().st_size < 2 * weights + 20_000  # two bytes a weight


def test_each_tuning_starts_from_the_model_itself() -> None:
    model = model_of()
    tuning = Tuning(model, CONFIG)
    real = model.sample(2, seed=5)
    point = model.codec.spaces["z"].of_code(model.encode(real))
    first = tuning(real[:1], point[:1], "z")
    tuning(real[1:], point[1:], "z")
    again = tuning(real[:1], point[:1], "z")
    assert torch.equal(first.loss_T, again.loss_T)
    assert torch.equal(first.image_1CHW, again.image_1CHW)


def test_a_delta_is_refused_with_another_model_and_other_files_are_no_deltas(
    tmp_path: Path,
) -> None:
    model, other = model_of(), model_of(seed=1)
    assert identity(model) == identity(model_of())
    change = torch.zeros(1, dtype=torch.float16)
    delta = Delta(model=identity(model), space="z", point=normal(1, 6), changes={"g/x": change})
    with pytest.raises(ConfigError, match=r"belongs to the model .* load the run or export"):
        delta.applied(other)
    path = tmp_path / "delta.safetensors"
    payload = delta.to_bytes()
    for wrong in (b"", payload[:-1], payload.replace(b"ganinv-delta", b"ganinv-other")):
        path.write_bytes(wrong)
        with pytest.raises(StorageContentError, match="is no delta of ganinv"):
            read_delta(path)
    path.write_bytes(payload.replace(b'"format\\": 1', b'"format\\": 7'))
    with pytest.raises(StorageContentError, match="has format 7"):
        read_delta(path)


@pytest.mark.parametrize("wrong", ["steps", "learning_rate"])
def test_impossible_options_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=f"{wrong} = 0"):
        TuneConfig(**{wrong: 0})
