"""What each rank writes to a checkpoint, and how any number of ranks loads one.

The format is `ganinv.saved.format`'s. Tensors that are equal on all ranks (weights, averages,
state) are distributed over the ranks; each rank writes the optimizer moments that it holds.
"""

import functools
import importlib.metadata
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cluster.collectives import all_reduce_sum, broadcast_object, rank, world_size
from ganinv.errors import DataError, GanInvError, StorageContentError, StorageError
from ganinv.saved import format as names
from ganinv.saved.checkpoints import choose, read_tensors
from ganinv.saved.manifest import Manifest
from ganinv.seams.stores import Store
from ganinv.sizes import Resolution
from ganinv.training.session import Session

# What may not differ between a checkpoint and the run that resumes from it.
IDENTIFYING = ("seed", "data_fingerprint", "mix_fingerprint", "image_resolution", "image_channels")
_VERSIONED = ("torch", "deepspeed", "ray", "safetensors", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunIdentity:
    """What a checkpoint records of its run; a resuming run must match it."""

    seed: int
    data_fingerprint: str
    image_resolution: Resolution
    image_channels: int
    config: Mapping[str, Any]
    mix_fingerprint: str | None = None  # of several data sets and their shares of the batch
    image_alignment: str | None = None  # None: a centred crop
    image_bits: int | None = None  # of each channel; None: 8


def new_manifest(session: Session, identity: RunIdentity, name: str) -> Manifest:
    """The manifest of the session's current state. Objects are added after their upload."""
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
            name: engine.optimizer_fragments()[1] for name, engine in session.engines.items()
        },
        nonfinite_in_a_row=session.nonfinite_in_a_row,
        world_size=world_size(),
        created=time.time(),
        config=identity.config,
        versions=_versions(),
        started_from=session.started_from,
        mix_fingerprint=identity.mix_fingerprint,
        image_alignment=identity.image_alignment,
        image_bits=identity.image_bits,
    )


@functools.cache
def _versions() -> dict[str, str]:
    """Package versions; cached, because a lookup takes milliseconds and blocks training."""
    return {p: importlib.metadata.version(p) for p in _VERSIONED}


def restore(session: Session, store: Store, identity: RunIdentity) -> Manifest | None:
    """Restore the session from the newest intact checkpoint; all ranks call this together.

    Rank 0 chooses the checkpoint for all ranks. None if the run has no checkpoint yet. Raises
    `StorageContentError` if no checkpoint can be loaded, or if the chosen one is of another seed or
    other data than this rank's `identity`, and `DataError` if rank 0 has other data than this rank.
    """
    chosen: tuple[Manifest, dict[str, Tensor]] | None = None
    failure: GanInvError | None = None
    if rank() == 0:
        try:
            chosen = choose(store)
        except GanInvError as error:
            failure = error
    manifest, failure, first = broadcast_object((chosen[0] if chosen else None, failure, identity))
    if failure is not None:
        raise failure
    _check_same_as_rank_0(identity, first)
    if manifest is None:
        return None
    _check_identity(manifest, identity, store.url)
    try:
        tensors = chosen[1] if chosen else read_tensors(store, manifest)
    except StorageContentError as error:
        # Rank 0 has just found the same objects whole, so a new group may find them whole, too.
        raise StorageError(f"rank {rank()}: {error}; rank 0 found it whole") from error
    _load(session, manifest, tensors)
    return manifest


def _check_same_as_rank_0(identity: RunIdentity, first: RunIdentity) -> None:
    for key in IDENTIFYING:
        if getattr(identity, key) != getattr(first, key):
            raise DataError(
                f"rank {rank()} has {key} = {getattr(identity, key)!r}, but rank 0 has "
                f"{getattr(first, key)!r}: their nodes have different data at data.url; put the "
                "same data set on all nodes, or give a URL that all of them reach"
            )


