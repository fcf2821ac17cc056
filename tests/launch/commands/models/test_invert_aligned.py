"""The verb `invert` with faces and other photographs that are brought to the size of the model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganinv
from ganinv.alignment import aligning
from ganinv.alignment.pasting import paste
from ganinv.alignment.transform import FACES, Point, Transform
from ganinv.errors import ConfigError
from ganinv.sizes import Size
from launch.commands.models import export, invert
from tests.support import saves
from tests.support.inverted import go, rows
from tests.support.made_runs import make_run
from tests.support.marked_faces import find_marks, marks, photograph


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
