"""Checkpoints and exports of version 0.1 load, give the same images, and can be resumed."""

import pytest
import safetensors.torch
import torch
import yaml

import ganinv
from cluster.checkpoints import contents
from cluster.run_folder.options_record import began_with, read_options
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from ganinv.model import InvertibleGan
from ganinv.saved import format as names
from ganinv.saved.checkpoints import choose
from ganinv.saved.exports import MODEL_NAME, Description, export_files
from ganinv.saved.loading import load_run
from ganinv.saved.manifest import manifests_newest_first
from ganinv.seams.engine import LocalEngine
from ganinv.training.session import Session, new_session
from launch.options.loading import load_config
from launch.options.schema import RunConfig
from launch.wiring.networks import build_networks, new_objective
from launch.wiring.same_run import changes, check_options
from tests.support.commands import ROOT

OLD = ROOT / "tests" / "fixtures" / "version_0.1"
every_method = pytest.mark.parametrize("name", ["dlsgan", "pvdgan"])
INDEX = Index(description={}, width=16, height=16, splits={})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def assert_gives_the_same(model: InvertibleGan, name: str) -> None:
    expected = safetensors.torch.load_file(OLD / f"{name}-expected.safetensors")
    image_BCHW = model.sample(2, seed=0)
    code_BL = model.encode(image_BCHW)
    found = {
        "image_BCHW": image_BCHW,
        "code_BL": code_BL,
        "reconstructed_BCHW": model.decode(code_BL),
    }
    # Up to rounding: version 0.1 summed in another order.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@every_method
def test_an_old_run_is_loaded(name: str) -> None:
    assert_gives_the_same(ganinv.load(OLD / name, device="cpu"), name)


@every_method
def test_an_old_export_is_loaded(name: str) -> None:
    path = OLD / f"{name}-export.safetensors"
    assert_gives_the_same(ganinv.load(path, device="cpu"), name)


@every_method
def test_an_export_made_today_equals_the_old_one(name: str) -> None:
    run = load_run(open_store(str(OLD / name)))
    files = export_files(run.model, Description.of(run.manifest))
    made = safetensors.torch.load(files[MODEL_NAME])
    old = safetensors.torch.load_file(OLD / f"{name}-export.safetensors")
    assert made.keys() == old.keys()
    assert all(torch.equal(made[key], value) for key, value in old.items())


def old_config(name: str) -> RunConfig:
    (manifest,) = (OLD / name / "checkpoints").glob("*/manifest.json")
    return load_config(yaml.safe_load(manifest.read_text())["config"], [])


def resumed(name: str) -> Session:
    config = old_config(name)
    session = new_session(
        new_objective(config),
        build_networks(config, INDEX, torch.device("cpu")),
        lambda network, optimizer: LocalEngine(network, optimizer),
        config=config.train,
        device=torch.device("cpu"),
    )
    store = open_store(str(OLD / name))
    (manifest,) = manifests_newest_first(store)
    identity = contents.RunIdentity(
        config=manifest.config, **{key: getattr(manifest, key) for key in contents.IDENTIFYING}
    )
    assert contents.restore(session, store, identity) is not None
    return session


@every_method
def test_an_old_run_can_be_resumed(name: str) -> None:
    """Every tensor arrives where it belongs, and is what a checkpoint of today would hold."""
    session = resumed(name)
    assert session.images_seen == 64
    chosen = choose(open_store(str(OLD / name)))
    assert chosen is not None
    old = chosen[1]
    held = dict(contents.tensors_of_this_rank(session))
    pieces: dict[tuple[str, ...], list[tuple[int, torch.Tensor]]] = {}
    for key, value in old.items():
        if piece := names.parse_moment(key):
            pieces.setdefault(tuple(piece[:3]), []).append((piece.start, value))
        else:
            assert torch.equal(held.pop(key), value), key
    for (network, moment, parameter), found in pieces.items():
        whole = torch.cat([value for _, value in sorted(found, key=lambda f: f[0])])
        key = names.moment_name(names.MomentPiece(network, moment, parameter, 0))
        assert torch.equal(held.pop(key), whole), key
    assert held == {}


@every_method
def test_the_record_of_an_old_run_allows_to_go_on(name: str) -> None:
    """`train` compares the options; those that are newer than the run are no reason to refuse."""
    config, store = old_config(name), open_store(str(OLD / name))
    began, recorded = began_with(store), read_options(store)
    assert began == recorded  # the manifest knows all that config.yaml does
    check_options(began, config, store.url)
    assert changes(began, config) == []
