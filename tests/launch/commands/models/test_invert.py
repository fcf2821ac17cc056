"""The verb `invert`, on a run that was made in this process."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import ganinv
from datasets.sources.photographs import Photographs, Placed
from ganinv.errors import ConfigError, DataError
from ganinv.metrics.psnr import psnr_db
from ganinv.pictures import to_bytes, to_images
from ganinv.sizes import Size
from launch.commands.models import invert
from launch.evaluation import inversion
from launch.evaluation.inversion import reconstruction_names
from launch.progress import console
from tests.support.inverted import NAMES, assert_refused, go, pixels, rows


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
    typed = [o.replace("FULL", str(full)).replace("IMAGES", str(images)) for o in options]
    assert_refused(run, images, tmp_path / "out", typed, message)
    assert [path.name for path in full.iterdir()] == ["letter.txt"]


def test_one_image_may_be_named(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = go(capsys, run, str(images / "deep" / "b.jpg"), f"invert.to={tmp_path}/out")
    assert found["images"] == 1
    assert (tmp_path / "out" / "reconstructions" / "b.png").exists()
    with pytest.raises(ConfigError, match=r"takes \[MODEL IMAGES\] and options"):
        invert.main([run, f"invert.to={tmp_path}/out"])
