"""DeepSpeed as the engine of one network: optimizer steps, ZeRO 0/1/2, gradient reduction.

Forward passes call `network` itself, never DeepSpeed's wrapper: the wrapper registers hooks on its
outputs, and the inner gradients of GAN losses (R1, ∂L_g/∂image) would trigger these hooks. Only
`engine.backward(scalar)` and `engine.step()` call DeepSpeed. ZeRO-3 is not offered, because with
inner gradients and accumulation it silently gives wrong results.

DeepSpeed's fragment mapping (`_hp_mapping`) and `averaged_gradients` are not public. So the version
is pinned, and `tests/cluster/test_engine.py` checks both for equality with plain PyTorch.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cluster.config import EngineConfig
from ganinv.optimizers.base import STEP, step_count
from ganinv.precision import Precision, autocast
from ganinv.seams.engine import Fragment
from ganinv.training.config import BatchLayout


class DeepSpeedEngine:
    """Implements `ganinv.seams.engine.Engine`; needs an initialised process group."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        config: EngineConfig,
        layout: BatchLayout,
        precision: Precision,
    ) -> None:
        # Imported here, because the import takes seconds.
        import deepspeed

        _leave_out_shared_memory_kernels()
        self.network = network
        self._stage = config.zero_stage
        self._precision = precision
        self._norm: Tensor | float = float("nan")
        self._held_norm = torch.tensor(float("nan"))  # of this rank's share of the gradients
        self._engine, *_ = deepspeed.initialize(
            model=network,
            optimizer=optimizer,
            config=_deepspeed_config(config, layout),
            dist_init_required=False,
        )

    def autocast(self) -> AbstractContextManager[Any]:
        return autocast(self._precision, self._engine.device)

    def set_options(self, options: Mapping[str, Any]) -> None:
        # The inner optimizer's options: without a scheduler, DeepSpeed never changes them.
        for group in self._torch_optimizer().param_groups:
            group.update(options)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        self._engine.backward(loss)
        if not last:
            self._engine.step()  # counts the micro-batch; updates nothing before the last one

    def finite(self) -> Tensor:
        self._held_norm = nn.utils.get_total_norm(list(self._held_gradients()))
        return torch.isfinite(self._held_norm)

    def finish(self, *, apply: bool) -> None:
        if not apply:
            self._void_step()
        elif self._stage == 0:
            self._norm = self._held_norm  # all gradients
        self._engine.step()
        if apply and self._stage > 0:
            self._norm = self._engine.get_global_grad_norm()

    @property
    def on_device(self) -> None:
        """DeepSpeed's steps ask the host whether gradients are finite."""

    def gradient_norm(self) -> float:
        return float(self._norm)

    def optimizer_fragments(self) -> tuple[list[Fragment], int]:
        """The optimizer's moments that this rank holds, and the number of steps taken.

        A moment is any tensor of a parameter's size that the optimizer keeps, for example Adam's
        running means of the gradient and of its square. At ZeRO 0 all ranks hold the same moments,
        so only rank 0 returns them.
        """
        steps = self._optimizer_steps()
        if steps == 0 or (self._stage == 0 and dist.get_rank() != 0):
            return [], steps
        return list(self._fragments()), steps

    def load_optimizer(self, moments: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        """Load complete moments (`moment → parameter → tensor`), saved by any number of ranks.

        The network's weights must be loaded before, because this copies them to ZeRO's weights.
        """
        if self._stage > 0:
            self._follow_weights()
        self._reset_state(steps, moments)
        if steps == 0:
            return
        for fragment in self._fragments():
            source = moments[fragment.moment][fragment.parameter].flatten()
            piece = source[fragment.start : fragment.start + fragment.values.numel()]
            fragment.values.copy_(piece.to(fragment.values.device))

    def _fragments(self) -> Iterator[Fragment]:
        """Views of the moments, so that writing to them changes the optimizer."""
        moments = self._moments()
        for name, parameter in self.network.named_parameters():
            for moment in moments:
                if self._stage == 0:
                    values = self._engine.optimizer.state[parameter][moment].view(-1)
                    yield Fragment(parameter=name, moment=moment, start=0, values=values)
                    continue
                mapping = parameter._hp_mapping  # type: ignore[attr-defined]  # DeepSpeed's
                if mapping is not None:
                    start = mapping.lp_fragment_address.start
                    values = mapping.get_hp_fragment(moment)
                    yield Fragment(parameter=name, moment=moment, start=start, values=values)

    def _moments(self) -> list[str]:
        """Names of the tensors that the optimizer keeps for each element of a parameter."""
        state = self._torch_optimizer().state
        parameter = self._flat_parameters()[0]  # every rank's partition has at least one
        return [
            key
            for key, value in state[parameter].items()
            if key != STEP and isinstance(value, Tensor) and value.shape == parameter.shape
        ]

    def _flat_parameters(self) -> list[Tensor]:
        """The tensors that the optimizer updates: parameters at stage 0, flat partitions above."""
        groups = self._torch_optimizer().param_groups
        return [parameter for group in groups for parameter in group["params"]]

    def _torch_optimizer(self) -> torch.optim.Optimizer:
        optimizer = self._engine.optimizer
        inner: torch.optim.Optimizer = optimizer if self._stage == 0 else optimizer.optimizer
        return inner

    def _optimizer_steps(self) -> int:
        state = self._torch_optimizer().state
        steps = {int(state[p][STEP]) for p in self._flat_parameters() if p in state}
        assert len(steps) <= 1, f"parameters disagree on the number of steps: {steps}"
        return steps.pop() if steps else 0

    def _reset_state(self, steps: int, moments: Iterable[str]) -> None:
        """Set the number of steps, and all moments to zero.

        Existing moments, as after a divergence, stay in the same memory, because DeepSpeed links
        its fragments to that memory only once.
        """
        optimizer = self._torch_optimizer()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if steps == 0 and parameter not in optimizer.state:
                    continue  # the state is already empty
                held = optimizer.state[parameter]
                held[STEP] = step_count(group, parameter, steps)
                for moment in held.keys() - {STEP}:
                    held[moment].zero_()
                for moment in moments:
                    held.setdefault(moment, torch.zeros_like(parameter))
        if steps > 0 and self._stage > 0:
            self._engine.optimizer._lazy_init_hp_params_optimizer_state()

    def _follow_weights(self) -> None:
        for parameter in self.network.parameters():
            mapping = parameter._hp_mapping  # type: ignore[attr-defined]  # DeepSpeed's
            if mapping is not None:
                start, count = mapping.lp_fragment_address.start, mapping.lp_fragment_address.numel
                weights = parameter.detach().flatten()[start : start + count]
                mapping.hp_fragment.data.copy_(weights)

    def _held_gradients(self) -> Iterator[Tensor]:
        if self._stage == 0:
            yield from (p.grad for p in self.network.parameters() if p.grad is not None)
            return
        for gradients in self._engine.optimizer.averaged_gradients.values():
            yield from (g for g in gradients or () if g is not None)

    def _void_step(self) -> None:
        """Make DeepSpeed skip this step, as all ranks do.

        ZeRO skips a step with non-finite gradients, but checks only one network. At stage 0, Adam
        skips parameters without a gradient.
        """
        if self._stage == 0:
            self.network.zero_grad(set_to_none=True)
            return
        for gradient in self._held_gradients():
            gradient.fill_(float("inf"))


def _deepspeed_config(config: EngineConfig, layout: BatchLayout) -> dict[str, Any]:
    """Batch sizes count micro-batches, because DeepSpeed needs only their ratio."""
    return {
        "train_batch_size": layout.micro_batches,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": layout.per_rank,
        "steps_per_print": 2**62,
        "gradient_clipping": 0.0,  # the papers do not clip; DeepSpeed's default is 1.0
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": config.zero_stage,
            "reduce_bucket_size": config.bucket_elements,
            "allgather_bucket_size": config.bucket_elements,
            "overlap_comm": config.overlap_communication,
        },
    }


def _leave_out_shared_memory_kernels() -> None:
    """Keep DeepSpeed from compiling a C++ extension at its first start on a CPU.

    Only inference uses the extension. Compiling takes minutes and fails without a compiler.
    """
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
