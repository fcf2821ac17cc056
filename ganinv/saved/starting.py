"""Starts a run from the networks of another run: verifies hashes, loads the exact weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.saved import format as names
from ganinv.saved.checkpoints import choose_named
from ganinv.saved.manifest import Manifest, manifests_newest_first
from ganinv.seams.stores import Reader

Weights = Literal["average", "current"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The origin of a run's networks, as its manifests record it."""

    run: str
    checkpoint: str
    networks: tuple[str, ...]
    weights: Weights
    sha256: Mapping[str, str]  # of the checkpoint's objects, by object name

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "networks": list(self.networks)}


def newest_name(store: Reader) -> str:
    """The name of the newest committed checkpoint whose manifest can be read.

    Raises `ConfigError` if there is no checkpoint, and `StorageError` if no manifest can be read.
    """
    found = manifests_newest_first(store)
    if not found:
        raise ConfigError(
            f"start.run = {store.url!r}: holds no checkpoint; name the storage.run of a trained run"
        )
    return found[0].name


def read_start(
    store: Reader, checkpoint: str, wanted: Sequence[str] | None, weights: Weights
) -> tuple[Origin, dict[str, dict[str, Tensor]]]:
    """Weights by network, from the named checkpoint of another run.

    `wanted`: names of networks; None: all networks of the checkpoint. `weights`: averages or
    current weights; a network without an average gives its current weights. Raises `StorageError`
    if the checkpoint is missing or corrupt, and `ConfigError` for a network that it does not hold.
    """
    manifest, tensors = choose_named(store, checkpoint, _only_weights)
    held = {name.partition("/")[0] for name in tensors}
    for name in wanted or ():
        if name not in held:
            raise ConfigError(
                f"start.networks = {name!r}: {store.url} holds no such network; choose among "
                f"{', '.join(sorted(held))}"
            )
    chosen = tuple(sorted(held)) if wanted is None else tuple(wanted)
    found = {}
    for name in chosen:
        average = names.below(tensors, names.average(name)) if weights == "average" else {}
        found[name] = average or names.below(tensors, names.weights(name))
    origin = Origin(
        run=store.url,
        checkpoint=manifest.name,
        networks=chosen,
        weights=weights,
        sha256={stored.name: stored.sha256 for stored in manifest.objects},
    )
    return origin, found


def load_start(
    networks: Mapping[str, nn.Module], weights: Mapping[str, Mapping[str, Tensor]], url: str
) -> None:
    """Load the weights of another run into networks. Raises `ConfigError` if they do not fit."""
    for name, tensors in weights.items():
        if name not in networks:
            raise ConfigError(
                f"start.networks: this run has no network {name!r}; name some of "
                f"{', '.join(networks)}"
            )
        try:
            networks[name].load_state_dict(dict(tensors))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ConfigError(
                f"start.run = {url!r}: its network {name!r} does not fit this run's ({reason}); "
                "give the same network options, image size and channels, or leave the network out "
                "of start.networks"
            ) from error


def _only_weights(manifest: Manifest) -> Any:
    del manifest
    return names.is_weight
