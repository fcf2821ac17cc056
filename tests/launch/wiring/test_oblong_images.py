"""Images of 32 × 24 pixels, from `data build` to pages, exports and codes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cluster.checkpoints import contents as checkpoint
from datasets.shards.verify import verify
from datasets.sources.base import BuildOptions
from datasets.sources.discs import DiscSource
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv import load
from ganinv.errors import ConfigError, DataError
from ganinv.saved.loading import load_run
from ganinv.seams.batches import Position
from ganinv.seams.engine import no_reduction
from ganinv.training.config import lay_out_batch
from ganinv.training.session import train_batch
from launch.commands import evaluate, report
from launch.commands.models import export, invert
from launch.options.loading import load_config, load_recipe
from launch.wiring.preflight import check_evaluation
from launch.wiring.same_run import check_data, check_options, record
from tests.support.made_runs import MadeRun, make_run
from tests.support.pages import Document
from tests.support.runs import snapshot
from tests.support.states import equal

WORDS = ("data.source=discs", "data.resolution=32x24", "train.images=96", "evaluate.test_images=8")
IMAGES = 64
SHAPE = (3, 24, 32)  # of an image


def _train(made: MadeRun, start: Position, images: int) -> None:
    source = ShardBatches(
        [DataSet(store=made.data, index=made.index)], "train", seed=0, global_batch=16
    )
    config = made.config.train
    batches = source.batches(start)
    while made.session.images_seen < images:
        batch = next(batches)
        assert batch.images_BCHW.shape[1:] == SHAPE
        train_batch(made.session, batch, config, lay_out_batch(config, 1), no_reduction)
    batches.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """A run of two steps, and its checkpoint."""
    found = make_run(tmp_path_factory.mktemp("run"), IMAGES, *WORDS)
    _train(found, found.session.position, 32)
    found.save()
    return found


def test_the_data_set_holds_what_was_drawn(made: MadeRun) -> None:
    assert (made.index.width, made.index.height, made.index.resolution) == (32, 24, "32x24")
    assert verify(made.index, made.data) == []
    assert check_evaluation(made.config, made.index) is None  # nothing is left out
    drawn = next(iter(DiscSource(BuildOptions(images=IMAGES, resolution="32x24")).samples()))
    batches = ShardBatches(
        [DataSet(store=made.data, index=made.index)], "train", seed=0, global_batch=56
    ).batches(Position(epoch=0, images=0))
    batch = next(batches)
    batches.close()
    image_CHW = batch.images_BCHW[batch.keys.index(drawn.key)]
    assert np.array_equal(image_CHW.permute(1, 2, 0).numpy(), drawn.image_HWC)


def test_a_resumed_run_is_the_uninterrupted_one(made: MadeRun, tmp_path: Path) -> None:
    again = make_run(tmp_path, IMAGES, *WORDS)
    manifest = checkpoint.restore(again.session, made.store, made.identity)
    assert manifest is not None
    assert manifest.image_resolution == "32x24"
    assert manifest.images_seen == 32
    for run in (again, made):  # the other tests use the checkpoint alone
        _train(run, run.session.position, 64)
    equal(snapshot(again.session), snapshot(made.session))


def test_evaluation_and_page(
    made: MadeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = f"storage.run={made.config.storage.run}", tmp_path / "page.html"
    assert evaluate.main([run, "evaluate.features=[pixels,own]", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    values = {row["name"]: row["value"] for row in found["figures"]}
    assert np.isfinite(
        [values[name] for name in ("eval/ssim_test", "eval/psnr_db_test", "eval/swd_own")]
    ).all()
    few = ["report.samples=2", "report.pairs=2", "report.rows=1"]
    assert report.main([run, f"report.file={file}", *few]) == 0
    document = Document(file.read_text())
    assert {picture.shape for picture in document.images()} == {(24, 32, 3)}
    assert "32x24 pixels" in document.text


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_exports_and_codes(made: MadeRun, tmp_path: Path) -> None:
    """Pictures of any shape are cropped to 4 : 3."""
    run = f"storage.run={made.config.storage.run}"
    assert export.main([run, f"export.to={tmp_path}/exported", "export.torchscript=true"]) == 0
    model, trained = load(tmp_path / "exported"), load_run(made.store).model
    assert model.image_shape == trained.image_shape == SHAPE
    sample_BCHW = trained.sample(3, 0)
    assert torch.equal(model.sample(3, 0), sample_BCHW)
    graph = torch.jit.load(str(tmp_path / "exported" / "encoder.pt"))
    torch.testing.assert_close(graph(sample_BCHW), model.encode(sample_BCHW), rtol=1e-4, atol=1e-5)
    folder = tmp_path / "pictures"
    folder.mkdir()
    tall = np.zeros((64, 32, 3), np.uint8)
    tall[20:44] = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(tall).save(folder / "tall.png")
    words = [f"invert.images={folder}", f"invert.to={tmp_path}/inverted"]
    assert invert.main([f"invert.model={tmp_path}/exported", *words]) == 0
    codes = np.load(tmp_path / "inverted" / "codes.npz")["codes"]
    image_BCHW = torch.from_numpy(tall[20:44]).permute(2, 0, 1)[None] / 127.5 - 1
    np.testing.assert_allclose(codes, model.encode(image_BCHW).numpy(), atol=1e-5)
    with Image.open(tmp_path / "inverted" / "reconstructions" / "tall.png") as picture:
        assert picture.size == (32, 24)
    with pytest.raises(DataError, match=r"takes B × 3 × 24 × 32"):
        model.encode(torch.zeros(1, 3, 32, 24))


def test_another_shape_is_another_run(made: MadeRun) -> None:
    other = dataclasses.replace(made.index, width=24, height=32)
    began = record(made.config, made.index)
    check_data(began, made.config, made.index, None, "here")
    check_options(began, made.config, "here")
    with pytest.raises(DataError, match="fingerprint"):
        check_data(began, made.config, other, None, "here")


@pytest.mark.parametrize("resolution", ["32x", "0x24", "wide"])
def test_what_is_no_size_is_refused_with_its_key(resolution: str) -> None:
    places = ["storage.run=/a", "data.url=/b", f"data.resolution={resolution}"]
    with pytest.raises(ConfigError, match=rf"^data\.resolution = {resolution}: is neither pixels"):
        load_config(load_recipe("tiny-pvdgan"), places)
