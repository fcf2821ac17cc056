"""What is checked before a run starts."""

from pathlib import Path

import pytest
import yaml

import datasets
from cluster.storage import open_store
from datasets.index import Index
from ganinv.errors import ConfigError
from ganinv.seams import Store
from launch.config import load_config, load_recipe
from launch.preflight import check_packages, check_same_run, record

PLACES = ("storage.run=/run", "data.url=/data")

INDEX = Index(description={}, resolution=16, splits={"train": (), "test": ()})


def store_of_a_run(folder: Path, without: str = "") -> Store:
    store = open_store(str(folder))
    before = record(load_config(load_recipe("tiny-dlsgan"), PLACES), INDEX)
    before["objective"] = {k: v for k, v in before["objective"].items() if k != without}
    store.write("config.yaml", yaml.safe_dump(before).encode())
    return store


def test_a_run_goes_on_as_it_began_or_not_at_all(tmp_path: Path) -> None:
    store = store_of_a_run(tmp_path)
    config = load_config(
        load_recipe("tiny-dlsgan"),
        [*PLACES, "train.learning_rate_decay=0.5", "train.learning_rate_decay_every=9"],
    )
    changes = check_same_run(store, config, INDEX)
    assert [change.partition(":")[0] for change in changes] == [
        "train.learning_rate_decay",
        "train.learning_rate_decay_every",
    ]
    lazy = load_config(load_recipe("tiny-dlsgan"), [*PLACES, "objective.r1_every=4"])
    with pytest.raises(ConfigError, match=r"objective.r1_every = 4: the run began with 1"):
        check_same_run(store, lazy, INDEX)


def test_a_run_from_before_an_option_existed_goes_on(tmp_path: Path) -> None:
    store = store_of_a_run(tmp_path, without="r1_every")
    config = load_config(load_recipe("tiny-dlsgan"), PLACES)
    assert check_same_run(store, config, INDEX) == ["objective.r1_every: None → 1"]


def test_our_datasets_package_is_the_one_imported() -> None:
    check_packages()


def test_another_package_named_datasets_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = str(tmp_path / "site-packages" / "datasets" / "__init__.py")
    monkeypatch.setattr(datasets, "__file__", other)
    with pytest.raises(ConfigError, match=r"imported from .*site-packages"):
        check_packages()
