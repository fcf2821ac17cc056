"""Every kind of pixels, some with labels, from `data build` to pages, edits, exports, codes."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.checkpoints import contents as checkpoint
from cluster.storage.opening import open_store
from datasets.building.index_existing import index_existing
from datasets.shards.index import Index
from datasets.shards.verify import verify
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet, check_same_size
from datasets.streaming.samples import read_samples
from ganinv import load
from ganinv.errors import ConfigError, DataError
from ganinv.inversion.optimise import RefineConfig
from ganinv.kinds.kind import BITS, CHANNELS, RGB8, Kind
from ganinv.kinds.png import decode_deep_png, encode_png
from ganinv.pictures import to_pixels, to_signed
from ganinv.seams.engine import no_reduction
from ganinv.training.config import lay_out_batch
from ganinv.training.session import train_batch
from launch.commands import data as data_command
from launch.commands import evaluate, report
from launch.commands.models import edit, export, invert
from launch.studio.session import State
from launch.studio.uploads import photograph
from launch.studio.workshop import Workshop
from launch.wiring.same_run import check_data, record
from tests.support import saves
from tests.support.commands import launch
from tests.support.made_runs import MadeRun, make_run
from tests.support.pages import Document
from tests.support.runs import snapshot
from tests.support.states import equal, largest_relative_difference, whole_state

IMAGES, SIDE = 32, 16
CLASSES = ("ape", "bee", "cat")
KINDS = [Kind(channels=channels, bits=bits) for channels in CHANNELS for bits in BITS]
PAGE = Kind(channels=4, bits=16)  # drawing one takes a second
# These also pass through the slower steps: optimisation and TorchScript.
LABELLED = [Kind(channels=1, bits=16), Kind(channels=2), RGB8, PAGE]
FEW = ("evaluate.generated_images=8", "evaluate.test_images=4")


def _photograph(kind: Kind, number: int) -> NDArray[np.unsignedinteger]:
    values = np.random.default_rng(number).integers(0, kind.top + 1, (SIDE, SIDE, kind.channels))
    return values.astype(np.uint8 if kind.bits == 8 else np.uint16)


def _folder(at: Path, kind: Kind, images: int = IMAGES) -> Path:
    """Photographs, and a table of their labels."""
    at.mkdir(parents=True)
    rows = ["file,animal"]
    for number in range(images):
        (at / f"{number:03d}.png").write_bytes(encode_png(_photograph(kind, number)))
        rows.append(f"{number:03d}.png,{CLASSES[number % 3]}")
    (at / "animals.csv").write_text("\n".join(rows))
    return at


def _words(kind: Kind) -> list[str]:
    return [f"data.channels={kind.channels}", f"data.bits={kind.bits}"]


class Case(NamedTuple):
    kind: Kind
    made: MadeRun
    folder: Path

    @property
    def data_url(self) -> str:
        return self.made.config.data.url

    def run_again(self, folder: Path) -> MadeRun:
        """A run like this one, at its beginning."""
        return _made(folder, self.kind, self.data_url)


def _train(made: MadeRun, images: int) -> None:
    session, config = made.session, made.config.train
    source = ShardBatches(
        [DataSet(store=made.data, index=made.index)], "train", seed=0, global_batch=16,
        config=dataclasses.replace(made.config.data, attributes=True),
    )  # fmt: skip
    batches = source.batches(session.position)
    while session.images_seen < images:
        train_batch(session, next(batches), config, lay_out_batch(config, 1), no_reduction)
    batches.close()


def _made(folder: Path, kind: Kind, data_url: str) -> MadeRun:
    label = ["data.label=animal"] if kind in LABELLED else []
    return make_run(folder, IMAGES, *_words(kind), *FEW, *label, data_url=data_url)


def _build(kind: Kind, folder: Path) -> Path:
    """A data set of photographs, beside them."""
    source, url = _folder(folder / "in", kind), f"data.url={folder}/data"
    words = ["data.resolution=16", "data.workers=1", f"data.attributes={source}/animals.csv"]
    assert data_command.main(["build", str(source), url, *words, *_words(kind)]) == 0
    return folder / "data"


@pytest.fixture(scope="module", params=KINDS, ids=str)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A data set, a run of one step, its checkpoint, and a folder of photographs."""
    kind, folder = request.param, tmp_path_factory.mktemp("kind")
    made = _made(folder, kind, str(_build(kind, folder)))
    _train(made, 16)
    made.save()
    return Case(kind, made, _folder(folder / "photographs", kind, 2))


