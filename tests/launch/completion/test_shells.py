"""Completion in real shells, and that it never waits for torch or Ray."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganinv.errors import ConfigError
from launch.commands.completion import main
from launch.completion.cache import remembered
from launch.completion.candidates import Offers

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "ray", "deepspeed", "numpy", "omegaconf", "rich", "yaml", "fsspec")
OFFERS = Offers(
    options={"train": {"train.flip": ("true", "false"), "train.seed": ()}},
    names={"train": ("tiny-dlsgan", "tiny-pvdgan")},
)
# As an interactive bash sets them before it calls a completion function.
BASH = """
source <({command} completion bash)
COMP_LINE={line} COMP_POINT=${{#COMP_LINE}} COMP_WORDS=({command}) COMP_CWORD=1
_ganinv
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p ganinv
"""
ZSH = """
compdef() {{ }}
compset() {{ }}
compadd() {{ print -l -- "$@" }}
_files() {{ print -- files }}
source <({command} completion zsh)
words=({words}) CURRENT=$#words PREFIX=$words[-1]
_ganinv
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A script `ganinv` of this checkout, which remembers `OFFERS`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    remembered(lambda: OFFERS)
    script = tmp_path / "ganinv"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m launch "$@"\n')
    script.chmod(0o755)
    return str(script)


def run(*argv: str, folder: Path) -> list[str]:
    found = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout.splitlines()


def in_bash(command: str, rest: str, folder: Path) -> list[str]:
    script = BASH.format(command=command, line=f"'{command} {rest}'")
    *words, registered = run("bash", "--norc", "-c", script, folder=folder)
    assert registered == "complete -o default -F _ganinv ganinv"
    return words


@pytest.mark.integration
def test_bash_completes(command: str, tmp_path: Path) -> None:
    assert in_bash(command, "che", tmp_path) == ["checkpoints"]
    assert in_bash(command, "data ", tmp_path)[:2] == ["build", "index"]
    assert in_bash(command, "train tiny-d", tmp_path) == ["tiny-dlsgan"]
    assert in_bash(command, "train tiny-dlsgan train.", tmp_path) == ["train.flip=", "train.seed="]
    # bash takes = for the end of a word: only what follows is completed.
    assert in_bash(command, "train tiny-dlsgan train.flip=t", tmp_path) == ["true"]
    assert in_bash(command, "train tiny-dlsgan train.flip=", tmp_path) == ["true", "false"]
    assert in_bash(command, "train tiny-dlsgan storage.run=a", tmp_path) == [""]


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(command: str, tmp_path: Path) -> None:
    def complete(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in (command, *words))
        script = ZSH.format(command=command, words=quoted)
        return run("zsh", "-f", "-c", script, folder=tmp_path)

    assert complete("che") == ["--", "checkpoints"]
    assert complete("train", "tiny-d") == ["--", "tiny-dlsgan"]
    keys = complete("train", "tiny-dlsgan", "train.")
    assert keys == ["-S", "", "--", "train.flip=", "train.seed="]
    assert complete("train", "tiny-dlsgan", "train.flip=t") == ["--", "train.flip=true"]
    assert complete("train", "tiny-dlsgan", "storage.run=a") == ["files"]


@pytest.mark.parametrize("line", ["ganinv tr", "ganinv data ", "ganinv train tiny-dlsgan train."])
@pytest.mark.usefixtures("command")
def test_an_answer_from_the_cache_imports_nothing_heavy(line: str) -> None:
    code = (
        "import sys; from launch.__main__ import main; "
        f"status = main(['completion', 'candidates', {line!r}]); "
        f"print(status, [name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *words, last = found.stdout.splitlines()
    assert words
    assert last == "0 []"


def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["fish"], ["bash", "more"]):
        with pytest.raises(ConfigError, match="completion takes one of bash, zsh, not"):
            main(argv)
    assert main(["--help"]) == 0
    assert "source <(" in capsys.readouterr().out
