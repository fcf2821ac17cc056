"""Reference features: read back bit for bit under the same key, and never if they are corrupt."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datasets.reference import FOLDER, ReferenceFeatures
from datasets.shards.index import Index
from datasets.shards.shard import Shard
from ganinv.errors import StorageError
from ganinv.metrics.features import Features
from ganinv.seams.stores import Store
from tests.datasets.conftest import FolderStore

SHARD = Shard(name="test/00000.tar", size_bytes=9, sha256="a", samples=9, table_sha256="b")
TARS = {"source": "tars"}
FEATURES = Features(
    name="lite0", network="a network", sha256="c" * 64, resize="none", extract=torch.clone
)


def index(**changes: Any) -> Index:
    whole = Index(description={}, width=16, height=16, splits={"train": (), "test": (SHARD,)})
    return replace(whole, **changes)


def references(store: Store, **changes: Any) -> ReferenceFeatures:
    whole = ReferenceFeatures(store=store, index=index(), split="test", count=5)
    return replace(whole, **changes)


def rows(seed: int = 0) -> Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))


def test_features_read_back_bit_for_bit(tmp_path: Path) -> None:
    kept = references(FolderStore(tmp_path))
    assert kept.load(FEATURES) is None
    kept.save(FEATURES, rows())
    found = kept.load(FEATURES)
    assert found is not None
    assert torch.equal(found, rows())


def test_tars_without_checksums_are_told_apart_by_their_versions(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write(SHARD.name, b"123456789")
    unknown = index(splits={"train": (), "test": (replace(SHARD, sha256=None),)})
    references(store, index=unknown).save(FEATURES, rows())
    assert references(store, index=unknown).load(FEATURES) is not None
    store.delete([SHARD.name])
    store.write(SHARD.name, b"987654321")
    assert references(store, index=unknown).load(FEATURES) is None


def test_the_key_holds_all_that_features_depend_on(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    kept = references(store)
    kept.save(FEATURES, rows())
    others = [
        (references(store, count=4), FEATURES),
        (references(store, split="train"), FEATURES),
        (references(store, index=index(width=32, height=32)), FEATURES),
        (references(store, index=index(description={"seed": 1})), FEATURES),
        (kept, replace(FEATURES, name="inception")),
        (kept, replace(FEATURES, sha256="d" * 64)),
        (kept, replace(FEATURES, resize="bilinear")),
    ]
    names = {other.name(features) for other, features in others}
    assert len(names | {kept.name(FEATURES)}) == len(others) + 1
    assert all(other.load(features) is None for other, features in others)
    moved = replace(FEATURES, network="the same weights, at another path")
    assert kept.load(moved) is not None


def test_features_of_other_pixels_are_not_used_again(tmp_path: Path) -> None:
    """Version 0.1 decoded foreign tars in another way; the names below are those it wrote."""
    store = FolderStore(tmp_path)
    built, tars = references(store), references(store, index=index(description=TARS))
    assert built.name(FEATURES) == "reference/test-5-lite0-b54349930b81eb41.safetensors"
    assert tars.name(FEATURES) != "reference/test-5-lite0-91984c48548583f6.safetensors"


def test_the_first_to_write_wins(tmp_path: Path) -> None:
    kept = references(FolderStore(tmp_path))
    kept.save(FEATURES, rows())
    kept.save(FEATURES, rows(seed=1))
    found = kept.load(FEATURES)
    assert found is not None
    assert torch.equal(found, rows())


@pytest.mark.parametrize("corruption", ["cut", "flipped", "text", "empty", "other"])
def test_corrupt_features_are_not_used_and_can_be_written_again(
    tmp_path: Path, corruption: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = references(FolderStore(tmp_path))
    kept.save(FEATURES, rows())
    file = tmp_path / kept.name(FEATURES)
    payload = file.read_bytes()
    longer = references(FolderStore(tmp_path), count=4)
    longer.save(FEATURES, rows()[:4])
    file.write_bytes(
        {
            "cut": payload[:-3],
            "flipped": payload[:-1] + bytes([payload[-1] ^ 1]),
            "text": b"no safetensors at all",
            "empty": b"",
            "other": (tmp_path / longer.name(FEATURES)).read_bytes(),
        }[corruption]
    )
    assert kept.load(FEATURES) is None
    assert "is corrupt" in caplog.text
    kept.save(FEATURES, rows(seed=1))
    found = kept.load(FEATURES)
    assert found is not None
    assert torch.equal(found, rows(seed=1))


class ReadOnly(FolderStore):
    """A store that refuses to be changed."""

    def write_if_absent(self, name: str, data: bytes) -> None:
        del data
        raise StorageError(f"{self.url}/{name}: access denied")

    def delete(self, names: Sequence[str]) -> None:
        raise StorageError(f"{self.url}/{names[0]}: access denied")


def test_a_read_only_store_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = references(ReadOnly(tmp_path))
    with caplog.at_level(logging.WARNING):
        kept.save(FEATURES, rows())
    assert len(caplog.records) == 1
    assert "access denied" in caplog.text
    assert kept.load(FEATURES) is None
    (tmp_path / FOLDER).mkdir()
    (tmp_path / kept.name(FEATURES)).write_bytes(b"corrupt")
    assert kept.load(FEATURES) is None
