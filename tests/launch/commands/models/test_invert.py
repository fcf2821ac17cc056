"""The verb `invert`, on a run that was made in this process."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import ganinv
from datasets.sources.photographs import Photographs, Placed
from ganinv.alignment import aligning
from ganinv.alignment.pasting import paste
from ganinv.alignment.transform import FACES, Point, Transform
from ganinv.errors import ConfigError, DataError
from ganinv.inversion.optimise import OptimiseConfig
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_images
from ganinv.sizes import Size
from launch.commands.models import export, invert
from launch.evaluation import inversion
from launch.evaluation.inversion import reconstruction_names
from launch.inversion.stages import Stages
from launch.progress import console
from tests.support import saves
from tests.support.codecs import codec_without_encoder
from tests.support.families import LATENT_SIZE, build
from tests.support.made_runs import make_run
from tests.support.marked_faces import find_marks, marks, photograph

NAMES = ["a.png", "deep/b.jpg", "deep/er/c.webp", "d.png", "e.png"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Photographs of several sizes and kinds, among them what is no photograph."""
    numbers = np.random.default_rng(0)
    folder = tmp_path / "images"
    for i, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = numbers.integers(0, 256, (16 + 4 * i, 16 + i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder


def go(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert invert.main([*options, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def rows(target: Path) -> list[dict[str, str]]:
    with (target / "psnr.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def test_a_folder_becomes_codes_reconstructions_and_figures(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    found = go(capsys, f"storage.run={run}", f"invert.images={images}", f"invert.to={target}")
    assert (found["images"], found["skipped"]) == (len(NAMES), [])
    model = ganinv.load(run, device="cpu")
    pictures = []
    for name in NAMES:
        with Image.open(images / name) as image:
            pictures.append(image.copy())
    code_BL = model.encode(pictures)
    image_BCHW = model.decode(code_BL)
    with np.load(target / "codes.npz") as codes:  # allow_pickle stays False
        order = [NAMES.index(name) for name in codes["names"].tolist()]
        assert sorted(order) == list(range(len(NAMES)))
        torch.testing.assert_close(torch.from_numpy(codes["codes"]), code_BL[order])
        assert np.array_equal(codes["scale"], model.codec.tensors["scale_L"].numpy())
    for row in rows(target):
        i = NAMES.index(row["image"])
        saved = pixels(target / row["reconstruction"])
        assert (saved.int() - to_bytes(image_BCHW)[i].int()).abs().max() <= 1
        real = to_images(pictures[i], channels=3, size=Size(16, 16))
        assert float(row["psnr_db"]) == pytest.approx(
            float(psnr_db(real, image_BCHW[i : i + 1])), abs=1e-3
        )
    assert found["psnr_db"] == pytest.approx(
        np.mean([float(row["psnr_db"]) for row in rows(target)]), abs=1e-3
    )
    assert (target / "reconstructions/deep/er/c.png").exists()


class Watched(Photographs):
    """Counts how many images were read that are not yet written below `target`."""

    target: Path
    most = 0

    def placed(self) -> Iterator[tuple[str, Placed]]:
        for number, item in enumerate(super().placed(), start=1):
            written = len(list(self.target.rglob("*.png")))
            self.most = max(self.most, number - written)
            yield item


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches_change_nothing_and_one_of_them_is_held(
    run: str, images: Path, tmp_path: Path, batch_size: int
) -> None:
    model = ganinv.load(run, device="cpu")
    found = []
    for size, target in ((batch_size, tmp_path / "small"), (len(NAMES), tmp_path / "whole")):
        photographs = Watched(
            folder=images,
            names=NAMES,
            size=Size(16, 16),
            max_unreadable=0,
            max_pixels=999,
            options="here",
        )
        photographs.target = target
        inverted_with = replace(model, batch_size=size)
        inversion.invert(
            inverted_with, photographs, target, codes="safetensors", screen=console(True)
        )
        assert photographs.most == size
        found.append(target)
    small, whole = found
    with safetensors.safe_open(small / "codes.safetensors", "pt") as codes:
        assert json.loads(codes.metadata()["names"]) == NAMES
        expected = safetensors.torch.load_file(whole / "codes.safetensors")
        for name, tensor in expected.items():
            torch.testing.assert_close(codes.get_tensor(name), tensor)
    for name in reconstruction_names(NAMES).values():
        assert (pixels(small / name).int() - pixels(whole / name).int()).abs().max() <= 1


def test_unreadable_images_are_named_up_to_a_ratio(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "deep" / "b.jpg").write_bytes(b"no image at all")
    options = [f"storage.run={run}", f"invert.images={images}", f"invert.to={tmp_path}/out"]
    with pytest.raises(DataError, match=r"deep/b\.jpg.*over invert\.max_unreadable=0\.01"):
        invert.main(options)
    (images / "f.heic").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 6 images would be left out .*f\.heic"):
        invert.main([*options, "invert.overwrite=true"])
    found = go(capsys, *options, "invert.max_unreadable=0.4", "invert.overwrite=true")
    assert found["images"] == len(NAMES) - 1
    assert found["left_out"] == {
        "files in the format .heic, which cannot be read": 1,
        "files ending in .txt": 1,
    }
    assert [skipped["path"] for skipped in found["skipped"]] == ["deep/b.jpg"]
    assert [row["image"] for row in rows(tmp_path / "out")] == sorted(set(NAMES) - {"deep/b.jpg"})
    with pytest.raises(DataError, match=r"more pixels than invert\.max_pixels=99; raise"):
        invert.main(
            [*options, "invert.max_pixels=99", "invert.max_unreadable=1", "invert.overwrite=true"]
        )


paths = st.text("ab./", min_size=1, max_size=6).map(lambda stem: f"{stem}.png") | st.sampled_from(
    ["a.png", "a.jpg", "a.jpg.png", "a.png.jpg", "b/a.webp"]
)


@given(st.sets(paths, min_size=1))
def test_no_two_reconstructions_lie_at_one_place(names: set[str]) -> None:
    places = reconstruction_names(sorted(names))
    assert set(places) == names
    assert len(set(places.values())) == len(names)


def test_results_are_replaced_as_a_whole_or_not_at_all(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    options = [f"storage.run={run}", f"invert.images={images}", f"invert.to={target}"]
    go(capsys, *options)
    (target / "notes.txt").write_text("mine")
    (images / "a.png").unlink()
    before = {path: path.read_bytes() for path in target.rglob("*.*") if path.is_file()}
    (images / "d.png").write_bytes(b"no image at all")
    again = [*options, "invert.overwrite=true", "invert.codes=safetensors"]
    with pytest.raises(DataError, match=r"d\.png"):
        invert.main(again)
    assert {path: path.read_bytes() for path in target.rglob("*.*") if path.is_file()} == before
    go(capsys, *again, "invert.max_unreadable=1")
    assert sorted(path.name for path in target.iterdir()) == [
        "codes.safetensors",
        "notes.txt",
        "psnr.csv",
        "reconstructions",
    ]
    left = {path.relative_to(target).as_posix() for path in target.rglob("*.png")}
    assert left == {row["reconstruction"] for row in rows(target)}
    assert len(left) == len(NAMES) - 2


@pytest.mark.parametrize("kind", ["file", "link to a folder", "the folder is a link"])
def test_only_results_are_replaced(run: str, images: Path, tmp_path: Path, kind: str) -> None:
    target, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.png").write_bytes(b"mine")
    if kind == "the folder is a link":
        target.mkdir()
        (target / "reconstructions").symlink_to(outside)
    else:
        (target / "reconstructions").mkdir(parents=True)
        foreign = target / "reconstructions" / "deep"
        foreign.write_bytes(b"mine") if kind == "file" else foreign.symlink_to(outside)
    with pytest.raises(ConfigError, match=r"psnr\.csv does not list .*/reconstructions"):
        invert.main(
            [
                f"storage.run={run}",
                f"invert.images={images}",
                f"invert.to={target}",
                "invert.overwrite=true",
            ]
        )
    assert [path.name for path in target.iterdir()] == ["reconstructions"]
    assert [path.name for path in outside.iterdir()] == ["mine.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["invert.to=FULL"], "give invert.overwrite=true"),
        (["invert.to=IMAGES/out"], "lies in invert.images"),
        (["invert.images=FULL/nothing"], "no such folder"),
        (["invert.images=FULL"], "holds no image"),
        (["invert.images=s3://a/b"], "must be a folder on this disk"),
        (["invert.model=FULL"], "give one of them"),
        (["invert.codes=csv"], "invert.codes"),
        (["invert.max_unreadable=2"], "within 0–1"),
        (["invert.align=eyes"], "one of crop, stretch, pad, faces"),
        (["invert.image=a"], "did you mean 'invert.images'"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    run: str, images: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("dear")
    given = [f"storage.run={run}", f"invert.images={images}", f"invert.to={tmp_path}/out"]
    typed = [o.replace("FULL", str(full)).replace("IMAGES", str(images)) for o in options]
    with pytest.raises(ConfigError, match=message):
        invert.main(given + typed)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in full.iterdir()] == ["letter.txt"]


def test_faces_are_inverted_and_pasted_back(
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aligning, "find_landmarks", find_marks)
    monkeypatch.setattr(aligning, "need_faces", lambda _: None)
    folder, target = tmp_path / "photos", tmp_path / "out"
    face = marks(Point(70, 50), 16, degrees=20)
    for name, found in {"deep/one": face, "none": None}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photograph((120, 96), found).save(folder / f"{name}.png")
    words = [f"storage.run={run}", f"invert.images={folder}", f"invert.to={target}"]
    faces = ["invert.align=faces", "invert.paste=true", "invert.max_unreadable=0.5"]
    answer = go(capsys, *words, *faces)
    assert answer["images"] == 1
    assert [(s["path"], s["kind"]) for s in answer["skipped"]] == [
        ("none.png", "photographs without a face")
    ]
    (row,) = rows(target)
    assert row["transform"] == "reconstructions/deep/one.png.transform.json"
    assert row["pasted"] == "pasted/deep/one.png"
    transform = Transform.from_json((target / row["transform"]).read_text(), "here")
    assert transform == aligning.align(photograph((120, 96), face), Size(16, 16), FACES).transform
    with Image.open(target / row["pasted"]) as pasted, Image.open(folder / row["image"]) as whole:
        with Image.open(target / row["reconstruction"]) as made:
            assert np.array_equal(np.asarray(pasted), np.asarray(paste(whole, made, transform)))
        assert (np.asarray(pasted) != np.asarray(whole)).any()
        assert np.array_equal(np.asarray(pasted)[:, :20], np.asarray(whole)[:, :20])
    (target / "pasted/mine.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"replaces pasted/, but psnr\.csv does not list"):
        invert.main([*words, "invert.overwrite=true"])
    (target / "pasted/mine.png").unlink()
    go(capsys, *words, "invert.overwrite=true")
    assert not (target / "pasted").exists()
    assert "pasted" not in rows(target)[0]


def test_photographs_come_to_the_size_of_the_model_as_its_data_did(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the run, from an export, and by the library; `invert.align` decides otherwise."""
    made = make_run(tmp_path, 16)
    identity = replace(made.identity, image_alignment="stretch")
    saves.save(made.session, made.store, identity=identity)
    url = made.config.storage.run
    assert export.main([f"storage.run={url}", f"export.to={tmp_path}/exported"]) == 0
    capsys.readouterr()
    found = {}
    for name, words in {
        "run": [f"storage.run={url}"],
        "export": [f"invert.model={tmp_path}/exported"],
        "crop": [f"storage.run={url}", "invert.align=crop"],
    }.items():
        go(capsys, *words, f"invert.images={images}", f"invert.to={tmp_path}/by {name}")
        with np.load(tmp_path / f"by {name}" / "codes.npz") as codes:
            found[name] = dict(zip(codes["names"].tolist(), codes["codes"], strict=True))
    model = ganinv.load(url, device="cpu")
    assert model.alignment == "stretch"
    for name, code in found["run"].items():
        with Image.open(images / name) as picture:
            code_1L = model.encode(picture)
        np.testing.assert_allclose(code_1L[0], code, atol=1e-5)
        np.testing.assert_allclose(found["export"][name], code, atol=1e-5)
    assert not np.allclose(found["crop"]["e.png"], found["run"]["e.png"], atol=1e-3)
    transform = (tmp_path / "by run/reconstructions/e.png.transform.json").read_text()
    assert json.loads(transform)["alignment"] == "stretch"


def test_codes_are_searched_and_the_generator_is_tuned(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files agree with each other and with the model; the run itself does not change."""
    target = tmp_path / "out"
    before = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    words = ["--refine", "refine.steps=3", "refine.patience=2", "tune=2", "tune.learning_rate=1e-3"]
    found = go(capsys, run, str(images), f"invert.to={target}", *words)
    assert list(found["stages"]) == ["encoder", "searched", "tuned"]
    figures = json.loads((target / "inversion.json").read_text())
    assert figures["stages"] == found["stages"]
    assert figures["options"]["refine"]["steps"] == 3
    model, each = ganinv.load(run, device="cpu"), {e["image"]: e for e in figures["each"]}
    with np.load(target / "codes.npz") as codes:
        assert str(codes["space"]) == "u"
        decode = model.codec.spaces["u"].decode
        image_BCHW = decode(torch.from_numpy(codes["points"])).detach().clamp(-1, 1)
        torch.testing.assert_close(model.decode(codes["codes"]), image_BCHW, rtol=1e-4, atol=1e-4)
        order = codes["names"].tolist()
    for row in rows(target):
        with Image.open(images / row["image"]) as image:
            real = to_images(image, channels=3, size=Size(16, 16))
        i, own = order.index(row["image"]), each[row["image"]]
        searched_db = float(psnr_db(real, image_BCHW[i : i + 1]))
        assert own["searched"]["psnr_db"] == pytest.approx(searched_db, abs=1e-3)
        encoder_db = float(psnr_db(real, model.reconstruct(real)))
        assert own["encoder"]["psnr_db"] == pytest.approx(encoder_db, abs=1e-3)
        assert float(row["encoder_psnr_db"]) == pytest.approx(encoder_db, abs=1e-3)
        tuned = ganinv.load(run, device="cpu", delta=target / row["delta"])
        point = torch.from_numpy(np.load(target / "codes.npz")["points"][i : i + 1])
        decoded = tuned.codec.spaces["u"].decode(point).detach().clamp(-1, 1)
        saved = pixels(target / row["reconstruction"])
        assert (saved.int() - to_bytes(decoded)[0].int()).abs().max() <= 1
        assert float(row["psnr_db"]) == pytest.approx(float(psnr_db(real, decoded)), abs=1e-3)
    page = (target / "inversion.html").read_text()
    assert page.count("<li>") == len(NAMES)
    assert "http" not in re.sub('http://www.w3.org/[^"]*', "", page)  # nothing from elsewhere
    with Image.open(target / "strip.png") as strip:
        assert strip.size == (len(NAMES) * 68 - 4, 4 * 68 - 4)
    assert "<svg" in (target / "curves.svg").read_text()
    again = [f"storage.run={run}", f"invert.images={images}", f"invert.to={target}"]
    go(capsys, *again, "invert.overwrite=true")  # by the encoder alone
    assert sorted(path.name for path in target.iterdir()) == [
        "codes.npz",
        "psnr.csv",
        "reconstructions",
    ]
    assert not list(target.rglob("*.safetensors"))
    assert {path: path.read_bytes() for path in before} == before


def test_a_model_without_an_encoder_is_inverted_by_optimisation_alone(
    images: Path, tmp_path: Path
) -> None:
    generator = build("conv")["g"].requires_grad_(False)
    model = InvertibleGan(codec=codec_without_encoder(generator, LATENT_SIZE))
    config = OptimiseConfig(steps=2, starts=["mean"], features="none")
    photographs = Photographs(
        folder=images,
        names=NAMES,
        size=Size(16, 16),
        max_unreadable=0,
        max_pixels=999,
        options="here",
    )
    improve = Stages(model, config, None, section="optimise", origin="here")
    target = tmp_path / "out"
    summary = inversion.invert(
        model, photographs, target, codes="npz", screen=console(True), improve=improve
    )
    assert list(improve.record.plain()["stages"]) == ["searched"]
    with np.load(target / "codes.npz") as codes:
        assert codes["codes"].shape == codes["points"].shape == (len(NAMES), LATENT_SIZE)
    assert summary.images == len(rows(target)) == len(NAMES)


def test_one_image_may_be_named(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = go(capsys, run, str(images / "deep" / "b.jpg"), f"invert.to={tmp_path}/out")
    assert found["images"] == 1
    assert (tmp_path / "out" / "reconstructions" / "b.png").exists()
    with pytest.raises(ConfigError, match=r"takes \[MODEL IMAGES\] and options"):
        invert.main([run, f"invert.to={tmp_path}/out"])


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--refine", "optimise=true"], "give one of them"),
        (["--optimise", "optimise.space=y"], "optimise.space = 'y': this model has z, u"),
        (["optimise.starts=[nowhere]"], "choose among encoder, mean, random"),
        (["refine.steps=0"], "steps = 0: must be at least 1"),
        (["refine.feature_file=/none"], "refine.feature_file = /none: not a TorchScript file"),
    ],
)
def test_impossible_searches_are_refused_before_anything_is_written(
    run: str, images: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    given = [f"storage.run={run}", f"invert.images={images}", f"invert.to={tmp_path}/out"]
    with pytest.raises(ConfigError, match=message):
        invert.main([*given, *words])
    assert not (tmp_path / "out").exists()
