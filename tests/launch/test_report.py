"""The verbs that look at a run, on a run that was made in this process."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from cluster.metrics_log import MetricsLog
from cluster.storage import open_store
from datasets.loader import ShardBatches
from ganinv.errors import StorageError
from ganinv.loop import describe
from ganinv.seams import no_reduction
from ganinv.training import split_batch, train_batch
from launch import checkpoints, report
from launch.trained import load_trained
from tests.support.made_runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run of a few steps, checkpointed and logged as training does."""
    made = make_run(tmp_path_factory.mktemp("run"), 160, "train.images=96")
    session, config = made.session, made.config.train
    log = MetricsLog(made.store, 0)
    source = ShardBatches(made.data, made.index, "train", seed=0, global_batch=16)
    for batch in source.batches(session.position):
        train_batch(session, batch, config, split_batch(config, 1), no_reduction)
        log.append(describe(session, no_reduction) | {"throughput/images_per_second": 100.0})
        if session.images_seen >= config.images:
            break
    log.flush()
    return made.save()


def test_the_page_shows_pictures_of_the_averaged_model(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.html"
    options = [f"storage.run={run}", f"report.file={file}", "report.samples=8", "report.pairs=4"]
    assert report.main([*options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(file)}
    html = file.read_text()
    assert "PVDGAN after 96 images" in html
    pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    sizes = {Image.open(io.BytesIO(base64.b64decode(p))).size for p in pictures}
    assert (16, 16) in sizes
    # 8 samples, 4 pairs, 4 interpolations of 9 with 2 ends, 3 traversals of 9
    assert len(pictures) == 8 + 2 * 4 + 4 * (9 + 2) + 3 * 9


def test_interpolations_begin_and_end_with_reconstructions(run: str) -> None:
    trained = load_trained(open_store(run))
    real = torch.rand(4, 3, 16, 16) * 2 - 1
    between = report._interpolations(trained.model, real).unflatten(0, (2, -1))
    reconstructed = trained.model.reconstruct(real)
    torch.testing.assert_close(between[:, 0], reconstructed[0::2])
    torch.testing.assert_close(between[:, -1], reconstructed[1::2])


def test_checkpoints_are_listed(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoints.main([f"storage.run={run}", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["checkpoints"]
    assert [row["images_seen"] for row in rows] == [96]
    assert checkpoints.main([f"storage.run={run}"]) == 0
    assert rows[0]["name"][:12] in capsys.readouterr().out


def test_a_folder_without_checkpoints_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no checkpoint yet"):
        report.main([f"storage.run={tmp_path}"])
