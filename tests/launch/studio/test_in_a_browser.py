"""The studio as people use it: from a photograph to saved files, in a headless Chromium."""

import base64
import io
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest
from PIL import Image

from ganinv import load
from ganinv.boundaries.directions import element_directions
from ganinv.boundaries.files import read_boundaries
from ganinv.boundaries.files import to_bytes as boundaries_file
from ganinv.editing.edits import Editor
from ganinv.editing.settings import Settings, restored
from ganinv.model import InvertibleGan
from ganinv.pictures import to_pictures
from ganinv.saved.exports import MODEL_NAME, Description, export_files
from ganinv.saved.identity import identity
from ganinv.saved.loading import load_run
from tests.support.browser import Browser, Tab, chromium
from tests.support.commands import start, wait_until
from tests.support.made_runs import make_run
from tests.support.photo_inputs import photo
from tests.support.picture_kinds import KINDS

pytestmark = pytest.mark.integration

SLIDER = "[aria-label='element ≠ most'] [tabindex]"
PICTURE = "document.querySelector('img.after').src"
FIRST, SECOND, SETTINGS = range(3)  # the page's file fields


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An untrained model, with a boundary beside it."""
    made = make_run(tmp_path / "made", 64)
    made.save()
    run = load_run(made.store)
    path = tmp_path / "model" / "faces.safetensors"
    path.parent.mkdir()
    path.write_bytes(export_files(run.model, Description.of(run.manifest))[MODEL_NAME])
    (direction,) = element_directions(run.model, identity(run.model), 1)
    named = boundaries_file([replace(direction, name="element!=most")])
    (path.parent / "boundaries.safetensors").write_bytes(named)
    return path


@pytest.fixture
def served(export: Path, tmp_path: Path) -> Iterator[tuple[str, "Popen[str]"]]:
    said, temporary = tmp_path / "studio.log", tmp_path / "temporary"
    temporary.mkdir()
    words = ("studio", str(export), "studio.max_upload_mb=1", "refine.steps=20")
    with said.open("w") as output:
        process = start(*words, output=output, environment={"TMPDIR": str(temporary)})
    try:
        wait_until(lambda: "Ctrl-C ends" in said.read_text(), 60, "the page's address")
        yield said.read_text().split()[0], process
    finally:
        process.kill()
        process.wait(30)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    folder = tmp_path / "browser"
    folder.mkdir()
    with chromium(folder) as found:
        yield found


def open_page(tab: Tab, url: str) -> None:
    tab.open(url, width=1440)
    tab.wait_for(f"document.querySelector('img.after') && {PICTURE}", "the first picture")


def shown(tab: Tab) -> bytes:
    """The edited picture, PNG."""
    return base64.b64decode(tab.evaluate(PICTURE).partition(",")[2])


def saved(folder: Path, end: str) -> bytes:
    found: list[Path] = wait_until(lambda: list(folder.glob(f"*{end}")), 30, f"a file …{end}")
    return found[0].read_bytes()


def test_from_a_photograph_to_saved_files(
    export: Path, served: tuple[str, "Popen[str]"], browser: Browser, tmp_path: Path
) -> None:
    url, process = served
    model = load(export)
    photograph = tmp_path / "me.dat"  # the content decides what it is, not the name
    photograph.write_bytes(photo(1, (300, 200), "JPEG"))
    with browser.tab() as tab, browser.tab() as other:
        tab.downloads_to(tmp_path / "saved")
        open_page(tab, url)
        open_page(other, url)
        untouched = shown(other)

        tab.drop(photograph)
        tab.wait_for("document.body.innerText.includes('dB, by the encoder')", "reconstruction")
        expected = model.reconstruct(Image.open(photograph))
        assert png_of(shown(tab)) == to_pictures(expected)[0].tobytes()
        assert tab.evaluate("document.querySelectorAll('.q-notification').length") == 0
        refuses_hostile_files(tab, tmp_path)

        before = shown(tab)
        for step in range(1, 5):
            press_right(tab)
            tab.wait_for(f"document.body.innerText.includes('+0.{5 * step:02d}')", "a moved slider")
        tab.wait_for(f"{PICTURE} != {json.dumps(data_url(before))}", "an edited picture")
        tab.press("Refine")
        tab.wait_for("document.body.innerText.includes('dB, refined')", "a refined code")
        for name in ("Picture", "Code", "Settings"):
            tab.press(name)
        settings = saved(tmp_path / "saved", "settings.json")
        picture = saved(tmp_path / "saved", "edited.png")
        assert png_of(picture) == png_of(shown(tab)) == picture_of(model, export, settings)
        with np.load(io.BytesIO(saved(tmp_path / "saved", "code.npz"))) as codes:
            assert codes["codes"].shape == (1, model.latent_size)

        assert shown(other) == untouched  # tabs do not mix
        other.choose(SETTINGS, next((tmp_path / "saved").glob("*settings.json")))
        other.wait_for(f"{PICTURE} == {json.dumps(data_url(picture))}", "the same picture again")
        other.choose(SECOND, photograph)
        other.wait_for("document.body.innerText.includes('% to me.dat')", "a second picture")

        tab.press("Undo")
        tab.wait_for("document.body.innerText.includes('dB, by the encoder')", "a step back")
        for one in (tab, other):
            assert one.errors == []
            assert all(seen.startswith((url, url.replace("http", "ws"), "data:", "blob:"))
                       for seen in one.requests), one.requests  # fmt: skip
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert list((tmp_path / "temporary").iterdir()) == []


def refuses_hostile_files(tab: Tab, folder: Path) -> None:
    """Each with a sentence; the picture stays."""
    before = shown(tab)
    for name, data, says in (
        ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing of lines"),
        ("half.jpg", photo(1, (300, 200), "JPEG")[:-2000], "half.jpg: is damaged or incomplete"),
        ("deep.png", KINDS["greyscale of 16 bits"].data, "more than 8 bits a pixel"),
        ("large.jpg", bytes(2 * 2**20), "larger than 1 MB"),
    ):
        (folder / name).write_bytes(data)
        tab.choose(FIRST, folder / name)
        tab.wait_for(
            "[...document.querySelectorAll('.q-notification')].some("
            f"one => one.innerText.includes({json.dumps(says)}))",
            f"{name} is refused",
        )
    assert shown(tab) == before


def press_right(tab: Tab) -> None:
    tab.evaluate(f"document.querySelector({json.dumps(SLIDER)}).focus()")
    for kind in ("keyDown", "keyUp"):
        tab.command("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight",
                    windowsVirtualKeyCode=39)  # fmt: skip


def picture_of(model: InvertibleGan, export: Path, settings: bytes) -> bytes:
    """The pixels that the library makes of saved settings."""
    boundaries = read_boundaries(export.parent / "boundaries.safetensors")
    editor = Editor(model, boundaries)
    found = Settings.from_json(settings)
    assert found.strengths == pytest.approx({"element!=most": 0.2})
    return to_pictures(editor.decode(restored(editor, found)))[0].tobytes()


def png_of(data: bytes) -> bytes:
    """The pixels of a PNG."""
    return Image.open(io.BytesIO(data)).tobytes()


def data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
