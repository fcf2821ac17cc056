"""Trained models from where they lie: a run (its newest good checkpoint) or an export."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv import objectives
from ganinv.errors import StorageError, StorageMissingError
from ganinv.model import InvertibleGan, best_device
from ganinv.objectives.base import Objective
from ganinv.places.reading import open_reader
from ganinv.plain import member_from_plain
from ganinv.saved.checkpoints import below, choose, choose_named
from ganinv.saved.exports import MODEL_NAME, SUFFIX, read_export
from ganinv.saved.manifest import FOLDER, Manifest
from ganinv.saved.networks import build_trained
from ganinv.seams.stores import Reader


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A model, and what is known of how it came to be."""

    model: InvertibleGan
    objective: Objective
    state: Mapping[str, Tensor]  # variance traces and the like
    manifest: Manifest


def load(
    place: str | os.PathLike[str],
    *,
    device: torch.device | str | None = None,
    endpoint_url: str | None = None,
) -> InvertibleGan:
    """See `ganinv.load`."""
    url = os.fspath(place)
    if url.endswith(SUFFIX):
        folder, _, name = url.rpartition("/")
        model = read_export(open_reader(folder or ".", endpoint_url), name)
    else:
        model = _load_folder(open_reader(url, endpoint_url))
    return model.to(device or best_device())


def _load_folder(folder: Reader) -> InvertibleGan:
    try:
        return read_export(folder, MODEL_NAME)
    except StorageMissingError:
        return load_run(folder).model


def load_run(store: Reader, checkpoint: str | None = None) -> TrainedRun:
    """The averaged weights of a run's newest checkpoint that is whole and intact, on the CPU.

    Falls back to older checkpoints, saying so in the log; `checkpoint` names the one to load
    instead. Raises `StorageError` if there is none
    that can be loaded, or if this is no run, and `ConfigError` for options that are not known.
    """
    chosen = (
        choose(store, _evaluated)
        if checkpoint is None
        else choose_named(store, checkpoint, _evaluated)
    )
    if chosen is None:
        unfinished = ", but parts of one that was not committed," if store.list(FOLDER) else ""
        raise StorageError(
            f"{store.url} holds no checkpoint yet{unfinished} and no {MODEL_NAME}; name the "
            "storage.run of a run that was trained, or an export"
        )
    manifest, tensors = chosen
    objective_module, options = member_from_plain(objectives.find, manifest.config, "objective")
    objective: Objective = objective_module.Objective(options)
    state = below(tensors, "state/")
    pair = build_trained(
        manifest.config,
        resolution=manifest.image_resolution,
        image_channels=manifest.image_channels,
        generator=below(tensors, "g/average/"),
        discriminator=below(tensors, "d/average/"),
        where=f"{store.url}, checkpoint {manifest.name}",
    )
    try:
        scale_L = objective.scale(state).float()
    except KeyError as error:
        raise StorageError(
            f"{store.url}, checkpoint {manifest.name}: has no trace {error}, which its objective "
            f"{options.name!r} needs; restore config and checkpoint of one and the same run"
        ) from error
    return TrainedRun(
        model=InvertibleGan(
            generator=pair.generator, discriminator=pair.discriminator, scale_L=scale_L
        ),
        objective=objective,
        state=state,
        manifest=manifest,
    )


def _evaluated(name: str) -> bool:
    """Whether a tensor belongs to what is used after training."""
    return "/average/" in name or name.startswith("state/")
