"""`ganinv.load`: intact and corrupt runs and exports."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

import ganinv
from cluster.checkpoints import contents as checkpoint
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError, GanInvError, StorageError
from ganinv.model import InvertibleGan
from ganinv.saved.exports import DESCRIPTION_NAME, MODEL_NAME, Description, export_files
from ganinv.saved.format import folder
from ganinv.saved.loading import load_run
from ganinv.saved.manifest import digest
from tests.support import saves
from tests.support.runs import NETWORK, train_locally

IMAGES = 32


def save(place: Path, images: int = IMAGES) -> tuple[str, InvertibleGan]:
    """A run of so many images at `place`: its checkpoint's name, and the model as it stood."""
    session = train_locally("pvdgan", images)
    identity = checkpoint.RunIdentity(
        seed=0,
        data_fingerprint="f",
        image_resolution=16,
        image_channels=3,
        config={
            "objective": asdict(session.objective.config),
            "network": asdict(NETWORK),
            "train": {"seed": 0},
        },
    )
    store = open_store(str(place))
    return saves.save(session, store, identity=identity), session.model()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, InvertibleGan]:
    place = tmp_path_factory.mktemp("run")
    return place, save(place)[1]


def assert_same(found: InvertibleGan, expected: InvertibleGan) -> None:
    image_BCHW = expected.sample(3, seed=1)
    assert torch.equal(found.sample(3, seed=1), image_BCHW)
    assert torch.equal(found.encode(image_BCHW), expected.encode(image_BCHW))
    assert torch.equal(found.reconstruct(image_BCHW), expected.reconstruct(image_BCHW))


def test_a_run_gives_the_averaged_model(run: tuple[Path, InvertibleGan]) -> None:
    place, expected = run
    for written in (place, str(place), f"file://{place}", f"{place}/"):
        assert_same(ganinv.load(written, device="cpu"), expected)


def test_exports_give_the_same_model(run: tuple[Path, InvertibleGan], tmp_path: Path) -> None:
    place, expected = run
    trained = load_run(open_store(str(place)))
    for name, payload in export_files(trained.model, Description.of(trained.manifest)).items():
        (tmp_path / name).write_bytes(payload)
    for written in (tmp_path, tmp_path / MODEL_NAME):
        assert_same(ganinv.load(written, device="cpu"), expected)
    told = json.loads((tmp_path / DESCRIPTION_NAME).read_text())
    assert told["checkpoint"] == trained.manifest.name
    assert told["images_seen"] == IMAGES
    assert (told["image_resolution"], told["image_channels"]) == (16, 3)
    assert told["scale"] == expected.codec.tensors["scale_L"].tolist()
    assert told["network"] == asdict(NETWORK)


def test_half_an_export_holds_the_rounded_weights(
    run: tuple[Path, InvertibleGan], tmp_path: Path
) -> None:
    trained = load_run(open_store(str(run[0])))
    about = Description.of(trained.manifest)
    whole, half = (
        export_files(trained.model, about, half=chosen)[MODEL_NAME] for chosen in (False, True)
    )
    assert len(half) < 0.7 * len(whole)
    (tmp_path / MODEL_NAME).write_bytes(half)
    found = ganinv.load(tmp_path, device="cpu")
    assert found.dtype == torch.float32
    for name, network in trained.model.codec.networks.items():
        rounded = {key: value.half().float() for key, value in network.state_dict().items()}
        for key, value in found.codec.networks[name].state_dict().items():
            assert torch.equal(value, rounded[key])
    assert torch.equal(found.spread, trained.model.spread)
    next(trained.model.codec.networks["g"].parameters()).data.fill_(1e5)
    with pytest.raises(ConfigError, match=r"half: .*reaches 1e\+05, beyond the range of float16"):
        export_files(trained.model, about, half=True)


def test_a_corrupt_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, older = save(tmp_path, IMAGES)
    newest, _ = save(tmp_path, 2 * IMAGES)
    part = next((tmp_path / folder(newest)).glob("*.safetensors"))
    part.write_bytes(part.read_bytes()[:-1])
    assert_same(ganinv.load(tmp_path, device="cpu"), older)
    assert newest in caplog.text
    assert "SHA-256" in caplog.text


