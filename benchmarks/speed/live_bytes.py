"""Counts the bytes of tensors alive at the peak of a step, per image, without computing them.

Runs the rounds of PVDGAN and all gradients on the meta device, once with a batch and once with
twice the batch; the difference is what the images cost. Counts what PyTorch's operations return,
not their scratch memory. Runs in this checkout and in one of commit 607fd10, like
`training_steps.py`. The argument is a case as JSON; prints one line of JSON.
"""

import importlib
import json
import sys
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganinv import networks, objectives


class Live(TorchDispatchMode):
    """Counts operations, and the bytes of all storages that they made and that are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.live = self.peak = self.operations = 0
        self._seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        self.operations += 1
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                self._made(tensor.untyped_storage())
        return found

    def _made(self, storage: Any) -> None:
        if storage in self._seen:
            return
        self._seen[storage] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, storage.nbytes())

    def _freed(self, count: int) -> None:
        self.live -= count


def count(case: dict[str, Any], batch: int) -> Live:
    """A step on a batch of `batch` images."""
    module, method = networks.find(case["family"]), objectives.find("pvdgan")
    config = module.Config(**case["network"])
    size, pixels = config.latent_size, case["resolution"]
    with torch.device("meta"):
        pair = module.build(config, resolution=pixels, image_channels=3, seed=0)
        if case.get("recompute_blocks"):
            from ganinv.networks.recomputing import recompute_finest  # 607fd10 lacks it

            for network in pair.values():
                recompute_finest(network, case["recompute_blocks"])
        images = torch.empty(batch, 3, pixels, pixels)
        common = {
            "images_seen": 0, "real_NCHW": images, "slots_N": torch.arange(batch),
            "global_batch": batch, "noise": {"z": torch.empty(batch, size)},
        }  # fmt: skip
        counted = Live()
        with counted:
            if Path("ganinv/training").is_dir():
                _present(method.Objective(method.Config(), size), pair, common)
            else:
                _as_at_607fd10(method.Objective(method.Config()), pair, common, size)
    return counted


def _present(objective: Any, pair: Any, common: dict[str, Any]) -> None:
    from ganinv.objectives.base import MicroBatch

    state = objective.new_state(common["global_batch"])
    found = objective.rounds[0](pair, MicroBatch(micro_batches=1, **common), state)
    loss = found.losses["g"]
    (cut,) = loss.through
    _backward(pair["g"], pair["d"], (loss.value, cut.output, cut.leaf), found.losses["d"].value)


def _as_at_607fd10(objective: Any, pair: Any, common: dict[str, Any], size: int) -> None:
    base: Any = importlib.import_module("ganinv.objectives.base")
    generator, discriminator = pair
    state = objective.new_state(size, common["global_batch"])
    nets = base.Nets(g=generator, d=discriminator)
    found = objective.rounds[0](nets, base.Part(parts=1, **common), state)
    cut = (found.generator.loss, found.generator.image, found.generator.leaf)
    _backward(generator, discriminator, cut, found.discriminator)


def _backward(generator: Any, discriminator: Any, cut: tuple[Any, ...], loss_d: Any) -> None:
    """All gradients, in the order of `ganinv.training.step`, which both checkouts share."""
    loss_g, image, leaf = cut
    (toward,) = torch.autograd.grad(loss_g, leaf, retain_graph=True)
    loss_d.backward(inputs=list(discriminator.parameters()))
    (image * toward).sum().backward(inputs=list(generator.parameters()))


def main() -> None:
    case = json.loads(sys.argv[1])
    batch = case["batch"]
    once, twice = count(case, batch), count(case, 2 * batch)
    per_image = (twice.peak - once.peak) / batch
    print(json.dumps({"bytes_per_image": per_image, "operations": once.operations}))


if __name__ == "__main__":
    main()
