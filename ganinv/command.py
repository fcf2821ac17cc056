"""The console script `ganinv`: finds the checkout that holds the commands, and runs a command.

The wheel holds only the package `ganinv`: the checkout's folder `datasets` shares its name with a
well-known package and must never be installed. `make setup` makes an editable install: this file
lies in the checkout, and the commands work from every folder. Installed from a bare wheel, the
script prints that it has no commands.
"""

import importlib
import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout, or the site-packages of a bare wheel
HELP_WITHOUT_CHECKOUT = """\
usage: ganinv VERB [RECIPE] [key=value …]

This is the wheel of ganinv, which holds the Python library and no commands. In Python, ganinv.load
reads a run or an export, and the model samples, inverts and edits images.

The commands run from a checkout of the repository. Type make setup there, then
.venv/bin/ganinv --help for the list of commands."""


def main() -> int:
    """Run the command of `sys.argv`; returns its exit status, 2 if there is no checkout."""
    words = sys.argv[1:]
    replace_unprintable()
    if not has_commands(ROOT):
        return _refuse(words)
    # First, so that the checkout's `datasets` is found before any installed package of that name.
    sys.path.insert(0, str(ROOT))
    # Imported by name: the library must not depend on the commands, which import it.
    status: int = importlib.import_module("launch.__main__").main(words)
    return status


def replace_unprintable() -> None:
    """Let an ASCII terminal show `?` for what it lacks, and any for a name that is not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def has_commands(folder: Path) -> bool:
    """Whether `folder` is a checkout; site-packages may hold some other package `launch`."""
    return all((folder / name).is_file() for name in ("pyproject.toml", "launch/__main__.py"))


def _refuse(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(HELP_WITHOUT_CHECKOUT)
        return 0 if words else 2
    print(
        f"error: ganinv {words[0]}: the wheel in {ROOT} holds the library without the commands; "
        "get a checkout of the repository, type make setup there and use its .venv/bin/ganinv, or "
        "call ganinv.load in Python to sample from, invert with and edit with a trained model",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
