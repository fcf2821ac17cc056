"""Rounds that run as compiled functions or as CUDA graphs: the same algorithm, sooner started.

    train.compile      `torch.compile` of a round with all its gradients: operations that autograd
                       would start one by one are traced once, and fused where they touch the same
                       memory
    train.cuda_graphs  the kernels of a round are recorded once and started together; for small
                       batches, starting them takes longer than they do

Both take a round as a function of tensors (`round_functions`), so both cover R1, whose inner
gradients `torch.compile` cannot follow by itself. A step that differs in more than its tensors, as
lazy R1 or a step of a schedule makes it, is another function, made when it first occurs. That can
take minutes, in which `making` is open.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.objectives.base import MicroBatch, Nets, Objective, Round, RoundOutput, State
from ganinv.training.compiling import compiled
from ganinv.training.config import TrainConfig
from ganinv.training.cuda_graphs import Captures
from ganinv.training.round_functions import (
    Function,
    RoundFunction,
    arguments,
    as_output,
    buffers,
    check_buffers,
    whole,
)

log = logging.getLogger(__name__)

KINDS = 4  # functions of a round that are kept, and kinds of steps among `WINDOW` steps in a row
WINDOW = 64
# From a function of tensors and example arguments to one that is equal up to rounding.
Make = Callable[[Function, list[Tensor]], Function]
Making = Callable[[], AbstractContextManager[object]]


def accelerated_rounds(
    objective: Objective,
    config: TrainConfig,
    *,
    making: Making = nullcontext,
    backend: str = "inductor",
) -> tuple[Round, ...] | None:
    """The rounds of `objective` as `config` asks for them; None if they run as they are.

    `making` is entered while a function is compiled or captured. `backend`: of `torch.compile`.
    Raises `ConfigError` as `check_kinds` does.
    """
    makes: list[Make] = []
    if config.compile:
        makes.append(lambda function, given: compiled(function, given, backend))
    if config.cuda_graphs:
        makes.append(Captures())
    if not makes:
        return None
    check_kinds(objective, config)
    return tuple(AcceleratedRound(objective, round_, makes, making) for round_ in objective.rounds)


def check_kinds(objective: Objective, config: TrainConfig) -> None:
    """Raises `ConfigError` if too many steps would each need a function of their own."""
    option = "compile" if config.compile else "cuda_graphs"
    batch, steps = config.global_batch, max(1, config.images // config.global_batch)
    for start in {steps * part // 8 for part in range(8)}:
        window = range(start, start + WINDOW)
        kinds = {objective.step_kind(number * batch, batch) for number in window}
        if len(kinds) > KINDS:
            raise ConfigError(
                f"train.{option} = True: the steps of {objective.config.name} from image "
                f"{start * batch} on differ from one another, and each would be made anew; give "
                "objective.lambda_… and objective.augment.p that stay or change in steps, or leave "
                f"out train.{option}"
            )


class AcceleratedRound:
    """A round as functions of tensors, one for each kind of step; called like the round."""

    def __init__(
        self, objective: Objective, round_: Round, makes: Sequence[Make], making: Making
    ) -> None:
        self._objective, self._round = objective, round_
        self._makes, self._making = makes, making
        self._kept: OrderedDict[Hashable, tuple[RoundFunction, Function]] = OrderedDict()

    def __call__(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        by_name = arguments(batch, state)
        given = list(by_name.values())
        kind = (
            self._objective.step_kind(batch.images_seen, batch.global_batch),
            batch.micro_batches,
            tuple((name, tensor.shape, tensor.dtype) for name, tensor in by_name.items()),
        )
        if kind not in self._kept:
            while len(self._kept) >= KINDS:  # before the new one needs its memory
                self._kept.popitem(last=False)
            with self._making():
                self._kept[kind] = self._made(nets, batch, state, given)
        self._kept.move_to_end(kind)
        function, fast = self._kept[kind]
        return as_output(function, fast(given), batch)

    def _made(
        self, nets: Nets, batch: MicroBatch, state: State, given: list[Tensor]
    ) -> tuple[RoundFunction, Function]:
        log.info("preparing a step of %d images, which can take minutes", len(given[0]))
        began = time.monotonic()
        function = whole(self._round, nets, batch, state)
        networks: dict[str, Any] = {n: getattr(net, "network", net) for n, net in nets.items()}
        before = buffers(networks)
        fast = function.call
        for make in self._makes:
            fast = make(fast, given)
        fast(given)  # compilers work at the first call
        check_buffers(networks, before)
        if given[0].is_cuda:
            torch.cuda.synchronize(given[0].device)
        log.info("prepared a step of %d images in %.0f s", len(given[0]), time.monotonic() - began)
        return function, fast
