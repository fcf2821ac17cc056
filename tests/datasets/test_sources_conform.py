"""What every built-in source keeps to; a new file in `datasets/` is collected by itself."""

import re

import numpy as np
import pytest

from datasets.source import BuildOptions, Sample, find_source, source_names, split_of
from ganinv.errors import ConfigError

COUNT = 19


def _samples(name: str, **changes: int) -> list[Sample]:
    options = BuildOptions(**{"images": COUNT, "resolution": 16, "seed": 3, **changes})
    return list(find_source(name, options).samples())


def _equal(a: list[Sample], b: list[Sample]) -> bool:
    return len(a) == len(b) and all(
        (x.key, x.attributes, x.split) == (y.key, y.attributes, y.split)
        and np.array_equal(x.image_HWC, y.image_HWC)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("name", source_names())
def test_count_resolution_keys_and_split(name: str) -> None:
    samples = _samples(name)
    source = find_source(name, BuildOptions(images=COUNT, resolution=16, seed=3))
    assert len(samples) == source.count == COUNT
    assert all(s.image_HWC.shape == (16, 16, 3) for s in samples)
    assert all(s.image_HWC.dtype == np.uint8 for s in samples)
    keys = [s.key for s in samples]
    assert keys == sorted(set(keys))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) for key in keys)
    assert [s.split for s in samples] == ["train"] * 17 + ["test"] * 2
    assert len({tuple(sorted(s.attributes)) for s in samples}) == 1
    assert source.describe()["source"] == name


@pytest.mark.parametrize("name", source_names())
def test_the_seed_decides_everything(name: str) -> None:
    assert _equal(_samples(name), _samples(name))
    assert not _equal(_samples(name), _samples(name, seed=4))


@pytest.mark.parametrize("name", source_names())
def test_descriptions_tell_data_sets_apart(name: str) -> None:
    options = [
        BuildOptions(images=COUNT),
        BuildOptions(images=COUNT + 1),
        BuildOptions(images=COUNT, seed=1),
        BuildOptions(images=COUNT, resolution=64),
    ]
    descriptions = [find_source(name, o).describe() for o in options]
    assert descriptions[0] == find_source(name, options[0]).describe()
    assert all(a != b for i, a in enumerate(descriptions) for b in descriptions[:i])


def test_avatars_are_a_source() -> None:
    assert "avatars" in source_names()


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'avatars'"):
        find_source("avatar", BuildOptions())


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"data\.images=0.*data\.resolution=7.*data\.shard_bytes"):
        BuildOptions(images=0, resolution=7, shard_bytes=5)


@pytest.mark.parametrize(("count", "tests"), [(1, 0), (8, 1), (15, 1), (8192, 1024)])
def test_the_last_eighth_is_for_tests(count: int, tests: int) -> None:
    splits = [split_of(i, count) for i in range(count)]
    assert splits == ["train"] * (count - tests) + ["test"] * tests
