"""`data.label`: what is refused, and the classes of a data set."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cluster.run_folder.options_record import write_options
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.shards.index import Index
from datasets.shards.splits import Split
from datasets.sources.base import BuildOptions, Sample, Source, Work
from datasets.streaming.mix import DataSet
from ganinv.errors import ConfigError, DataError
from ganinv.latents.labelled import Condition
from launch.options.loading import load_config, load_recipe
from launch.options.schema import RunConfig
from launch.sweeping.checking import check, planned
from launch.sweeping.grid import grid_of
from launch.sweeping.judging import judge_named
from launch.wiring.labels import with_found_condition, with_recorded_condition
from launch.wiring.same_run import check_options, record


class _Kinds(Source):
    """Grey images with the attributes given, the last for tests."""

    def __init__(self, *attributes: dict[str, Any]) -> None:
        self._attributes = attributes
        self.count = len(attributes)

    def work(self, first: int) -> Iterator[Work]:
        for place in range(first, self.count):
            yield partial(self._make, place)

    def _make(self, place: int) -> list[Sample]:
        image_HWC = np.full((16, 16, 3), place % 256, np.uint8)
        split: Split = "test" if place == self.count - 1 else "train"
        own = self._attributes[place]
        return [Sample(key=f"{place:04d}", image_HWC=image_HWC, attributes=own, split=split)]

    def description(self) -> dict[str, Any]:
        return {"kinds": len(self._attributes)}


def configured(folder: Path, *words: str) -> RunConfig:
    places = [f"storage.run={folder}/run", f"data.url={folder}/data"]
    return load_config(load_recipe("tiny-pvdgan"), [*places, "data.label=kind", *words])


def found(folder: Path, kinds: list[Any], *words: str) -> tuple[RunConfig, list[str]]:
    store = open_store(f"{folder}/data")
    attributes = [{} if kind is None else {"kind": kind} for kind in [*kinds, "unseen"]]
    index = build(_Kinds(*attributes), store, BuildOptions(resolution=16, workers=1))
    said: list[str] = []
    data_sets = [DataSet(store=store, index=index)]
    return with_found_condition(configured(folder, *words), data_sets, said.append), said


def test_classes_are_found_once_and_then_recorded(tmp_path: Path) -> None:
    """In the order of their numbers; held-out images do not count."""
    config, said = found(tmp_path, [10, 2, 2, 10, 2.0])
    expected = Condition(attribute="kind", classes=["2", "10"], counts=[3, 2])
    assert config.objective.condition == expected
    assert said == ["classes of the label kind: 2 (60.0%), 10 (40.0%)"]
    assert config.resolved["objective"]["condition"]["classes"] == ["2", "10"]
    began = dict(config.resolved)
    resumed = with_recorded_condition(configured(tmp_path), began)
    assert resumed.objective.condition == expected
    check_options(began, resumed, "here")
    other = with_recorded_condition(configured(tmp_path, "data.label=size"), began)
    with pytest.raises(ConfigError, match=r"objective\.condition\.attribute = None: the run began"):
        check_options(began, other, "here")


def test_listed_classes_keep_their_order(tmp_path: Path) -> None:
    config, _ = found(tmp_path, ["a", "b", "b"], "data.classes=[b,c,a]")
    assert config.objective.condition.classes == ["b", "c", "a"]
    assert config.objective.condition.counts == [2, 0, 1]


@pytest.mark.parametrize(
    ("kinds", "words", "message"),
    [
        (["a", "b", None], [], "'kind': the sample '0002' has no such attribute"),
        (["a", "a"], [], "'kind': all images are of the class a"),
        (["a", "b"], ["data.classes=[a,c]"], r"'0001' is of the class 'b'; add it"),
        (list(range(1001)), [], "'kind': has more than 1000 classes, such as 0, 1"),
    ],
)
def test_data_that_cannot_be_used(
    tmp_path: Path, kinds: list[Any], words: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        found(tmp_path, kinds, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["objective.name=vaegan"], "'kind': the method vaegan has no conditional form; choose "
         "objective.name=dedgan or dlsgan or pvdgan"),
        (["network.name=stylegan2"], "'kind': the networks of stylegan2 see no labels; choose "
         "network.name=conv or r3gan"),
        (["data.label=null", "data.classes=[a,b]"], "are those of a label; also give data.label"),
        (["objective.condition.classes=[a,b]", "objective.condition.counts=[1,1]"],
         "are those of data.label, which finds them; give data.label"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_used(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(tmp_path, *words)


def test_a_sweep_knows_the_classes_before_it_starts_and_when_it_goes_on(tmp_path: Path) -> None:
    found(tmp_path, ["a", "b"] * 8)
    recipe, out = load_recipe("tiny-pvdgan"), Console(quiet=True)
    words = [f"storage.run={tmp_path}/sweep", f"data.url={tmp_path}/data", "train.seed=0,1"]

    def checked(*more: str) -> set[str]:
        grid = grid_of(recipe, [*words, *more], limit=2)
        folder, plans = planned(recipe, grid)
        return check(plans, folder, judge_named("psnr_db_test", folder.evaluate), out)

    with pytest.raises(DataError, match="has no such attribute"):
        checked("data.label=colour")
    assert checked("data.label=kind") == set()
    (first, _) = planned(recipe, grid_of(recipe, [*words, "data.label=kind"], limit=2))[1]
    data = open_store(f"{tmp_path}/data")
    index = Index.load(data)
    begun = with_found_condition(first.config, [DataSet(store=data, index=index)], out.print)
    write_options(first.store(), record(begun, index))
    assert checked("data.label=kind") == set()
