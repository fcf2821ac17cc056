"""A run resumes as it began, or nothing of it is touched; its newest manifest says how it began."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from cluster.checkpoints import contents
from cluster.checkpoints.contents import restore
from cluster.run_folder.options_record import NAME, began_with, read_options
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv.errors import ConfigError, DataError, GanInvError, StorageContentError
from launch.commands import train
from launch.options.loading import load_config, load_recipe
from launch.options.schema import RunConfig
from launch.wiring.networks import with_start_checkpoint
from launch.wiring.same_run import changes, check_data, check_options
from tests.support.made_runs import MadeRun, make_run
from tests.support.saves import save

PLACES = ("storage.run=/run", "data.url=/data")


def config_of(*words: str) -> RunConfig:
    return load_config(load_recipe("tiny-dlsgan"), [*PLACES, *words])


def test_a_run_goes_on_as_it_began_or_not_at_all() -> None:
    began = config_of().resolved
    decaying = config_of("train.learning_rate_decay=0.5", "train.learning_rate_decay_every=9")
    check_options(began, decaying, "/run")
    assert [change.partition(":")[0] for change in changes(began, decaying)] == [
        "train.learning_rate_decay",
        "train.learning_rate_decay_every",
    ]
    with pytest.raises(ConfigError, match=r"objective.r1_every = 4: the run began with 1"):
        check_options(began, config_of("objective.r1_every=4"), "/run")


def test_a_run_with_schedules_is_unchanged_when_it_resumes() -> None:
    falling = "{kind: cosine, start: 0.01, end: 0.001}"
    words = (f"train.learning_rate={falling}", f"objective.lambda_enc={falling}")
    began = config_of(*words).resolved
    check_options(began, config_of(*words), "/run")
    assert changes(began, config_of(*words)) == []
    longer = changes(began, config_of(words[0].replace("}", ", until: 9}"), words[1]))
    assert [change.partition(":")[0] for change in longer] == ["train.learning_rate.until"]


def test_a_run_from_before_an_option_existed_goes_on() -> None:
    options = config_of().resolved
    old = {k: v for k, v in options["objective"].items() if k != "r1_every"}
    began = {**options, "objective": old}
    check_options(began, config_of(), "/run")
    assert changes(began, config_of()) == []  # its default is what the run had
    lazy = config_of("objective.r1_every=4")
    check_options(began, lazy, "/run")
    assert changes(began, lazy) == ["objective.r1_every: 1 → 4"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    run = make_run(tmp_path_factory.mktemp("made"), 64, "data.images=64", "data.resolution=16")
    run.save()
    return run


@pytest.fixture
def run(made: MadeRun, tmp_path: Path) -> MadeRun:
    """A copy of a run with a checkpoint, to which its `config.yaml` is lost."""
    shutil.copytree(made.config.storage.run, tmp_path / "run")
    store = open_store(str(tmp_path / "run"))
    store.delete([NAME])
    return replace(made, store=store)


class Started(Exception):  # noqa: N818 (workers would start now)
    pass


def resume(run: MadeRun, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Type `train` up to the start of the workers."""

    def start(*_: object) -> None:
        raise Started

    monkeypatch.setattr(train, "WorkerGroup", start)
    places = [f"storage.run={run.store.url}", f"data.url={run.config.data.url}"]
    options = [*places, "data.images=64", "data.resolution=16", *words]
    train.train(load_config(load_recipe("tiny-pvdgan"), options), Console(quiet=True))


def content(run: MadeRun) -> dict[str, bytes]:
    names = [e.name for e in run.store.list() if not e.name.startswith("lease/")]
    return {name: run.store.read(name) for name in names}


def refused(
    run: MadeRun, monkeypatch: pytest.MonkeyPatch, kind: type[GanInvError], text: str, *words: str
) -> None:
    before = content(run)
    with pytest.raises(kind, match=text):
        resume(run, monkeypatch, *words)
    assert content(run) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("train.seed=7", "train.global_batch=8"), "global_batch = 8: the run began with 16"),
        (("network.width=16",), "network.width = 16: the run began with"),
        (("objective.name=dlsgan",), "objective.name = 'dlsgan': the run began with 'pvdgan'"),
        (("start.run=elsewhere", "start.checkpoint=x"), "start.run = .*began with None"),
    ],
)
def test_other_options_are_refused_without_config_yaml(
    run: MadeRun, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], text: str
) -> None:
    refused(run, monkeypatch, ConfigError, text, *words)


