"""All state of a run as its newest checkpoint holds it, to be compared with another run's."""

import hashlib
import re

import torch
from torch import Tensor

from ganinv.saved.checkpoints import choose
from ganinv.seams.stores import Store


def whole_state(store: Store) -> dict[str, Tensor]:
    """Every tensor of the newest checkpoint, optimizer moments put together from their runs."""
    chosen = choose(store)
    assert chosen is not None
    tensors = dict(chosen[1])
    runs: dict[str, list[tuple[int, Tensor]]] = {}
    for name in list(tensors):
        if match := re.fullmatch(r"(.+)@(\d+)", name):
            runs.setdefault(match[1], []).append((int(match[2]), tensors.pop(name)))
    for name, pieces in runs.items():
        tensors[name] = torch.cat([piece for _, piece in sorted(pieces, key=lambda p: p[0])])
    return tensors


def equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def sha256_of(store: Store) -> str:
    """Of all state: every byte of every tensor with its name, and what the manifest counts."""
    chosen = choose(store)
    assert chosen is not None
    manifest = chosen[0]
    counted = (
        manifest.images_seen, manifest.position, sorted(manifest.optimizer_steps.items()),
        manifest.nonfinite_in_a_row, manifest.seed, manifest.data_fingerprint,
    )  # fmt: skip
    digest = hashlib.sha256(repr(counted).encode())
    for name, tensor in sorted(whole_state(store).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def largest_relative_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Over all weights and their averages: ‖a − b‖₂ ÷ ‖b‖₂ of a tensor."""
    weights = [name for name in expected if "/weights/" in name or "/average/" in name]
    return max(
        float((found[name].double() - expected[name].double()).norm())
        / max(float(expected[name].double().norm()), 1e-30)
        for name in weights
    )
