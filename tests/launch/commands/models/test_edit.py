"""The verb `edit`: its sources, and what it refuses before anything is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganinv
from ganinv.errors import ConfigError, DataError
from ganinv.pictures import to_pictures
from launch.commands.models import boundary, edit
from tests.support.made_runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run that has just begun; two boundaries lie beside its model."""
    url = make_run(tmp_path_factory.mktemp("run"), 32).save()
    words = ["boundary.principal=2", f"boundary.to={url}/boundaries.safetensors"]
    assert boundary.main([f"storage.run={url}", *words]) == 0
    return url


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "me.png")
    return tmp_path / "me.png"


def go(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert edit.main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_photograph_and_its_settings(
    run: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ganinv.load(run, device="cpu")
    with Image.open(photo) as image:
        expected = np.asarray(to_pictures(model.reconstruct(image))[0])
    go(capsys, run, str(photo), f"edit.to={tmp_path}/plain")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "plain/pictures/me.png")), expected)
    words = ["edit.by={principal 1: 1.5, element 2: -1}", "edit.to_distance={principal 2: 1}"]
    found = go(capsys, run, str(photo), f"edit.to={tmp_path}/a", *words, "refine=2")
    (one,) = found["pictures"]
    assert one["strengths"]["principal 1"] == 1.5
    assert one["distances_after"]["principal 2"] == pytest.approx(1, abs=1e-4)
    settings = f"edit.settings={tmp_path}/a/settings/me.json"
    go(capsys, run, settings, f"edit.to={tmp_path}/b")
    again = (tmp_path / "b/pictures/me.png").read_bytes()
    assert again == (tmp_path / "a/pictures/me.png").read_bytes()


def test_data_and_a_page_of_all_boundaries(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["edit.data=2", "edit.split=train", f"edit.page={tmp_path}/a.html", "edit.steps=3"]
    found = go(capsys, f"storage.run={run}", *words, "edit.elements=1")
    assert [one["picture"] for one in found["pictures"]] == ["00000000", "00000001"]
    text = (tmp_path / "a.html").read_text()
    assert text.count('type="range"') == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"give one of them, for the pictures to edit; there is none"),
        (["edit.samples=1", "edit.data=1"], r"edit\.samples and edit\.data"),
        (["edit.samples=1", "edit.to="], r"edit\.to"),
        (["edit.samples=1", "edit.by={hat: 1}"], r"'hat': no such boundary.*principal 1"),
        (["edit.samples=1", "edit.by={principal 1: much}"], r"edit\.by"),
        (["edit.samples=1", "edit.by={principal 1: .inf}"], r"must be a finite number"),
        (["edit.samples=1", "edit.strip=hat"], r"'hat': no such boundary"),
        (["edit.samples=1", "edit.by={element 999: 1}"], r"codes of this model have the elements"),
        (["edit.samples=1", "edit.steps=4"], r"steps = 4: must be odd"),
        (["edit.samples=1", "edit.mix=a"], r"write layers as FIRST-LAST"),
        (["edit.samples=1", "edit.noise_variance=0"], r"must be above 0"),
        (["edit.samples=1", "refine=2"], r"refines photographs"),
        (["edit.samples=1", "tune.steps=2"], r"takes --refine alone, not .*tune"),
        (["edit.samples=1", "edit.interpolate=arc"], r"1 pictures give 1 frames"),
        (["edit.samples=1", "edit.mix=0-1"], r"only style-based generators"),
        (["edit.data=999"], r"has \d+ images"),
        (["edit.images=/none"], r"no such folder"),
        (["edit.settings=/none"], r"No such file"),
        (["edit.samples=1", "edit.page=/x.html", "edit.boundaries=/none"], r"none"),
    ],
)
def test_what_cannot_be_edited_is_refused_before_anything_is_written(
    run: str, tmp_path: Path, words: list[str], message: str
) -> None:
    target = tmp_path / "out"
    with pytest.raises((ConfigError, DataError, ganinv.errors.StorageError), match=message):
        edit.main([f"storage.run={run}", f"edit.to={target}", *words])
    assert not target.exists()


def test_a_name_with_dots_is_one_name(run: str, tmp_path: Path) -> None:
    """OmegaConf would take `0.5` for two keys."""
    with pytest.raises(ConfigError, match=r"edit 'radius>0\.5': no such boundary"):
        edit.main([f"storage.run={run}", f"edit.to={tmp_path}/a", "edit.samples=1",
                   "edit.by={radius>0.5: 1}"])  # fmt: skip
