"""`ganinv profile` on a recipe: a table or JSON, and clear refusals before anything is measured."""

import json

import pytest
import torch

from ganinv.errors import ConfigError
from ganinv.profiling import events
from ganinv.profiling.clock import Clock
from launch.commands.profile import load, main
from tests.support.commands import launch

QUICK = ("profile.steps=1", "profile.repeats=1")


@pytest.fixture
def made_up_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves time: `tests/ganinv/profiling` profiles in earnest."""
    times = {"g: backward": 1.0}, {"convolutions": 1.0}
    monkeypatch.setattr(Clock, "best", lambda *_: 1e-3)
    monkeypatch.setattr(events, "record", lambda *_: times)


@pytest.mark.usefixtures("made_up_times")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("train.global_batch=4", "network.width=2", "network.max_width=4")
    assert main(["tiny-pvdgan", *words, *QUICK, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["workers"], found["resolution"]) == (2, 2, 16)
    assert found["limit_images_per_s"] > 0
    assert found["memory"]["on_gpu"] is None


@pytest.mark.usefixtures("made_up_times")
def test_images_need_not_be_square(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("train.global_batch=2", "cluster.workers=1", "network.max_width=4", *QUICK, "--json")
    for resolution in ("32", "32x24"):
        assert main(["tiny-pvdgan", *words, f"data.resolution={resolution}"]) == 0
    square, oblong = map(json.loads, capsys.readouterr().out.splitlines())
    assert (square["resolution"], oblong["resolution"]) == (32, "32x24")
    assert oblong["flop"] == pytest.approx(0.75 * square["flop"], rel=0.05)


@pytest.mark.usefixtures("made_up_times")
def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("train.global_batch=2", "cluster.workers=1", *QUICK)
    assert main(["tiny-pvdgan", *words]) == 0
    said = capsys.readouterr().out
    for text in ("2 images a step,", "of the limit", "g: backward", "convolutions", "MB an image"):
        assert text in said


@pytest.mark.parametrize(
    ("recipe", "words", "says"),
    [
        ("ffhq256-pvdgan", ("cluster.use_gpu=false",), "give data.resolution="),
        ("tiny-pvdgan", ("train.imagse=2",), "did you mean 'train.images'"),
        ("tiny-pvdgan", ("data.resolution=17", *QUICK), "resolution = 17"),
        ("tiny-pvdgan", ("profile.trace=/nowhere/a.json",), "its folder does not exist"),
        ("tiny-pvdgan", ("profile.steps=0",), "profile.steps = 0: must be at least 1"),
    ],
)
def test_refusals(recipe: str, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        main([recipe, *words])


def test_a_gpu_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"give cluster\.use_gpu=false"):
        load("tiny-pvdgan", ["cluster.use_gpu=true"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu(precision: str) -> None:
    options = ("cluster.use_gpu=true", f"train.precision={precision}", "data.resolution=64")
    done = launch("profile", "tiny-pvdgan", *options, *QUICK, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["memory"]["on_gpu"] > 0
    kinds = {row["name"]: row["seconds"] for row in found["kinds"]}
    assert kinds["convolutions"] > 0
    assert sum(kinds.values()) >= found["step"]["median"] * 0.99
    assert {rate["precision"] for rate in found["rates"]} >= (
        {"bfloat16"} if precision == "bf16" else {"float32"}
    )