def test_a_manifest_overrules_config_yaml(run: MadeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of an older version may have overwritten it with other options and data."""
    began = began_with(run.store)
    assert began is not None
    other = {**began, "data_fingerprint": "other", "train": {**began["train"], "seed": 7}}
    for text in (yaml.safe_dump(other), "{", "a list", ""):
        run.store.write(NAME, text.encode())
        with pytest.raises(Started):
            resume(run, monkeypatch)
        found = read_options(run.store)
        assert found is not None
        assert (found["train"], found["data_fingerprint"]) == (
            began["train"],
            began["data_fingerprint"],
        )


def test_other_data_are_refused_before_the_record_is_written(
    run: MadeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = BuildOptions(images=64, resolution=16, seed=1)
    other = open_store(str(tmp_path / "other"))
    index = build(AvatarSource(options), other, options)
    text = f"its fingerprint is {index.fingerprint}, and that of the run is {run.index.fingerprint}"
    refused(run, monkeypatch, DataError, text, f"data.url={other.url}")
    with pytest.raises(Started):  # and then the right data are not refused
        resume(run, monkeypatch)


def test_data_that_moved_are_accepted_and_never_built_anew(
    run: MadeRun,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    moved, missing = tmp_path / "moved", tmp_path / "mistyped"
    shutil.copytree(run.config.data.url, moved)
    text = f"holds no data set, .* fingerprint {run.index.fingerprint}, then at .*/data; give"
    refused(run, monkeypatch, DataError, text, f"data.url={missing}")
    assert not missing.exists()
    with pytest.raises(Started):
        resume(run, monkeypatch, f"data.url={moved}")
    began = read_options(run.store)
    assert began is not None
    assert began["data"]["url"] == str(moved)


def test_a_run_resumes_with_the_start_that_its_manifest_records() -> None:
    began = {"start": {"run": "/other", "checkpoint": "recorded"}}
    config = with_start_checkpoint(config_of("start.run=/other"), began)
    assert config.start.checkpoint == "recorded"
    assert config.resolved["start"]["checkpoint"] == "recorded"


def test_a_run_without_a_checkpoint_is_known_by_its_config_yaml(
    run: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = began_with(run.store)
    run.store.delete([entry.name for entry in run.store.list("checkpoints/")])
    run.store.write(NAME, yaml.safe_dump(began).encode())
    refused(run, monkeypatch, ConfigError, "train.seed = 7: the run began", "train.seed=7")
    for damaged in ("{", "- 1", "", "train: {seed: 0}", "\x00"):
        run.store.write(NAME, damaged.encode())
        refused(run, monkeypatch, StorageContentError, r"config\.yaml is not that of a run \(")


def test_metrics_that_cannot_be_continued_are_refused_before_workers_start(
    run: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.store.write("metrics.jsonl", b'{"images_seen": 1\n{"images_seen": 2}\n')
    refused(run, monkeypatch, StorageContentError, r"metrics\.jsonl, line 1 cannot be read")
    run.store.write("metrics.jsonl", b'{"images_seen": 1}\n{"images_seen": 2')
    with pytest.raises(Started):
        resume(run, monkeypatch)


def test_another_mix_is_refused() -> None:
    mixed = config_of("data.mix=[{url: /more}]")
    index = type("Index", (), {"fingerprint": "f"})()
    began = {**mixed.resolved, "data_fingerprint": "f", "mix_fingerprint": "m"}
    check_data(began, mixed, index, "m", "/run")
    with pytest.raises(DataError, match="joint fingerprint is n, and that of the run is m"):
        check_data(began, mixed, index, "n", "/run")
    with pytest.raises(DataError, match="joint fingerprint is None, and that of the run is m"):
        check_data(began, config_of(), index, None, "/run")
    alone = {**config_of().resolved, "data_fingerprint": "f", "mix_fingerprint": None}
    with pytest.raises(DataError, match="joint fingerprint is m, and that of the run is None"):
        check_data(alone, mixed, index, "m", "/run")
    old = {**began, "mix_fingerprint": None}  # its manifest is older than this fingerprint
    check_data(old, mixed, index, "m", "/run")


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"data_fingerprint": "g"}, {"mix_fingerprint": "m"}, {"image_resolution": 32}],
)
def test_a_worker_compares_what_it_loads(
    made: MadeRun, tmp_path: Path, change: dict[str, object]
) -> None:
    """Data may be replaced while a run trains, and a node may have other data at the same path."""
    store = open_store(str(tmp_path))
    identity = replace(made.identity, mix_fingerprint="n")
    save(made.session, store, identity=identity)
    assert restore(made.session, store, identity) is not None
    (key,) = change
    with pytest.raises(StorageContentError, match=f"{key} = .* on rank 0 it is"):
        restore(made.session, store, replace(identity, **change))  # type: ignore[arg-type]


def test_a_node_with_other_data_is_noticed_before_training(
    made: MadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(made.identity, data_fingerprint="of rank 0")
    monkeypatch.setattr(contents, "broadcast_object", lambda _: (None, None, first))
    with pytest.raises(DataError, match=r"data_fingerprint = .*, but rank 0 has 'of rank 0'"):
        restore(made.session, open_store(str(tmp_path)), made.identity)