def _check_identity(manifest: Manifest, identity: RunIdentity, url: str) -> None:
    for key in IDENTIFYING:
        before, now = getattr(manifest, key), getattr(identity, key)
        # The manifests of runs with a mix did not always hold its fingerprint.
        if before != now and (key != "mix_fingerprint" or before is not None):
            raise StorageContentError(
                f"checkpoint {manifest.name} in {url} was written with {key} = {before!r}, but on "
                f"rank {rank()} it is {now!r}: data were replaced, or a node has other data at "
                "data.url; restore the data that the run was trained on, then start again"
            )


def _replicated(session: Session) -> Iterator[tuple[str, Tensor]]:
    """Tensors that are equal on all ranks, under their names in the file."""
    for network, module in session.networks.items():
        yield from _named(names.weights(network), module)
        if network in session.averages:
            yield from _named(names.average(network), session.averages[network].network)
    for name, tensor in session.state.items():
        yield f"{names.STATE}{name}", tensor


def _named(prefix: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in module.state_dict().items():
        yield f"{prefix}{name}", tensor


def tensors_of_this_rank(session: Session) -> list[tuple[str, Tensor]]:
    """The tensors that this rank writes, without a copy; all ranks call this together.

    Tensors that are equal on all ranks are assigned by size, largest first, to the rank with the
    fewest bytes so far.
    """
    named = [*_replicated(session), (names.MEANS, session.means.fold(all_reduce_sum))]
    share = [0] * world_size()
    mine = []
    for name, tensor in sorted(named, key=lambda n: -n[1].nbytes):
        least = share.index(min(share))
        share[least] += tensor.nbytes
        if least == rank():
            mine.append((name, tensor))
    for network, engine in session.engines.items():
        for fragment in engine.optimizer_fragments()[0]:
            piece = names.MomentPiece(network, fragment.moment, fragment.parameter, fragment.start)
            mine.append((names.moment_name(piece), fragment.values))
    return mine


def _load(session: Session, manifest: Manifest, tensors: Mapping[str, Tensor]) -> None:
    try:
        for network, module in session.networks.items():
            module.load_state_dict(names.below(tensors, names.weights(network)))
        for network, average in session.averages.items():
            average.network.load_state_dict(names.below(tensors, names.average(network)))
        for network, engine in session.engines.items():
            moments = _assemble(tensors, network, engine.network)
            engine.load_optimizer(moments, manifest.optimizer_steps[network])
        session.state = {
            name: tensors[f"{names.STATE}{name}"].to(held.device)
            for name, held in session.state.items()
        }
        session.means.load(tensors[names.MEANS])
    except (KeyError, RuntimeError) as error:
        raise StorageContentError(
            f"checkpoint {manifest.name} does not fit the networks and objective of this run "
            f"({error}); use the configuration of that checkpoint, or another storage.run"
        ) from error
    session.images_seen = manifest.images_seen
    session.position = manifest.position
    session.nonfinite_in_a_row = manifest.nonfinite_in_a_row
    session.started_from = manifest.started_from


def _assemble(
    tensors: Mapping[str, Tensor], network: str, module: nn.Module
) -> dict[str, dict[str, Tensor]]:
    """Complete moments (moment → parameter → tensor) from the pieces that the ranks wrote."""
    shapes = {name: p.shape for name, p in module.named_parameters()}
    flat: dict[str, dict[str, Tensor]] = {}
    filled: dict[tuple[str, str], int] = {}
    for name, values in tensors.items():
        piece = names.parse_moment(name)
        if piece is None or piece.network != network:
            continue
        whole = flat.setdefault(piece.moment, {}).setdefault(
            piece.parameter, torch.zeros(shapes[piece.parameter].numel(), dtype=values.dtype)
        )
        whole[piece.start : piece.start + values.numel()] = values
        key = (piece.moment, piece.parameter)
        filled[key] = filled.get(key, 0) + values.numel()
    for (moment, parameter), count in filled.items():
        if count != shapes[parameter].numel():
            raise KeyError(f"{network}/optimizer/{moment}/{parameter} has {count} elements")
    return {m: {p: t.view(shapes[p]) for p, t in ts.items()} for m, ts in flat.items()}