def test_an_older_checkpoint_by_its_name(tmp_path: Path) -> None:
    older, expected = save(tmp_path, IMAGES)
    save(tmp_path, 2 * IMAGES)
    store = open_store(str(tmp_path))
    assert_same(load_run(store, older).model, expected)
    with pytest.raises(StorageError, match=f"no checkpoint 'best'; choose among .*{older}"):
        load_run(store, "best")


def change_manifest(place: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = next(place.rglob("manifest.json"))
    manifest = json.loads(path.read_text())
    change(manifest)
    if manifest.pop("sha256", None):  # as a writer of such a manifest would have signed it
        manifest["sha256"] = digest(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda m: m["config"].pop("network"), ConfigError, "network = None: must be a group"),
        (lambda m: m["config"]["network"].update(widht=3), ConfigError, "did you mean 'width'"),
        (lambda m: m["config"]["network"].update(width=5), StorageError, "do not fit the networks"),
        (lambda m: m["config"]["objective"].update(name="gan"), ConfigError, "objective.name"),
        (lambda m: m["config"]["objective"].update(name="lsgan2"), ConfigError, "choose .*pvdgan"),
        (lambda m: m.update(format=9), StorageError, "has format 9, but this program reads"),
        (
            lambda m: m.pop("image_channels"),
            StorageError,
            "an older version .*lacks image_channels",
        ),
        (lambda m: m.update(mood="good"), StorageError, "a newer version .*has mood"),
        (lambda m: m.update(objects=3), StorageError, "is corrupt"),
        (lambda m: m.update(image_resolution=25), ConfigError, "resolution = 25"),
        (lambda m: m.update(image_resolution="24x16"), StorageError, "do not fit the networks"),
        (lambda m: m.update(image_resolution=None), ConfigError, "resolution = None"),
    ],
)
def test_runs_that_do_not_fit_are_refused(
    run: tuple[Path, InvertibleGan],
    tmp_path: Path,
    change: Callable[[dict[str, object]], object],
    kind: type[GanInvError],
    message: str,
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run[0], copy)
    change_manifest(copy, change)
    with pytest.raises(kind, match=message):
        ganinv.load(copy)


def test_places_without_a_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no checkpoint yet and no model\.safetensors"):
        ganinv.load(tmp_path)
    with pytest.raises(StorageError, match="no checkpoint yet"):
        ganinv.load(tmp_path / "nowhere")
    half = tmp_path / "checkpoints" / f"{1:012d}-01234567" / "part-00000-of-00001.safetensors"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    with pytest.raises(StorageError, match="only parts of an uncommitted one"):
        ganinv.load(tmp_path)
    with pytest.raises(StorageError, match="there is no such object"):
        ganinv.load(tmp_path / "gone.safetensors")
    with pytest.raises(ConfigError, match="did you mean s3://"):
        ganinv.load("s4://bucket/run")
    with pytest.raises(ConfigError, match="must not carry credentials"):
        ganinv.load("s3://key:secret@bucket/run")


def test_files_that_are_no_exports_are_refused(
    run: tuple[Path, InvertibleGan], tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(StorageError, match="is corrupt"):
        ganinv.load(path)
    safetensors.torch.save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(StorageError, match="not an exported model of ganinv"):
        ganinv.load(path)
    trained = load_run(open_store(str(run[0])))
    description = Description.of(trained.manifest)
    wrong = replace(description, network={**description.network, "width": "wide"})
    path.write_bytes(export_files(trained.model, wrong)[MODEL_NAME])
    with pytest.raises(ConfigError, match=r"network\.width = 'wide': must be int"):
        ganinv.load(path)


def test_s3_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"pip install 'ganinv\[s3\]'"):
        ganinv.load("s3://bucket/run")


@pytest.mark.integration
def test_runs_in_s3(s3_store_url: str, tmp_path: Path) -> None:
    _, expected = save(tmp_path)
    store = open_store(s3_store_url)
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            store.write(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    assert_same(ganinv.load(s3_store_url, device="cpu"), expected)
    with pytest.raises(StorageError, match="specified bucket does not exist"):
        ganinv.load("s3://no-such-bucket/run")
