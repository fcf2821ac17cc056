"""Several data sets in one run: which slots of the global batch belong to which data set.

Every global batch holds the same number of samples of each data set, in the same slots. So each
data set has its own plan and epochs, and its position follows from the number of batches alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from datasets.shards.index import Index
from ganinv.errors import ConfigError, DataError
from ganinv.seams.batches import BadSample
from ganinv.seams.stores import Store


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One data set of a run."""

    store: Store
    """Where samples are read; may be a cache."""
    index: Index
    weight: float = 1.0
    """Its share of the samples, relative to the weights of the other data sets."""
    origin: Store | None = None
    """Where samples that failed to decode are read again; None: `store`."""
    listed: Sequence[BadSample] = ()
    """Samples that are known to be bad and therefore excluded."""


def share_slots(weights: Sequence[float], global_batch: int) -> list[tuple[int, ...]]:
    """The slots of each data set, spread evenly over the batch.

    Their numbers are proportional to the weights, rounded by the largest-remainder method. Raises
    `ConfigError` if a data set would get no slot.
    """
    quotas = [weight / sum(weights) * global_batch for weight in weights]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda k: (counts[k] - quotas[k], k))
    for k in by_remainder[: global_batch - sum(counts)]:
        counts[k] += 1
    if 0 in counts:
        raise ConfigError(
            f"data.mix has a weight of {weights[counts.index(0)]:g} out of {sum(weights):g}, which"
            f" gives less than one sample of train.global_batch={global_batch}; raise the weight or"
            " the batch"
        )
    # Sample j of n is placed at the fraction (j + ½)/n of the batch; slots follow that order.
    placed = sorted(((j + 0.5) / n, k) for k, n in enumerate(counts) for j in range(n))
    return [
        tuple(slot for slot, (_, owner) in enumerate(placed) if owner == k)
        for k in range(len(counts))
    ]


def joint_fingerprint(data_sets: Sequence[DataSet], global_batch: int) -> str:
    """A fingerprint of the mix: if equal, then equal samples in equal slots.

    For a single data set, that data set's own fingerprint.
    """
    if len(data_sets) == 1:
        return data_sets[0].index.fingerprint
    slots = share_slots([data_set.weight for data_set in data_sets], global_batch)
    lines = [f"{d.index.fingerprint} {own}" for d, own in zip(data_sets, slots, strict=True)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_same_size(data_sets: Sequence[DataSet]) -> None:
    """Raises `DataError` if the images of the data sets differ in size or kind of pixels."""
    first = data_sets[0]
    for other in data_sets[1:]:
        if other.index.resolution != first.index.resolution:
            raise DataError(
                f"data.mix: {other.store.url} has images of {other.index.resolution} pixels, and"
                f" {first.store.url} of {first.index.resolution}; build them with the same"
                " data.resolution"
            )
        if other.index.kind != first.index.kind:
            raise DataError(
                f"data.mix: {other.store.url} has images of {other.index.kind}, and"
                f" {first.store.url} of {first.index.kind}; build them with the same"
                " data.channels and data.bits"
            )
