"""The form that all verbs share, and the command that a remedy names."""

import sys
from pathlib import Path

import pytest

from ganinv.errors import ConfigError
from launch.options.arguments import parse, this_command


@pytest.mark.parametrize(
    "typed", ["recipe --json a=1 b=2", "recipe a=1 --json b=2", "--json recipe a=1 b=2"]
)
def test_options_stand_before_and_after_a_switch(typed: str) -> None:
    found = parse(typed.split(), "verb", "", "", "NAME")
    assert found.as_json
    assert found.names == ("recipe",)
    assert found.options == ("a=1", "b=2")


def test_a_path_with_an_equals_sign_is_a_name() -> None:
    found = parse(["runs/rate=0.1", "a.b=c/d=e", "./x=y"], "verb", "", "", "RUN…")
    assert (found.names, found.options) == (("runs/rate=0.1", "./x=y"), ("a.b=c/d=e",))


def test_names_that_are_missing_or_too_many_are_refused() -> None:
    for typed in ("a=1", "one two"):
        with pytest.raises(ConfigError, match="takes NAME and options"):
            parse(typed.split(), "verb", "", "", "NAME")


def test_a_remedy_names_a_command_that_this_shell_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert this_command() == "python -m launch"  # a node, where the script is not installed
    script = programs / "ganinv"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert this_command() == ".venv/bin/ganinv"
    monkeypatch.chdir("/")
    assert this_command() == str(script).removeprefix("/")
    monkeypatch.chdir(programs.parent.parent.parent)
    with pytest.raises(ConfigError, match=r"see \S*/\.venv/bin/ganinv verb --help"):
        parse(["too", "many"], "verb", "", "", "NAME")
    monkeypatch.setenv("PATH", str(programs))
    assert this_command() == "ganinv"
