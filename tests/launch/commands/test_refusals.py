"""Commands that cannot work end at once: the status of their kind, and one clear sentence.

Where nothing but the sentence matters, the verb runs in this process. How an error of ours becomes
a status and a sentence without a traceback, two options and two kinds of credentials show.
"""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from cluster.run_folder.corrupt_samples import quarantined
from cluster.storage.opening import open_store
from datasets.shards.tables import SampleTable
from ganinv.errors import GanInvError
from tests.support.commands import here, launch

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    options = (f"data.url={folder}", "data.images=128", "data.resolution=16")
    assert here("data", "build", "avatars", *options) == 0
    return str(folder)


def refused(status: int, *words: str, environment: dict[str, str] | None = None) -> str:
    done = launch(*words, environment=environment)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def refused_here(status: int, *words: str) -> str:
    with pytest.raises(GanInvError) as caught:
        here(*words)
    assert caught.value.exit_status == status
    return str(caught.value)


def train(run: str, data: str, *more: str) -> tuple[str, ...]:
    return ("train", "tiny-pvdgan", f"storage.run={run}", f"data.url={data}", *more)


def test_wrong_options(tmp_path: Path) -> None:
    said = refused(2, *train(str(tmp_path), str(tmp_path), "train.imagse=3", "train.seed=x"))
    assert "did you mean 'train.images'" in said
    assert "train.seed = 'x'" in said
    assert "choose data, train" in refused(2, "trian")
    said = refused_here(2, "train", "avatars32", "storage.run=a", "data.url=b")
    assert "avatars32-pvdgan" in said


def test_a_network_that_cannot_have_this_resolution(tmp_path: Path, data_url: str) -> None:
    said = refused_here(2, *train(str(tmp_path), data_url, "network.feature_block=-9"))
    assert "feature_block = -9" in said


@pytest.mark.parametrize("place", ["run", "data"])
def test_wrong_credentials(
    object_store: Any, s3_environment: dict[str, str], tmp_path: Path, data_url: str, place: str
) -> None:
    environment = {**s3_environment, "AWS_SECRET_ACCESS_KEY": "planted-wrong-secret"}
    places = {"run": str(tmp_path), "data": data_url, place: "s3://tests/refused"}
    words = train(places["run"], places["data"])
    said = refused(3, *words, environment=environment)
    assert "s3://tests/refused" in said
    assert "credentials" in said
    assert "planted-wrong-secret" not in said


def test_a_missing_bucket(s3_environment: dict[str, str], data_url: str) -> None:
    said = refused_here(3, *train("s3://no-such-bucket/run", data_url))
    assert "no-such-bucket" in said


def test_an_unreachable_endpoint(s3_environment: dict[str, str], data_url: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    words = train("s3://tests/run", data_url, f"storage.endpoint_url={endpoint}")
    assert endpoint in refused_here(3, *words)


def test_no_data_set_and_none_wanted(tmp_path: Path) -> None:
    words = train(str(tmp_path / "run"), str(tmp_path / "none"), "data.build=false")
    assert "holds no data set" in refused_here(3, *words)


@pytest.mark.parametrize("size_bytes", [1000, 0])
def test_a_truncated_or_empty_shard(tmp_path: Path, data_url: str, size_bytes: int) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_url, copy)
    shard = sorted(copy.rglob("*.tar"))[0]
    shard.write_bytes(shard.read_bytes()[:size_bytes])
    assert shard.name in refused_here(3, *train(str(tmp_path / "run"), str(copy)))


def test_damaged_images_are_named_and_too_many_end_the_run(tmp_path: Path, data_url: str) -> None:
    """Found by workers, each of which reads its own part of the data."""
    copy, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data_url, copy)
    for table in copy.rglob("train/*.index.safetensors"):
        tar = Path(str(table).replace(".index.safetensors", ".tar"))
        data = bytearray(tar.read_bytes())
        for member in list(SampleTable(table.read_bytes()))[::8]:
            data[member.image_start + member.image_bytes // 2] ^= 1
        tar.write_bytes(data)
    done = launch(*train(str(run), str(copy), "data.max_quarantined=2"))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "quarantined and not used: image '" in done.stdout
    assert "data.max_quarantined_ratio allow" in done.stderr
    kept = quarantined(open_store(str(run)))
    assert len(kept) >= 2
    assert any(f"'{sample.key}' in {sample.url}/{sample.shard}" in done.stderr for sample in kept)


def test_what_does_not_mix(tmp_path: Path, data_url: str) -> None:
    other = tmp_path / "larger"
    options = (f"data.url={other}", "data.images=16", "data.resolution=32")
    assert here("data", "build", "avatars", *options) == 0
    words = train(str(tmp_path / "run"), data_url, f"data.mix=[{{url: {other}}}]")
    assert "images of 32 pixels" in refused_here(3, *words)


def test_fewer_images_than_a_batch(tmp_path: Path, data_url: str) -> None:
    said = refused_here(2, *train(str(tmp_path / "run"), data_url, "train.global_batch=512"))
    assert "512" in said
