"""What is refused for lack of units, and what is set for GPUs."""

from collections.abc import Iterator
from contextlib import nullcontext
from types import MappingProxyType

import pytest
import torch

from ganinv.errors import ConfigError
from ganinv.precision import autocast, bf16_units, check_precision, use_kernels_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def processor(monkeypatch: pytest.MonkeyPatch, **units: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(units))


@pytest.mark.parametrize("units", ["avx512_bf16", "amx_bf16"])
def test_processors_with_units_compute_in_bf16(monkeypatch: pytest.MonkeyPatch, units: str) -> None:
    processor(monkeypatch, avx512_f=True, **{units: True})
    check_precision("bf16", CPU)
    assert bf16_units() == units


def test_processors_without_units_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, avx512_f=True, avx512_bf16=False)
    with pytest.raises(ConfigError, match=r"'bf16' on .*no units .*/proc/cpuinfo.*choose fp32"):
        check_precision("bf16", CPU)
    check_precision("fp32", CPU)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_old_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(ConfigError, match="GPU Old has no units for it; choose fp32"):
        check_precision(precision, GPU)  # type: ignore[arg-type]
    check_precision("fp32", GPU)


def settings() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.backends.cuda.matmul.allow_tf32,
        cudnn.allow_tf32,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.fixture
def restored() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = settings()
    yield
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before[:4]
    torch.use_deterministic_algorithms(before[4])
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]


@pytest.mark.usefixtures("restored")
def test_what_gpus_may_choose() -> None:
    """TensorFloat-32 is on in PyTorch's convolutions by default."""
    use_kernels_of("fp32", GPU)
    assert settings() == (False, False, True, False, False)
    use_kernels_of("tf32", GPU)
    assert settings() == (True, True, True, False, False)
    use_kernels_of("bf16", GPU, deterministic=True)
    assert settings() == (False, False, False, True, True)


def test_nothing_changes_on_processors() -> None:
    before = settings()
    use_kernels_of("tf32", CPU, deterministic=True)
    assert settings() == before


def test_only_bf16_casts() -> None:
    assert isinstance(autocast("fp32", CPU), nullcontext)
    assert isinstance(autocast("tf32", CPU), nullcontext)
    with autocast("bf16", CPU):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