def test_a_folder_is_built_and_read_without_loss(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, index, store = case.kind, case.made.index, case.made.data
    assert index.kind == kind
    assert verify(index, store) == []
    image_BCHW, _, _ = read_samples(store, index, "train", 0, index.samples("train"))
    for number, image_CHW in enumerate(image_BCHW):
        assert np.array_equal(image_CHW.permute(1, 2, 0), _photograph(kind, number))
    url = f"data.url={store.url}"
    assert data_command.main(["index", url]) == 0  # keeps the kind
    said = " ".join(capsys.readouterr().out.split())
    assert kind == RGB8 or str(kind) in said
    assert Index.load(store).fingerprint == index.fingerprint
    if kind == RGB8:
        return
    with pytest.raises(DataError, match="holds another data set"):
        data_command.main(["build", str(case.folder), url, "data.resolution=16"])
    other = DataSet(store=store, index=index)
    rgb = DataSet(store=store, index=dataclasses.replace(index, kind=RGB8))
    with pytest.raises(DataError, match=r"data\.mix: .* RGB of 8 bits"):
        check_same_size([other, rgb])
    # The same tars as RGB of 8 bits; colour of 16 bits has its upper 8, grey of 16 is refused.
    tars = open_store(str(tmp_path))
    for shard in index.splits["train"]:
        tars.write(shard.name, store.read(shard.name))
    if kind == Kind(channels=1, bits=16):
        with pytest.raises(DataError, match="unreadable"):
            index_existing(tars, kind=RGB8)
    else:
        assert index_existing(tars, kind=RGB8).kind == RGB8


def test_resuming_is_the_uninterrupted_run(case: Case, tmp_path: Path) -> None:
    again = case.run_again(tmp_path)
    manifest = checkpoint.restore(again.session, case.made.store, case.made.identity)
    assert manifest is not None
    assert (manifest.image_channels, manifest.image_bits or 8) == (
        case.kind.channels, case.kind.bits,
    )  # fmt: skip
    assert (again.config.objective.condition.classes == [*CLASSES]) == (case.kind in LABELLED)
    for run in (again, case.made):  # the other tests use the checkpoint alone
        _train(run, 32)
    equal(snapshot(again.session), snapshot(case.made.session))
    other = dataclasses.replace(case.made.index, kind=Kind(channels=3 - case.kind.channels % 2))
    with pytest.raises(DataError, match="fingerprint"):
        check_data(record(case.made.config, case.made.index), case.made.config, other, None, "here")


def test_figures_and_page(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = f"storage.run={case.made.config.storage.run}", tmp_path / "page.html"
    assert evaluate.main([run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    values = {row["name"]: row["value"] for row in found["figures"]}
    figures = [value for value in values.values() if value is not None]
    assert {"eval/ssim_test", "eval/psnr_db_test"} <= values.keys()
    assert np.isfinite(figures).all(), values
    if case.kind != PAGE:
        return
    few = ["report.samples=2", "report.pairs=2", "report.rows=1"]
    assert report.main([run, f"report.file={file}", *few]) == 0
    assert {picture.shape[:2] for picture in Document(file.read_text()).images()} == {(SIDE, SIDE)}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_inversion_export_edit_and_studio(case: Case, tmp_path: Path) -> None:
    """Files of the model's kind go in, and come out."""
    kind, model_at = case.kind, tmp_path / "exported"
    run = f"storage.run={case.made.config.storage.run}"
    graphs = ["export.torchscript=true"] if kind in LABELLED else []
    assert export.main([run, f"export.to={model_at}", *graphs]) == 0
    described = json.loads((model_at / "model.json").read_text())
    assert described["image_channels"] == kind.channels
    assert described.get("image_bits", 8) == kind.bits
    model = load(model_at)
    assert model.kind == kind
    assert model.classes == (CLASSES if kind in LABELLED else ())
    photo_HWC = _photograph(kind, 0)
    held_HWC = photo_HWC.astype(np.int32) if kind.bits == 16 else photo_HWC
    image_1CHW = to_signed(torch.from_numpy(held_HWC).permute(2, 0, 1)[None])
    code_1L = load(case.made.config.storage.run).encode(image_1CHW)
    assert torch.equal(model.encode(image_1CHW), code_1L)
    if kind in LABELLED:
        _check_graphs(model_at, image_1CHW)
        _check_optimisation(model_at, case.folder / "000.png", kind, tmp_path / "optimised")
    expected_HWC = to_pixels(model.reconstruct(image_1CHW)[0], kind.bits)
    taken = f"images={case.folder}"
    inverted = [f"invert.model={model_at}", f"invert.{taken}"]
    assert invert.main([*inverted, f"invert.to={tmp_path}/inverted"]) == 0
    found = _read(tmp_path / "inverted" / "reconstructions" / "000.png", kind)
    assert np.abs(found.astype(int) - expected_HWC).max() <= (0 if kind.bits == 8 else 2)
    words = [f"edit.model={model_at}", f"edit.{taken}", f"edit.to={tmp_path}/edited"]
    assert edit.main(words) == 0
    edited = _read(tmp_path / "edited" / "pictures" / "000.png", kind)
    assert np.abs(edited.astype(int) - expected_HWC).max() <= (0 if kind.bits == 8 else 2)
    quick = RefineConfig(steps=2)
    shop = Workshop(model, [], elements=1, principal=0, refine=quick)
    shop.warm_up()
    upload = photograph((case.folder / "000.png").read_bytes(), "0.png", 1000, kind)
    first = shop.photograph(upload, "0.png")
    assert first.photo_1CHW is not None
    assert torch.equal(first.photo_1CHW, image_1CHW)
    assert encode_png(edited) == shop.show(State(first=first)).png
    if kind != RGB8:
        with pytest.raises(ConfigError, match=r"invert\.paste = true: only RGB of 8 bits"):
            invert.main([*inverted, f"invert.to={tmp_path}/pasted", "invert.paste=true"])


def _check_graphs(model_at: Path, image_1CHW: Tensor) -> None:
    model = load(model_at)
    encoder, generator = (torch.jit.load(model_at / f) for f in ("encoder.pt", "generator.pt"))
    code_1L = model.encode(image_1CHW)
    torch.testing.assert_close(encoder(image_1CHW), code_1L)
    torch.testing.assert_close(generator(code_1L), model.decode(code_1L))


def _check_optimisation(model_at: Path, photo: Path, kind: Kind, to: Path) -> None:
    """A known label stays that of the code."""
    words = [str(model_at), str(photo), f"invert.to={to}", "invert.label=cat"]
    assert invert.main([*words, "optimise.steps=2", "optimise.starts=[encoder]"]) == 0
    code_1L, model = torch.from_numpy(np.load(to / "codes.npz")["codes"]), load(model_at)
    assert model.labels_of(code_1L) == ["cat"]
    expected_HWC = to_pixels(model.decode(code_1L)[0], kind.bits)
    found_HWC = _read(to / "reconstructions" / photo.name, kind)
    assert np.abs(found_HWC.astype(int) - expected_HWC).max() <= (0 if kind.bits == 8 else 2)


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_training_on_a_cluster_goes_on_and_gives_graphs(tmp_path: Path) -> None:
    """Ray and DeepSpeed, from a checkpoint that a process without them has saved."""
    kind = Kind(channels=1, bits=16)
    made = _made(tmp_path, kind, str(_build(kind, tmp_path)))
    _train(made, 16)
    run = made.save()
    places = (f"storage.run={run}", f"data.url={made.config.data.url}", *_words(kind))
    less = ("data.label=animal", "train.images=64", "cluster.workers=1", *FEW)
    done = launch("train", "tiny-pvdgan", *places, *less)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resuming from 16 images" in done.stdout
    _train(made, 64)
    same = open_store(f"{tmp_path}/same")
    saves.save(made.session, same, identity=made.identity)
    assert largest_relative_difference(whole_state(made.store), whole_state(same)) < 1e-3

    words = [f"storage.run={run}", f"export.to={tmp_path}/exported", "export.onnx=true"]
    assert export.main(words) == 0
    model = load(tmp_path / "exported")
    image_BCHW = model.sample(2, seed=0)
    for name, expected in (
        ("encoder", model.encode(image_BCHW)), ("autoencoder", model.reconstruct(image_BCHW)),
    ):  # fmt: skip
        graph = onnxruntime.InferenceSession(tmp_path / "exported" / f"{name}.onnx")
        (found,) = graph.run(None, {"images": image_BCHW.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)


def _read(path: Path, kind: Kind) -> NDArray[np.unsignedinteger]:
    data = path.read_bytes()
    if kind.bits == 16:
        return decode_deep_png(data)
    from datasets.shards.images import decode_image

    return decode_image(data, (SIDE, SIDE), "it", kind)
