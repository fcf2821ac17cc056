"""`data.align=faces`: faces at one place, their transforms in the shards, and what has no face."""

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.storage.opening import open_store
from datasets.building import build as building
from datasets.building.build import build
from datasets.building.report import BuildReport
from datasets.parallel import no_progress
from datasets.shards.index import Index
from datasets.shards.verify import verify
from datasets.sources import find, photographs
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.geometry import recorded_alignment
from datasets.streaming.samples import read_samples
from ganinv.alignment import aligning
from ganinv.alignment.transform import FACES, Point, Transform
from ganinv.errors import ConfigError, DataError
from ganinv.seams.stores import Store
from tests.support.marked_faces import find_marks, marks, photograph
from tests.support.photo_inputs import write_tar

INPUTS = Inputs(open_store=open_store, show_progress=lambda _: no_progress)
FACED = {
    "a": marks(Point(90, 70), 24, degrees=15),
    "b": marks(Point(60, 80), 30, degrees=-40),
    "c": marks(Point(100, 60), 20),
}


@pytest.fixture
def without_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligning, "find_landmarks", find_marks)
    monkeypatch.setattr(find, "need_faces", lambda _: None)
    monkeypatch.setattr(building, "versions", lambda: "discs")


def encoded(name: str) -> bytes:
    file = io.BytesIO()
    photograph((160, 140), FACED.get(name), radius=5).save(file, "PNG")
    return file.getvalue()


def folder_of(place: Path) -> str:
    for name in "abcd":
        (place / f"{name}.png").write_bytes(encoded(name))
    return str(place)


def zip_of(place: Path) -> str:
    with zipfile.ZipFile(place / "faces.zip", "w") as archive:
        for name in "abcd":
            archive.writestr(f"{name}.png", encoded(name))
    return str(place / "faces.zip")


def tar_of(place: Path) -> str:
    write_tar(place / "faces.tar", {f"{name}.png": encoded(name) for name in "abcd"})
    return str(place)


def made(place: Path, source: str, where: str, **more: Any) -> tuple[Index, Store]:
    if source == "folder":
        source = where
    else:
        more["input"] = where
    options = BuildOptions(
        resolution=32, align=FACES, max_unreadable=0.3, split_by_name=False, **more
    )
    store = open_store(str(place / "made"))
    return build(find.find_source(source, options, INPUTS), store, options), store


@pytest.mark.usefixtures("without_dlib")
@pytest.mark.parametrize(
    ("source", "write"), [("folder", folder_of), ("stylegan", zip_of), ("webdataset", tar_of)]
)
def test_faces_lie_at_one_place_and_the_shards_say_where_they_were(
    source: str, write: Callable[[Path], str], tmp_path: Path
) -> None:
    (tmp_path / "input").mkdir()
    index, store = made(tmp_path, source, write(tmp_path / "input"))
    assert index.description["align"] == "faces"
    assert recorded_alignment(index.description) == FACES
    assert verify(index, store) == []
    images, _, attributes = read_samples(store, index, "train", 0, index.samples("train"))
    assert index.images == len(FACED)
    for image_CHW, found in zip(images, attributes, strict=True):
        known = found["alignment"]
        # A zip archive names images by numbers, and keeps their own names as attributes.
        name = Path(found.get("file") or known["photograph"].split()[-1]).stem
        transform = Transform.from_plain(known["transform"], name)
        assert transform.photograph == (160, 140)
        for channel, centre in enumerate(FACED[name]):
            place = transform.to_image(centre)
            assert image_CHW[channel, int(place.y), int(place.x)] > 200
        left, right, _ = map(transform.to_image, FACED[name])
        # In FFHQ's square, the middle of the eyes is a tenth of the way to the mouth above it.
        assert left.y == pytest.approx(right.y, abs=0.3)
        assert (left.x + right.x) / 2 == pytest.approx(16, abs=0.3)


@pytest.mark.usefixtures("without_dlib")
def test_photographs_without_a_face_are_named_and_counted(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    where = folder_of(tmp_path / "input")
    _, store = made(tmp_path, "folder", where)
    report = BuildReport.load(store)
    assert report.left_out.counts() == {photographs.WITHOUT_FACE: 1}
    (skipped,) = report.skipped
    assert skipped.path == "d.png"
    assert "no face found" in skipped.reason
    options = BuildOptions(resolution=32, align=FACES)
    with pytest.raises(DataError, match=r"d\.png: no face found.*over data\.max_unreadable=0\.01"):
        build(find.find_source(where, options, INPUTS), open_store(str(tmp_path / "b")), options)


@pytest.mark.usefixtures("without_dlib")
def test_an_attribute_of_the_same_name_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    table = tmp_path / "labels.jsonl"
    table.write_text(json.dumps({"file": "b.png", "alignment": "good"}) + "\n")
    with pytest.raises(DataError, match=r"b\.png: it has an attribute 'alignment'"):
        made(tmp_path, "folder", folder_of(tmp_path / "input"), attributes=table)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"align": "eyes"}, r"data\.align=eyes is not faces"),
        ({"align": FACES, "resize": "pad"}, r"data\.resize=pad is for photographs"),
    ],
)
def test_impossible_alignments_are_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        BuildOptions(**given)  # type: ignore[arg-type]


def test_drawn_images_and_a_missing_extra_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"data\.align=faces is for photographs.*avatars"):
        find.find_source("avatars", BuildOptions(align=FACES), INPUTS)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"data\.align=faces needs the package 'dlib'"):
        find.find_source(str(tmp_path), BuildOptions(align=FACES), INPUTS)


def test_photographs_that_are_not_aligned_keep_their_attributes_and_description() -> None:
    """Fingerprints of data sets that older versions built stay as they are."""
    assert "align" not in BuildOptions().geometry.facts()
    assert BuildOptions(resize="pad").geometry.facts()["resize"] == "pad"
    for facts in ({}, {"resize": "crop"}, {"resize": "of a newer version"}):
        assert recorded_alignment({"source": "folder", **facts}) is None
    assert recorded_alignment({"source": "folder", "resize": "stretch"}) == "stretch"


@pytest.mark.integration
def test_a_photograph_of_a_face_through_the_whole_build(tmp_path: Path) -> None:
    """The same with dlib, in the processes of a build."""
    for package in ("dlib", "face_recognition_models"):
        pytest.importorskip(package, reason="extra 'faces' is missing")
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        pytest.skip("scikit-image, which holds a photograph of a face, is missing")
    (tmp_path / "input").mkdir()
    with Image.open(Path(found.origin).parent / "data" / "astronaut.png") as picture:
        for number in range(3):
            picture.convert("RGB").rotate(5 * number).save(tmp_path / f"input/{number}.png")
    index, store = made(tmp_path, "folder", str(tmp_path / "input"), workers=2)
    images, _, _ = read_samples(store, index, "train", 0, index.samples("train"))
    assert len(images) == 3
    spread = np.asarray(images, float).std(axis=0)
    assert spread.mean() < 20  # three times the same face; three random crops differ by 60
