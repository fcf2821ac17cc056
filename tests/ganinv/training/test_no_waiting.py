"""Nothing in a training step on a GPU waits for the GPU.

Without one, the step runs on tensors that have a GPU as their device, but no values: reading one of
them raises an error, and every copy between host and device is seen. With one, PyTorch itself
raises an error where the host waits.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from ganinv.precision import use_kernels_of
from ganinv.seams.batches import Batch
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.drawn import Drawn, drawing
from ganinv.training.session import Session, new_session, train_batch
from tests.support.families import LATENT_SIZE, build, families
from tests.support.micro_batches import label, objective_variants
from tests.support.runs import RandomImages, make_objective

CONFIG = TrainConfig(images=64, global_batch=8, micro_batch=4)
GPU = torch.device("cuda")
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


class NoEvent:
    """In place of `torch.cuda.Event`, which needs a GPU."""

    def record(self, stream: Any) -> None:
        del stream

    def synchronize(self) -> None:
        raise AssertionError("waited for a step")


def session_on(device: torch.device, variant: dict[str, Any], networks: Any) -> Session:
    session = new_session(
        make_objective(latent_size=LATENT_SIZE, **variant),
        networks,
        lambda network, optimizer: LocalEngine(network, optimizer, 2),
        config=CONFIG,
        device=device,
    )
    assert session.on_device
    return session


def share(session: Session) -> tuple[Batch, Drawn]:
    batch = next(RandomImages(CONFIG.global_batch).batches(session.position))
    draw = drawing(session.objective.noise, CONFIG, torch.device("cpu"))
    return batch, draw(session.images_seen, batch.slots)


@pytest.fixture
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", NoEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: None)


def check_one_step(variant: dict[str, Any], networks: Callable[[], dict[str, nn.Module]]) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        built = {name: network.to(GPU) for name, network in networks().items()}
        session = session_on(GPU, variant, built)
        batch, drawn = share(session)
        with Copies() as copies:
            layout = lay_out_batch(CONFIG, 1)
            train_batch(session, batch, CONFIG, layout, no_reduction, drawn)
        del fake
    assert all(value.device.type == "cuda" for value in session.state.values())
    # To the device: images, slots, coins and noise. From it: what was non-finite in each round.
    draws, rounds = len(session.objective.noise), len(session.objective.rounds)
    assert copies.seen == 3 + draws + rounds


@pytest.mark.usefixtures("no_events")
@pytest.mark.parametrize("variant", objective_variants(), ids=label)
def test_the_host_waits_in_no_step_of_any_method(variant: dict[str, Any]) -> None:
    check_one_step(variant, lambda: build("conv"))


@pytest.mark.usefixtures("no_events")
@families
def test_the_host_waits_in_no_step_of_any_family(name: str) -> None:
    check_one_step({"name": "pvdgan"}, lambda: build(name))


def test_a_wait_is_seen() -> None:
    with FakeTensorMode(), Copies(), pytest.raises(AssertionError, match="the host waits"):
        torch.ones(3).to(GPU)
    with FakeTensorMode(), pytest.raises(Exception, match="_local_scalar_dense"):
        bool(torch.ones((), device=GPU) > 0)


@pytest.fixture
def waiting_is_an_error() -> Iterator[Callable[[], None]]:
    use_kernels_of("fp32", GPU)
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine")
@pytest.mark.parametrize("variant", objective_variants(), ids=label)
def test_pytorch_sees_no_wait_in_a_step(
    variant: dict[str, Any], waiting_is_an_error: Callable[[], None]
) -> None:
    session = session_on(GPU, variant, build("conv"))
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
