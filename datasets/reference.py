"""Reference features: the outputs of feature networks for a data set, stored beside it.

`reference/SPLIT-COUNT-NETWORK-KEY.safetensors` holds the features of the first COUNT images of a
split, COUNT × F in float32, in the order of the index. Means and covariances are not stored,
because they are cheap to compute from the features; the kernel distance, precision and recall need
the features themselves. KEY is a hash of everything that the features depend on: the contents of
the data, split, count, resolution, network, hash of its weights, resizing.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from datasets.shards.index import Index, content_key
from datasets.shards.splits import Split
from ganinv.errors import StorageError, StorageExistsError, StorageMissingError
from ganinv.metrics.features import Features
from ganinv.seams.stores import Store

log = logging.getLogger(__name__)
FOLDER = "reference/"
_TENSOR = "features"
# Version 0.1 read foreign tars without opacity and orientation. Built data sets have neither.
_PIXELS = 2


@dataclass(frozen=True, kw_only=True)
class ReferenceFeatures:
    """Features of the first `count` images of a split.

    Implements `ganinv.evaluation.held_out.References`.
    """

    store: Store
    index: Index
    split: Split
    count: int

    def load(self, features: Features) -> Tensor | None:
        """The saved features, N × F, float32; None if there are none or they are corrupt.

        Corrupt features are deleted, so that `save` can replace them.

        Raises `StorageError` if the store cannot be read.
        """
        name = self.name(features)
        try:
            payload = self.store.read(name)
        except StorageMissingError:
            return None
        found_NF = self._checked(payload, features)
        if found_NF is None:
            log.warning("%s/%s is corrupt; its features are computed again", self.store.url, name)
            self._change(lambda: self.store.delete([name]))
        return found_NF

    def save(self, features: Features, feature_NF: Tensor) -> None:
        """Save features, N × F, float32, unless another process has already done so."""
        assert feature_NF.dtype == torch.float32
        assert len(feature_NF) == self.count
        feature_NF = feature_NF.contiguous()
        metadata = {"key": self._key(features), "sha256": _digest(feature_NF)}
        payload = safetensors.torch.save({_TENSOR: feature_NF}, metadata)
        self._change(lambda: self.store.write_if_absent(self.name(features), payload))

    def name(self, features: Features) -> str:
        """The name of the object that holds the features, below the root of the store."""
        key = hashlib.sha256(self._key(features).encode()).hexdigest()[:16]
        return f"{FOLDER}{self.split}-{self.count}-{features.name}-{key}.safetensors"

    def _change(self, verb: Callable[[], None]) -> None:
        """Write or delete; errors are only logged.

        Data sets are often read-only, and an evaluation does not need the stored features.
        """
        try:
            verb()
        except StorageExistsError:
            return  # another process has written the same features
        except StorageError as error:
            log.warning("features of the data set are not saved for later evaluations: %s", error)

    @cached_property
    def _content_key(self) -> str:
        return content_key(self.index, self.store)

    def _key(self, features: Features) -> str:
        depends_on: dict[str, Any] = {
            "data_fingerprint": self._content_key,
            "split": self.split,
            "count": self.count,
            "resolution": self.index.resolution,
            "features": features.name,
            "network_sha256": features.sha256,
            "resize": features.resize,
        }
        if self.index.description.get("source") == "tars":
            depends_on["pixels"] = _PIXELS
        return json.dumps(depends_on, sort_keys=True)

    def _checked(self, payload: bytes, features: Features) -> Tensor | None:
        """The features in the object; None if they are corrupt or belong to another key."""
        try:
            found_NF = safetensors.torch.load(payload)[_TENSOR]
            metadata = _metadata(payload)
        except (safetensors.SafetensorError, KeyError, ValueError):
            return None
        complete = found_NF.dtype == torch.float32 and found_NF.shape[:1] == (self.count,)
        intact = metadata == {"key": self._key(features), "sha256": _digest(found_NF)}
        return found_NF if complete and intact else None


def _metadata(payload: bytes) -> dict[str, str]:
    """The metadata of a safetensors file in memory: 8 bytes of length, then a JSON header."""
    end = 8 + int.from_bytes(payload[:8], "little")
    metadata: dict[str, str] = json.loads(payload[8:end])["__metadata__"]
    return metadata


def _digest(feature_NF: Tensor) -> str:
    return hashlib.sha256(feature_NF.numpy().tobytes()).hexdigest()
