"""Nothing in a training step on a GPU waits for the GPU.

Without one, the step runs on the meta device, whose tensors have no values: reading one of them
raises an error, and every copy to that device is seen. With one, PyTorch itself raises an error
where the host waits.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ganinv.optimizers import adam
from ganinv.precision import use_kernels_of
from ganinv.seams.batches import Batch
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.drawn import Drawn, drawing
from ganinv.training.session import Session, new_session, train_batch
from ganinv.training.verdict import Verdict
from tests.support.families import build, families
from tests.support.micro_batches import label, variants_that_take_flags
from tests.support.runs import RandomImages, build_networks, make_objective

CONFIG = TrainConfig(images=64, global_batch=8, micro_batch=4)
WHOLE = TrainConfig(images=64, global_batch=8)  # augmentation takes long on the meta device
GPU, META = torch.device("cuda"), torch.device("meta")
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Copies(TorchDispatchMode):
    """Refuses copies between host and device for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in COPIES:
            source = args[1] if func is torch.ops.aten.copy_.default else args[0]
            if source.device.type != result.device.type:
                self.seen += 1
                waits = not (kwargs.get("non_blocking") or args[2:3] == (True,))
                assert not waits, f"the host waits for a copy of {tuple(source.shape)}"
        return result


def session_on(
    device: torch.device, variant: dict[str, Any], networks: Any, config: TrainConfig = CONFIG
) -> Session:
    micro_batches = lay_out_batch(config, 1).micro_batches
    session = new_session(
        make_objective(**variant),
        networks,
        lambda network, optimizer: LocalEngine(network, optimizer, micro_batches),
        config=config,
        device=device,
    )
    assert session.on_device is (device == GPU)
    return session


def share(session: Session) -> tuple[Batch, Drawn]:
    batch = next(RandomImages(CONFIG.global_batch).batches(session.position))
    draw = drawing(session.objective.noise, CONFIG, torch.device("cpu"))
    return batch, draw(session.images_seen, batch.slots)


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Verdicts stay on the device; the names of each round. Fused kernels serve there, too."""
    rounds: list[Sequence[str]] = []
    monkeypatch.setattr(Verdict, "add_round", lambda _self, names, _counts: rounds.append(names))
    monkeypatch.setattr(adam, "FUSED_DEVICES", ("meta",))
    module = sys.modules[torch.optim.Adam.__module__]
    monkeypatch.setattr(module, "_device_dtype_check_for_fused", lambda *_: None)
    return rounds


def check_one_step(variant: dict[str, Any], built: dict[str, nn.Module]) -> int:
    """Returns the number of rounds."""
    config = WHOLE if "augment" in variant else CONFIG
    session = session_on(META, variant, built, config)
    session.on_device = True
    session.state = {name: value.to(META) for name, value in session.state.items()}
    batch, drawn = share(session)
    with Copies() as copies:
        train_batch(session, batch, config, lay_out_batch(config, 1), no_reduction, drawn)
    # To the device: images, slots, coins, labels and noise.
    labelled = bool(session.objective.condition)
    assert copies.seen == 3 + labelled + len(session.objective.noise)
    assert all(value.device == META for value in session.state.values())
    return len(session.objective.rounds)


@pytest.mark.parametrize("variant", variants_that_take_flags(), ids=label)
def test_the_host_waits_in_no_step_of_any_method(
    variant: dict[str, Any], verdicts: list[Sequence[str]]
) -> None:
    built = build_networks(objective=make_objective(**variant))
    assert check_one_step(variant, built) == len(verdicts)


@families
def test_the_host_waits_in_no_step_of_any_family(name: str, verdicts: list[Sequence[str]]) -> None:
    check_one_step({"name": "pvdgan"}, build(name))
    assert len(verdicts) == 1


def test_a_wait_is_seen() -> None:
    with Copies(), pytest.raises(AssertionError, match="the host waits"):
        torch.ones(3).to(META)
    with pytest.raises(RuntimeError, match="meta tensors"):
        bool(torch.ones((), device=META) > 0)


@pytest.fixture
def waiting_is_an_error() -> Iterator[Callable[[], None]]:
    use_kernels_of("fp32", GPU)
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine")
@pytest.mark.parametrize("variant", variants_that_take_flags(), ids=label)
def test_pytorch_sees_no_wait_in_a_step(
    variant: dict[str, Any], waiting_is_an_error: Callable[[], None]
) -> None:
    built = build_networks(objective=make_objective(**variant))
    session = session_on(GPU, variant, built)
    draw = drawing(session.objective.noise, CONFIG, GPU)
    for number, batch in enumerate(RandomImages(CONFIG.global_batch).batches(session.position)):
        drawn = draw(session.images_seen, batch.slots)
        images_BCHW = batch.images_BCHW.pin_memory()
        pinned = Batch(
            images_BCHW=images_BCHW, slots=batch.slots, keys=batch.keys, after=batch.after
        )
        if number == 2:  # after kernels were chosen and moments made
            waiting_is_an_error()
        train_batch(session, pinned, CONFIG, lay_out_batch(CONFIG, 1), no_reduction, drawn)
        if number == 6:
            break
    torch.cuda.set_sync_debug_mode("default")
    assert all(step.applied for step in session.settle())
