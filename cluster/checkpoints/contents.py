"""What lies in a checkpoint, and how any number of workers loads it; `saving.py` writes them.

A part is a safetensors file. Tensors that all ranks hold alike (weights, averages, traces) are
dealt out over the ranks; optimizer moments are written by the rank that holds them, as flat runs
named NETWORK/optimizer/MOMENT/PARAMETER@START. Nothing in a name or shape depends on the number of
workers or the ZeRO stage.
"""

import functools
import importlib.metadata
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cluster.collectives import all_reduce_sum, broadcast_object, rank, world_size
from ganinv.errors import GanInvError, StorageError
from ganinv.saved.checkpoints import below, choose, read_tensors
from ganinv.saved.manifest import Manifest
from ganinv.seams.stores import Store
from ganinv.training.session import Session

_VERSIONED = ("torch", "deepspeed", "ray", "safetensors", "numpy")
_MOMENT = re.compile(r"([gd])/optimizer/(\w+)/(.+)@(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunIdentity:
    """What a checkpoint records of its run, and what the resuming run is compared with."""

    seed: int
    data_fingerprint: str
    image_resolution: int  # pixels a side
    image_channels: int
    config: Mapping[str, Any]


def describe(session: Session, identity: RunIdentity, name: str) -> Manifest:
    """The manifest of the session as it stands, before it is known what objects there are."""
    return Manifest(
        name=name,
        images_seen=session.images_seen,
        position=session.position,
        seed=identity.seed,
        data_fingerprint=identity.data_fingerprint,
        image_resolution=identity.image_resolution,
        image_channels=identity.image_channels,
        objects=(),
        optimizer_steps={
            letter: engine.optimizer_fragments()[1] for letter, engine in _engines(session)
        },
        nonfinite_in_a_row=session.nonfinite_in_a_row,
        world_size=world_size(),
        created=time.time(),
        config=identity.config,
        versions=_versions(),
    )


@functools.cache
def _versions() -> dict[str, str]:
    """Looking them up takes milliseconds, and training stands still for it."""
    return {p: importlib.metadata.version(p) for p in _VERSIONED}


def restore(session: Session, store: Store) -> Manifest | None:
    """Bring the session to the newest good checkpoint; all ranks call this together.

    Rank 0 chooses; the others load what it chose. None if the run has no checkpoint yet.
    """
    chosen: tuple[Manifest, dict[str, Tensor]] | None = None
    failure: GanInvError | None = None
    if rank() == 0:
        try:
            chosen = choose(store)
        except GanInvError as error:
            failure = error
    manifest, failure = broadcast_object((chosen[0] if chosen else None, failure))
    if failure is not None:
        raise failure
    if manifest is None:
        return None
    tensors = chosen[1] if chosen else read_tensors(store, manifest)
    _load(session, manifest, tensors)
    return manifest


def _engines(session: Session) -> list[tuple[str, Any]]:
    return [("g", session.engines.g), ("d", session.engines.d)]


def _replicated(session: Session) -> Iterator[tuple[str, Tensor]]:
    """Tensors that are equal on all ranks, under their names in the file."""
    averages = {"g": session.averages.g, "d": session.averages.d}
    for letter, engine in _engines(session):
        for name, tensor in engine.network.state_dict().items():
            yield f"{letter}/weights/{name}", tensor
        for name, tensor in averages[letter].network.state_dict().items():
            yield f"{letter}/average/{name}", tensor
    for name, tensor in session.state.items():
        yield f"state/{name}", tensor


def part(session: Session) -> list[tuple[str, Tensor]]:
    """What this rank writes, as it lies in networks and optimizers; all ranks call this together.

    Tensors that all ranks hold alike are dealt out by size, largest first, to whoever has least.
    """
    named = [*_replicated(session), ("means", session.means.fold(all_reduce_sum))]
    share = [0] * world_size()
    mine = []
    for name, tensor in sorted(named, key=lambda n: -n[1].nbytes):
        least = share.index(min(share))
        share[least] += tensor.nbytes
        if least == rank():
            mine.append((name, tensor))
    for letter, engine in _engines(session):
        for fragment in engine.optimizer_fragments()[0]:
            name = f"{letter}/optimizer/{fragment.moment}/{fragment.parameter}@{fragment.start}"
            mine.append((name, fragment.values))
    return mine


def _load(session: Session, manifest: Manifest, tensors: Mapping[str, Tensor]) -> None:
    averages = {"g": session.averages.g, "d": session.averages.d}
    try:
        for letter, engine in _engines(session):
            engine.network.load_state_dict(below(tensors, f"{letter}/weights/"))
            averages[letter].network.load_state_dict(below(tensors, f"{letter}/average/"))
            moments = _assemble(tensors, letter, engine.network)
            engine.load_optimizer(moments, manifest.optimizer_steps[letter])
        session.state = {name: tensors[f"state/{name}"] for name in session.state}
        session.means.load(tensors["means"])
    except (KeyError, RuntimeError) as error:
        raise StorageError(
            f"checkpoint {manifest.name} does not fit the networks and objective of this run "
            f"({error}); use the configuration it was made with, or another storage.run"
        ) from error
    session.images_seen = manifest.images_seen
    session.position = manifest.position
    session.nonfinite_in_a_row = manifest.nonfinite_in_a_row


def _assemble(
    tensors: Mapping[str, Tensor], letter: str, network: torch.nn.Module
) -> dict[str, dict[str, Tensor]]:
    """Whole moments (moment → parameter → tensor) from the runs that the ranks wrote."""
    shapes = {name: p.shape for name, p in network.named_parameters()}
    flat: dict[str, dict[str, Tensor]] = {}
    filled: dict[tuple[str, str], int] = {}
    for name, values in tensors.items():
        match = _MOMENT.fullmatch(name)
        if match is None or match[1] != letter:
            continue
        moment, parameter, start = match[2], match[3], int(match[4])
        whole = flat.setdefault(moment, {}).setdefault(
            parameter, torch.zeros(shapes[parameter].numel(), dtype=values.dtype)
        )
        whole[start : start + values.numel()] = values
        key = (moment, parameter)
        filled[key] = filled.get(key, 0) + values.numel()
    for (moment, parameter), count in filled.items():
        if count != shapes[parameter].numel():
            raise KeyError(f"{letter}/optimizer/{moment}/{parameter} has {count} elements")
    return {m: {p: t.view(shapes[p]) for p, t in ts.items()} for m, ts in flat.items()}
