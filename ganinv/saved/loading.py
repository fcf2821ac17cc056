"""Loads trained models from a run (its newest intact checkpoint) or an export."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ganinv.alignment.transform import CROP
from ganinv.errors import ConfigError, StorageContentError, StorageMissingError
from ganinv.inputs import Device, place_name, usable_device
from ganinv.model import InvertibleGan, best_device
from ganinv.objectives.base import Objective
from ganinv.places.reading import open_reader
from ganinv.saved import format as names
from ganinv.saved.checkpoints import choose, choose_named
from ganinv.saved.deltas import read_delta
from ganinv.saved.exports import MODEL_NAME, read_export
from ganinv.saved.manifest import Manifest
from ganinv.saved.networks import (
    build_objective,
    build_trained,
    checked_codec,
    trained_prefix,
)
from ganinv.seams.stores import Reader


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A model, with the method, state and manifest of the checkpoint it was loaded from."""

    model: InvertibleGan
    objective: Objective
    state: Mapping[str, Tensor]  # variance traces and the like
    manifest: Manifest


def load(
    place: str | os.PathLike[str],
    *,
    device: Device | None = None,
    delta: str | os.PathLike[str] | None = None,
    endpoint_url: str | None = None,
) -> InvertibleGan:
    """See `ganinv.load`."""
    url = place_name(place)
    if not (endpoint_url is None or isinstance(endpoint_url, str)):
        raise ConfigError(f"endpoint_url = {endpoint_url!r}: must be text; write http://HOST:PORT")
    chosen = best_device() if device is None else usable_device(device)
    if url.endswith(names.SUFFIX):
        folder, name = names.split_file(url)
        model = read_export(open_reader(folder, endpoint_url), name)
    else:
        model = _load_folder(open_reader(url, endpoint_url))
    if delta is not None:
        model = read_delta(delta, endpoint_url=endpoint_url).applied(model)
    return model.to(chosen)


def _load_folder(folder: Reader) -> InvertibleGan:
    try:
        return read_export(folder, MODEL_NAME)
    except StorageMissingError:
        return load_run(folder).model


def load_run(store: Reader, checkpoint: str | None = None) -> TrainedRun:
    """The averaged weights of a run's newest checkpoint that is complete and intact, on the CPU.

    Falls back to older checkpoints, with a warning in the log. `checkpoint`: the name of the
    checkpoint to load instead. Raises `StorageError` if no checkpoint can be loaded or `store` is
    not a run, and `ConfigError` for unknown options.
    """
    chosen = (
        choose(store, _used_after_training)
        if checkpoint is None
        else choose_named(store, checkpoint, _used_after_training)
    )
    if chosen is None:
        begun = bool(store.list(names.FOLDER))
        unfinished = ", only parts of an uncommitted one," if begun else ""
        raise StorageContentError(
            f"{store.url} holds no checkpoint yet{unfinished} and no {MODEL_NAME}; name the "
            "storage.run of a trained run, or an export"
        )
    manifest, held = chosen
    where = f"{store.url}, checkpoint {manifest.name}"
    objective = build_objective(manifest.config)
    state = names.below(held, names.STATE)
    networks = build_trained(
        manifest.config,
        resolution=manifest.image_resolution,
        image_channels=manifest.image_channels,
        weights={
            name: names.below(held, trained_prefix(objective, manifest.config, name))
            for name, role in objective.roles.items()
            if role.exported
        },
        where=where,
    )
    try:
        tensors = objective.tensors(state)
    except KeyError as error:
        raise StorageContentError(
            f"{where} lacks the trace {error}, which its objective {objective.config.name!r} "
            "needs; restore config and checkpoint of the same run"
        ) from error
    codec = checked_codec(objective, networks, tensors, where)
    model = InvertibleGan(
        codec=codec,
        alignment=manifest.image_alignment or CROP,
        bits=manifest.image_bits or 8,
    )
    return TrainedRun(model=model, objective=objective, state=state, manifest=manifest)


def _used_after_training(manifest: Manifest) -> Callable[[str], bool]:
    """Selects the state and the weights used after training: averages where they are kept."""
    objective = build_objective(manifest.config)
    prefixes = tuple(
        trained_prefix(objective, manifest.config, name)
        for name, role in objective.roles.items()
        if role.exported
    )
    return lambda name: name.startswith((*prefixes, names.STATE))
