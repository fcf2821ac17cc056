"""Everything that an edit writes, on a network that no run has trained."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganinv.boundaries.directions import principal_directions
from ganinv.editing.edits import Editor
from ganinv.editing.settings import Settings, restored
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.pictures import to_pictures
from ganinv.saved.identity import identity
from launch.editing.making import Made, file_name, make
from launch.editing.opening import new_editor
from launch.editing.options import EditConfig, layers_of, with_lists
from launch.editing.page import EditPage
from launch.editing.results import check_page, check_target
from launch.editing.starts import of_samples
from launch.editing.work import Work
from tests.support.codecs import codec_of
from tests.support.families import LATENT_SIZE, build
from tests.support.pages import Document

MODEL = InvertibleGan(codec=codec_of(build("conv"), torch.linspace(1.5, 0.1, LATENT_SIZE)))
STYLED = InvertibleGan(codec=codec_of(build("stylegan2"), torch.ones(LATENT_SIZE)))


def editor(model: InvertibleGan = MODEL) -> Editor:
    boundaries = principal_directions(model, identity(model), 2)
    return new_editor(model, boundaries, ["element 3"], 0)[0]


EDITOR = editor()


def run(options: EditConfig, strips: list[str], page: EditPage | None = None) -> Made:
    work = Work(EDITOR, options, strips)
    return make(work, of_samples(EDITOR, 2, 0).begin(lambda _: None), page, lambda _: None)


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_strength_zero_is_the_reconstruction_bit_for_bit(tmp_path: Path) -> None:
    """Also as a sum of a strength and its opposite, and in the middle of every strip."""
    options = EditConfig(to=f"{tmp_path}/a", by={"principal 1": 0.0, "element 3": 0.0}, steps=3)
    run(options, ["principal 2", "element 3"])
    for number in range(2):
        name = f"seed-0-{number:04d}"
        code_1L = MODEL.prior([number], 0)
        expected = np.asarray(to_pictures(MODEL.decode(code_1L))[0])
        assert np.array_equal(pixels(tmp_path / f"a/pictures/{name}.png"), expected)
        for title in ("strip-principal-2", "strip-element-3"):
            found = [pixels(tmp_path / f"a/frames/{title}/{name}/{i:03d}.png") for i in range(3)]
            assert np.array_equal(found[1], expected)
            assert not np.array_equal(found[0], found[2])


def test_settings_give_the_same_picture_bit_for_bit(tmp_path: Path) -> None:
    options = EditConfig(
        to=f"{tmp_path}/a", by={"element 3": 2.0}, to_distance={"principal 1": 2.5}, seed=1, noise=1
    )
    made = run(options, [])
    assert made.each[0]["distances_after"]["principal 1"] == pytest.approx(2.5, abs=1e-4)
    for name in made.names:
        settings = Settings.from_json((tmp_path / f"a/settings/{name}.json").read_bytes())
        image_1CHW = EDITOR.decode(restored(editor(), settings))
        expected = np.asarray(to_pictures(image_1CHW)[0])
        assert np.array_equal(pixels(tmp_path / f"a/pictures/{name}.png"), expected)


def test_ways_and_animations(tmp_path: Path) -> None:
    pairs: list[tuple[Literal["linear", "arc"], Literal["webp", "gif"]]]
    pairs = [("linear", "webp"), ("arc", "gif")]
    for way, kind in pairs:
        target = tmp_path / way
        options = EditConfig(to=str(target), by={"element 3": 2.0}, steps=3, interpolate=way,
                             animation=kind)  # fmt: skip
        made = run(options, ["principal 1"])
        assert made.files == json.loads((target / "edit.json").read_text())["files"]
        assert sorted([*made.files, "edit.json"]) == sorted(
            path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()
        )
        ends = [pixels(target / f"frames/interpolation/{number:03d}.png") for number in (0, 2)]
        for name, end in zip(made.names, ends, strict=True):
            assert np.array_equal(pixels(target / f"pictures/{name}.png"), end)
        for title in (
            "interpolation",
            f"edit/{made.names[0]}",
            f"strip-principal-1/{made.names[0]}",
        ):
            with Image.open(target / f"animations/{title}.{kind}") as moving:
                assert getattr(moving, "n_frames", 1) == 4  # forth and back
                assert moving.size == (128, 128)
        assert (target / "grids/pictures.png").exists()


def test_each_picture_is_mixed_with_each(tmp_path: Path) -> None:
    styled, _ = new_editor(STYLED, [], [], 0)
    work = Work(styled, EditConfig(to=str(tmp_path / "a"), mix="0-1"), [])
    made = make(work, of_samples(styled, 2, 0).begin(lambda _: None), None, lambda _: None)
    first, second = made.names
    own = pixels(tmp_path / f"a/pictures/{first}.png")
    assert np.array_equal(pixels(tmp_path / f"a/pictures/mixed/{first}/{first}.png"), own)
    mixed = pixels(tmp_path / f"a/pictures/mixed/{first}/{second}.png")
    assert not np.array_equal(mixed, own)
    settings = Settings.from_json(
        (tmp_path / f"a/settings/mixed/{first}/{second}.json").read_text()
    )
    expected = np.asarray(to_pictures(styled.decode(restored(styled, settings)))[0])
    assert np.array_equal(mixed, expected)
    with pytest.raises(ConfigError, match=r"layers = range\(0, 100\)"):
        Work(styled, EditConfig(mix="0-99"), [])
    with pytest.raises(ConfigError, match="only style-based generators"):
        Work(EDITOR, EditConfig(mix="0-1"), [])
    with pytest.raises(ConfigError, match="no boundaries beside the model"):
        new_editor(STYLED, [], ["hat"], 0)


def test_an_interrupted_command_leaves_the_earlier_results(tmp_path: Path) -> None:
    target, html = tmp_path / "a", tmp_path / "page.html"
    options = EditConfig(to=str(target), page=str(html), steps=3)
    page = EditPage([EDITOR.boundaries["principal 1"]], [-1.0, 0.0, 1.0], "a model")
    run(options, ["principal 1"], page)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    work = Work(EDITOR, EditConfig(to=str(target), page=str(html), by={"element 3": 1.0}), [])

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(work, of_samples(EDITOR, 2, 0).begin(interrupt), None, interrupt)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_only_results_of_edits_are_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a"
    run(EditConfig(to=str(target)), [])
    with pytest.raises(ConfigError, match=r"give edit\.overwrite=true"):
        check_target(target, overwrite=False)
    check_target(target, overwrite=True)
    (target / "pictures/mine.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"does not list .*mine\.png; move it away"):
        check_target(target, overwrite=True)
    with pytest.raises(ConfigError, match=r"edit\.page = .*exists already"):
        check_page(target / "edit.json", overwrite=False)
    with pytest.raises(ConfigError, match="exists already"):
        check_page(target, overwrite=True)


def test_the_page_is_whole_and_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [EDITOR.boundaries[name] for name in ("principal 1", "element 3")]
    options = EditConfig(page=str(tmp_path / "a.html"), steps=3, by={"principal 1": 0.5})
    run(options, [one.name for one in shown], EditPage(shown, [-3.0, 0.0, 3.0], "<script>"))
    text = (tmp_path / "a.html").read_text()
    assert text == text.replace("<script><", "")  # the model's name is escaped
    page = Closed(text)
    assert not page.open
    assert page.count("input") == 2 + 2  # sliders, pictures
    assert all(url.startswith("data:") for url in page.attributes("src", "href"))
    assert "http" not in text
    labelled = {a["for"] for tag, a in page.elements if tag == "label" and "for" in a}
    assert labelled == {"slider-0", "slider-1"}
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert [len(one["sprites"]) for one in data["pictures"]] == [2, 2]
    assert data["pictures"][0]["edits"] == ["principal 1 +0.5 σ"]
    monkeypatch.setattr("launch.editing.page.PAGE_BYTES", 10)
    small = EditPage(shown, [-3.0, 0.0, 3.0], "a model")
    run(EditConfig(page=str(tmp_path / "b.html"), steps=3), [one.name for one in shown], small)
    assert "The first 1 of 2 pictures" in (tmp_path / "b.html").read_text()


class Closed(Document):
    """Elements that are still open at the end, or were closed in another order."""

    VOID = frozenset(("meta", "img", "input"))

    def __init__(self, html: str) -> None:
        self.open: list[str] = []
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        assert self.open.pop() == tag


def test_files_of_boundaries_differ() -> None:
    names = ["a=b", "a b", "c!=d"]
    assert [file_name(name, names) for name in names] == ["a-b-1", "a-b-2", "c-not-d"]


def test_one_strip_needs_no_brackets() -> None:
    words = ["edit.strip=a!=b: c", "edit.strip=[a, b]", "edit.to=x"]
    assert with_lists(words) == ['edit.strip=["a!=b: c"]', *words[1:]]


@pytest.mark.parametrize("text", ["", "4-2", "a", "-1", "1-2-3"])
def test_layers_are_a_range(text: str) -> None:
    assert list(layers_of("2-4")) == [2, 3, 4]
    assert list(layers_of("0")) == [0]
    with pytest.raises(ConfigError, match="FIRST-LAST"):
        layers_of(text)
