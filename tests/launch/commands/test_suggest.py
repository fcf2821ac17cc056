"""`ganinv suggest`: what it prints, what it writes, what it refuses."""

import json
from pathlib import Path

import pytest

from cluster.storage.opening import open_store
from datasets.shards.index import Index
from datasets.shards.shard import Shard
from datasets.shards.splits import Split
from ganinv.errors import ConfigError
from launch.commands.suggest import main
from launch.options.loading import load_config, load_recipe

SIZE = ("suggest.images=3000", "suggest.resolution=16", "suggest.gpu=cpu", "suggest.gpus=2")


def test_the_size_comes_from_the_data_and_the_recipe_trains_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "my.yaml"
    save_index(data, 4_000)
    assert main([f"data.url={data}", f"suggest.to={file}"]) == 0
    said = capsys.readouterr().out
    for text in ("for 4,000 images of 32x16 pixels", "Very few images", "about ", "StyleGAN2-ADA"):
        assert text in said
    assert "γ = 0.0002 · 32 × 16 / 32 = 0.0032" in file.read_text()
    config = load_config(load_recipe(str(file)), ["storage.run=a"])
    assert (config.data.url, config.data.resolution) == (str(data), "32x16")


def save_index(folder: Path, samples: int) -> None:
    """Of a data set without its tars: a suggestion reads no image."""
    folder.mkdir()
    shard = Shard(name="a.tar", size_bytes=1, sha256=None, samples=samples, table_sha256="")
    splits: dict[Split, tuple[Shard, ...]] = {"train": (shard,), "test": ()}
    Index(description={}, width=32, height=16, splits=splits).save(open_store(str(folder)))


def test_data_without_images_is_refused(tmp_path: Path) -> None:
    save_index(tmp_path / "data", 0)
    with pytest.raises(ConfigError, match="holds no training images"):
        main([f"data.url={tmp_path / 'data'}"])


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SIZE, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recipe"]["train"]["global_batch"] == 16
    assert 0 < found["hours"][""]["least"] < found["hours"][""]["estimate"]
    reasons = {row["key"]: row for row in found["reasons"][""]}
    assert reasons["objective.lambda_r1"]["source"] == "recipe demo-pvdgan"
    assert all(row["why"] and row["source"] for row in reasons.values())


def test_a_file_is_replaced_only_where_asked(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"exists already; .* suggest\.overwrite=true"):
        main([*SIZE, f"suggest.to={file}"])
    assert file.read_text() == "mine"
    assert main([*SIZE, f"suggest.to={file}", "suggest.overwrite=true"]) == 0
    assert load_recipe(str(file))["objective"]["name"] == "pvdgan"
    assert [found.name for found in tmp_path.iterdir()] == ["my.yaml"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), r"data\.url: not given; .* suggest\.images"),
        (("suggest.images=3",), r"data\.url: not given"),
        ((*SIZE, "data.url=a"), "leave out suggest.images"),
        (("suggest.images=3", "suggest.resolution=30"), "resolution = 30"),
        ((*SIZE[:2], "suggest.gpu=tpu"), "gpu"),
        ((*SIZE[:2], "suggest.gpus=0"), "gpus = 0: must be at least 1"),
        ((*SIZE, "suggest.method=stylegan"), "method = 'stylegan': unknown name; choose ali"),
        ((*SIZE, "suggest.family=big"), "family = 'big': unknown name; choose conv"),
        ((*SIZE, "suggest.to=a.txt"), "end with .yaml"),
        ((*SIZE, "suggest.to=/nowhere/a.yaml"), "its folder does not exist"),
        ((*SIZE, "suggest.family=stylegan2", "suggest.method=lia"), "also needs e"),
    ],
)
def test_refusals(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        main(list(words))
