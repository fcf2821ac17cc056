"""Several data sets in one run: which slots of the global batch belong to which of them.

Every global batch holds the same number of samples of each data set, in the same slots. So each
data set has a plan and epochs of its own, and where it stands follows from the number of batches
alone.
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
    """Where it is read; may be a cache."""
    index: Index
    weight: float = 1.0
    """Its share of the samples, relative to the others'."""
    origin: Store | None = None
    """Where doubtful samples are read again; None: `store`."""
    listed: Sequence[BadSample] = ()
    """Samples that are known to be bad and left aside."""


def share_slots(weights: Sequence[float], global_batch: int) -> list[tuple[int, ...]]:
    """The slots of each data set: numbers by largest remainder, spread evenly over the batch.

    Raises `ConfigError` where a data set would get none.
    """
    quotas = [weight / sum(weights) * global_batch for weight in weights]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda k: (counts[k] - quotas[k], k))
    for k in by_remainder[: global_batch - sum(counts)]:
        counts[k] += 1
    if 0 in counts:
        raise ConfigError(
            f"data.mix has a weight of {weights[counts.index(0)]:g} out of {sum(weights):g}, which"
            f" is no whole sample of train.global_batch={global_batch}; raise one of them"
        )
    # Sample j of n stands at (j + ½)/n of the batch; slots are dealt in that order.
    stands = sorted(((j + 0.5) / n, k) for k, n in enumerate(counts) for j in range(n))
    return [
        tuple(slot for slot, (_, owner) in enumerate(stands) if owner == k)
        for k in range(len(counts))
    ]


def joint_fingerprint(data_sets: Sequence[DataSet], global_batch: int) -> str:
    """Equal fingerprints mean equal samples in equal slots; of one data set, its own."""
    if len(data_sets) == 1:
        return data_sets[0].index.fingerprint
    slots = share_slots([data_set.weight for data_set in data_sets], global_batch)
    parts = [f"{d.index.fingerprint} {own}" for d, own in zip(data_sets, slots, strict=True)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def check_alike(data_sets: Sequence[DataSet]) -> None:
    """Raises `DataError` where the images of one data set have another size than the others'."""
    first = data_sets[0]
    for other in data_sets[1:]:
        if other.index.resolution != first.index.resolution:
            raise DataError(
                f"data.mix: {other.store.url} has images of {other.index.resolution} pixels, and"
                f" {first.store.url} of {first.index.resolution}; build them with one"
                " data.resolution"
            )
