"""Verifying: every corruption is found and named, and corrupt samples can be excluded by a list."""

import json
from typing import Any

from datasets.building.index_existing import index_existing
from datasets.shards.quarantine import QUARANTINE_NAME
from datasets.shards.shard import load_table
from datasets.shards.verify import verify, write_quarantine

# `faces_copy` is `conftest.Faces`.


def _corrupt_image(faces: Any, shard_number: int, number: int) -> str:
    """Overwrite pixels of a sample; returns its key."""
    shard = faces.index.splits["train"][shard_number]
    victim = load_table(faces.store, shard).member(number)
    tar = bytearray(faces.store.read(shard.name))
    tar[victim.image_start + 40 : victim.image_start + 60] = bytes(20)
    faces.store.write(shard.name, bytes(tar))
    return victim.key


def test_every_corruption_is_found(faces_copy: Any) -> None:
    store, index = faces_copy.store, faces_copy.index
    seen: list[tuple[int, int, int]] = []
    assert verify(index, store, lambda *figures: seen.append(figures)) == []
    assert seen[-1] == (320, 320, sum(shard.size_bytes for shard in index.shards))
    key = _corrupt_image(faces_copy, 0, 5)
    names = [shard.name for shard in index.splits["train"]]
    store.delete([names[1]])
    store.write(names[2], store.read(names[2])[:-9000])
    # Attributes are not decoded, so only the checksum of the tar reveals the change.
    attributes = store.read(names[3]).replace(b'"hair"', b'"hare"', 1)
    store.write(names[3], attributes)
    store.write(index.splits["train"][4].table_name, b"[]")
    found = {(p.shard, p.key) for p in verify(index, store)}
    assert found == {(names[0], key)} | {(name, None) for name in names[1:]}
    assert {p.reason for p in verify(index, store) if p.shard == names[1]} == {
        "is missing; upload it again, or build it again"
    }


def test_the_quarantine_lists_corrupt_samples(faces_copy: Any) -> None:
    store, index = faces_copy.store, faces_copy.index
    keys = [_corrupt_image(faces_copy, 0, 5), _corrupt_image(faces_copy, 2, 0)]
    problems = verify(index, store, workers=3)
    assert [(p.shard, p.key) for p in problems] == [
        ("train/00000.tar", keys[0]),
        ("train/00002.tar", keys[1]),
    ]
    assert write_quarantine(index, store, problems) == 2
    written = json.loads(store.read(QUARANTINE_NAME))
    assert written == {
        "fingerprint": index.fingerprint,
        "samples": [[p.shard, p.key, p.reason] for p in problems],
    }
    assert "cannot be decoded" in written["samples"][0][2]


def test_an_image_overwritten_by_another_image_is_noticed(faces_copy: Any) -> None:
    """The other image can be decoded, so only the checksum reveals the change."""
    store, index = faces_copy.store, faces_copy.index
    shard = index.splits["train"][0]
    table = list(load_table(store, shard))
    sizes = [member.image_bytes for member in table]
    a, b = next((i, j) for j, n in enumerate(sizes) for i in range(j) if sizes[i] == n)
    tar = bytearray(store.read(shard.name))
    start, other, size = table[a].image_start, table[b].image_start, table[a].image_bytes
    tar[start : start + size] = tar[other : other + size]
    store.write(shard.name, bytes(tar))
    assert [p.key for p in verify(index, store)] == [table[a].key]


def test_every_byte_is_read_once(faces_copy: Any) -> None:
    index = index_existing(faces_copy.store)
    before = faces_copy.store.read_bytes
    assert verify(index, faces_copy.store) == []
    tables = sum(len(faces_copy.store.read(shard.table_name)) for shard in index.shards)
    tars = sum(shard.size_bytes for shard in index.shards)
    assert faces_copy.store.read_bytes - before == tars + 2 * tables
