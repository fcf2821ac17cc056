"""The console script `ganinv`: from a checkout in any folder, and from a bare wheel."""

import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from ganinv import command

ROOT = Path(__file__).parents[2]
HIDING = "raise ImportError('another package of this name was imported')"
SMALL = ("data.images=64", "data.resolution=16")
Ganinv = Callable[..., subprocess.CompletedProcess[str]]


def test_a_checkout_is_told_from_site_packages_with_a_package_launch(tmp_path: Path) -> None:
    assert command.has_commands(ROOT)
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "__main__.py").write_text("")
    assert not command.has_commands(tmp_path)


def test_an_ascii_terminal_shows_the_help_of_a_bare_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["ganinv"])
    monkeypatch.setattr(sys, "stdout", out)
    assert command.main() == 2
    out.flush()
    assert b"usage: ganinv VERB" in out.buffer.getvalue()  # type: ignore[attr-defined]  # BytesIO


def test_the_command_needs_no_torch_to_find_the_checkout() -> None:
    code = "import sys, ganinv.command; print({'torch', 'numpy', 'launch'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


def sources(folder: Path) -> Path:
    """A copy of what an installation reads and a command runs; builds leave files beside it."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for room in ("ganinv", "datasets", "cluster", "launch"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def new_environment(folder: Path) -> Path:
    """A virtual environment without any package; returns the folder of its programs."""
    venv.create(folder, symlinks=True)
    return folder / "bin"


def pip(programs: Path, *words: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(programs / "python"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def runner(programs: Path, folder: Path) -> Ganinv:
    """Calls the installed script in `folder`, with no other path to a checkout."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}

    def run(*words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / "ganinv", *words],
            cwd=folder,
            env=clean,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def from_wheel(tmp_path_factory: pytest.TempPathFactory) -> Ganinv:
    """`ganinv` of a wheel that was built and installed here, without any dependency."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    where = ["--quiet", "--wheel-dir", str(folder), str(sources(folder / "sources"))]
    subprocess.run([*build, *where], check=True, timeout=120)
    (wheel,) = folder.glob("ganinv-*.whl")
    programs = new_environment(folder / "venv")
    pip(programs, "install", "--no-deps", "--no-index", str(wheel))
    return runner(programs, folder)


@pytest.mark.integration
@pytest.mark.parametrize("verb", ["train", "invert", "evaluate", "export", "completion"])
def test_a_bare_wheel_says_in_one_sentence_where_the_commands_are(
    from_wheel: Ganinv, verb: str
) -> None:
    done = from_wheel(verb, "storage.run=runs/tiny")
    assert done.returncode == 2
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(f"error: ganinv {verb}: the wheel in ")
    assert "make setup" in sentence
    assert "ganinv.load" in sentence


@pytest.mark.integration
def test_a_bare_wheel_has_help(from_wheel: Ganinv) -> None:
    done = from_wheel("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ganinv VERB")
    assert from_wheel().returncode == 2


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Ganinv:
    """`ganinv` as `make setup` installs it, typed in a folder outside of the checkout.

    That folder and site-packages hold other packages with the names of the checkout's.
    """
    folder = tmp_path_factory.mktemp("editable")
    programs = new_environment(folder / "venv")
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "of-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    checkout = sources(folder / "checkout")
    pip(programs, "install", "--no-deps", "--no-build-isolation", "--editable", str(checkout))
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for place, names in ((packages, ["datasets"]), (elsewhere, ["datasets", "launch", "cluster"])):
        for name in names:
            (place / name).mkdir()
            (place / name / "__init__.py").write_text(HIDING)
    return runner(programs, elsewhere)


@pytest.fixture(scope="module")
def built(editable: Ganinv) -> subprocess.CompletedProcess[str]:
    return editable("data", "build", "avatars", "data.url=shards", *SMALL, "--json")


@pytest.mark.integration
def test_every_verb_runs_from_any_folder(built: subprocess.CompletedProcess[str]) -> None:
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["splits"]["train"]["samples"] > 50


@pytest.mark.integration
@pytest.mark.usefixtures("built")
def test_training_runs_from_any_folder_and_relative_places_lie_there(editable: Ganinv) -> None:
    done = editable(
        "train",
        "tiny-dlsgan",
        "storage.run=run",
        "data.url=shards",
        "data.build=false",
        "evaluate.features=[]",
        "train.images=32",
        "train.global_batch=16",
        "cluster.workers=1",
        timeout_s=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = editable("checkpoints", "storage.run=run", "--json")
    assert json.loads(listed.stdout)["checkpoints"][0]["images_seen"] == 32
