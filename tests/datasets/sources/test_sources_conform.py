"""The contract of every source; a new file in `datasets/sources/` is tested automatically."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.shards.splits import split_of
from datasets.sources.base import BuildOptions, Inputs, Sample, Source, spread
from datasets.sources.find import find_source, source_names
from ganinv.errors import ConfigError
from tests.support.photo_inputs import IMAGES, MAKERS, TRAINING

INPUTS = Inputs(open_store=open_store, show_progress=lambda _: no_progress)
# Sources that draw make as many images as requested, the last eighth for tests.
DRAWN_TRAINING = IMAGES - IMAGES // 8

MakeSource = Callable[..., Source]


@pytest.fixture(scope="module")
def made_inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return {name: make(folder / name) for name, make in MAKERS.items()}


@pytest.fixture
def make_source(made_inputs: dict[str, Path]) -> MakeSource:
    def make(name: str, **changes: Any) -> Source:
        given: dict[str, Any] = {"resolution": 16, "seed": 3}
        if name in MAKERS:
            given["input"] = str(made_inputs[name])
        else:
            given["images"] = IMAGES
        return find_source(name, BuildOptions(**given | changes), INPUTS)

    return make


def _samples(source: Source) -> list[Sample]:
    return list(source.samples())


def _equal(a: list[Sample], b: list[Sample]) -> bool:
    return len(a) == len(b) and all(
        (x.key, x.attributes, x.split) == (y.key, y.attributes, y.split)
        and np.array_equal(x.image_HWC, y.image_HWC)
        for x, y in zip(a, b, strict=True)
    )


def _training(name: str) -> int:
    return TRAINING if name in MAKERS else DRAWN_TRAINING


@pytest.mark.parametrize("name", source_names())
def test_count_resolution_keys_and_split(name: str, make_source: MakeSource) -> None:
    source = make_source(name)
    samples = _samples(source)
    assert len(samples) == source.count == IMAGES
    assert all(s.image_HWC.shape == (16, 16, 3) for s in samples)
    assert all(s.image_HWC.dtype == np.uint8 for s in samples)
    keys = [s.key for s in samples]
    training = _training(name)
    assert len(set(keys)) == IMAGES
    assert keys[:training] == sorted(keys[:training])
    assert keys[training:] == sorted(keys[training:])
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) for key in keys)
    assert [s.split for s in samples] == ["train"] * training + ["test"] * (IMAGES - training)
    assert source.description()["source"] == name


@pytest.mark.parametrize("name", source_names())
def test_work_starts_at_any_sample_and_pickles(name: str, make_source: MakeSource) -> None:
    source = make_source(name)
    whole = _samples(source)
    for first in (0, 1, 6, TRAINING, IMAGES - 1, IMAGES):
        pieces = [pickle.loads(pickle.dumps(work)) for work in source.work(first)]  # noqa: S301
        assert _equal([sample for work in pieces for sample in work()], whole[first:])


@pytest.mark.parametrize("name", source_names())
def test_descriptions_tell_data_sets_apart(name: str, make_source: MakeSource) -> None:
    changes: list[dict[str, Any]] = [{}, {"images": IMAGES - 1}, {"resolution": 64}]
    changes.append({"resize": "stretch"} if name in MAKERS else {"seed": 1})
    descriptions = [make_source(name, **change).description() for change in changes]
    assert descriptions[0] == make_source(name).description()
    assert all(a != b for i, a in enumerate(descriptions) for b in descriptions[:i])


@pytest.mark.parametrize("name", sorted(set(source_names()) - set(MAKERS)))
def test_the_seed_decides_what_is_drawn(name: str, make_source: MakeSource) -> None:
    assert _equal(_samples(make_source(name)), _samples(make_source(name)))
    assert not _equal(_samples(make_source(name)), _samples(make_source(name, seed=4)))


@pytest.mark.parametrize("name", MAKERS)
def test_missing_and_too_small_inputs_are_refused(
    name: str, make_source: MakeSource, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"data\.input is missing"):
        make_source(name, input=None)
    with pytest.raises(ConfigError, match=r"holds 19 images, but 20 were requested"):
        make_source(name, images=20)
    some = _samples(make_source(name, images=8))
    assert {s.split for s in some} == {"train", "test"}
    tmp_path.joinpath("empty").mkdir()
    with pytest.raises(Exception, match=r"data\.input="):
        make_source(name, input=str(tmp_path / "empty"))


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'avatars'"):
        find_source("avatar", BuildOptions(), INPUTS)


def test_options_that_a_source_would_ignore_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"attributes=t\.csv is read only for a folder"):
        find_source("avatars", BuildOptions(attributes=Path("t.csv")), INPUTS)
    with pytest.raises(ConfigError, match=r"data\.input=x and the folder .* both say where"):
        find_source(str(tmp_path), BuildOptions(input="x"), INPUTS)


def test_all_wrong_options_are_named_in_one_error() -> None:
    expected = (
        r"data\.resolution=7 .*data\.resize=bend .*data\.images=0.*data\.workers=0.*"
        r"data\.shard_bytes=5.*data\.max_pixels=0 is below 1"
    )
    with pytest.raises(ConfigError, match=expected):
        BuildOptions(images=0, resolution=7, resize="bend", shard_bytes=5, workers=0, max_pixels=0)


@pytest.mark.parametrize(("count", "tests"), [(1, 0), (8, 1), (15, 1), (8192, 1024)])
def test_the_last_eighth_is_for_tests(count: int, tests: int) -> None:
    splits = [split_of(i, count) for i in range(count)]
    assert splits == ["train"] * (count - tests) + ["test"] * tests


def test_a_selection_is_spread_over_all_images() -> None:
    assert spread(range(10), None, "x") == list(range(10))
    assert spread(range(10), 4, "x") == [0, 2, 5, 7]
