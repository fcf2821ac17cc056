"""The form of all commands: `VERB [NAMES] [key=value …] [--json]`, and their --help."""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ganinv.errors import ConfigError
from ganinv.masking import masked


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """The words after the verb: names, options (`key=value`), and switches."""

    names: tuple[str, ...]
    options: tuple[str, ...]
    as_json: bool
    switches: frozenset[str] = frozenset()


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose messages hide credentials inside URLs."""

    def error(self, message: str) -> NoReturn:
        super().error(masked(message))


def parse(
    argv: Sequence[str],
    verb: str,
    description: str,
    examples: str,
    names: str = "",
    switches: Mapping[str, str] | None = None,
) -> Arguments:
    """`names` are the leading words of the usage line, for example `RECIPE`; all are required.

    A last name with an ellipsis, `RUN…`, may be repeated; names in brackets, `[MODEL IMAGES]`, are
    given all or not at all; of `[MODEL] [IMAGES]`, the last ones may be left out. `switches` maps
    further words, such as `--cluster`, to their help. Raises `ConfigError` for too few or too many
    names.
    """
    usage = " ".join(["ganinv", verb, *([names] if names else []), "[key=value …]"])
    parser = Parser(
        prog=f"ganinv {verb}",
        usage=f"{usage} [--json]",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for switch, text in (switches or {}).items():
        parser.add_argument(switch, action="append_const", dest="on", const=switch, help=text)
    found = parser.parse_intermixed_args(argv)
    names_found = tuple(word for word in found.words if not _is_option(word))
    options = tuple(word for word in found.words if _is_option(word))
    wanted = names.split()
    missing = len(wanted) - len(names_found)
    if names.startswith("[") and not names_found:
        missing = 0
    elif missing > 0:  # names in brackets of their own
        missing = max(missing - sum(w[0] == "[" and w[-1] == "]" for w in wanted), 0)
    if missing > 0 or (missing < 0 and not names.endswith("…")):
        raise ConfigError(
            f"ganinv {verb} takes {names or 'no name'} and options key=value, not "
            f"{' '.join(names_found) or 'options alone'}; see {this_command()} {verb} --help"
        )
    on = frozenset(getattr(found, "on", None) or ())
    return Arguments(names=names_found, options=options, as_json=found.json, switches=on)


def _is_option(word: str) -> bool:
    """Whether a word is `key=value`. No key holds a slash, but a path may hold `=`."""
    key, equals, _ = word.partition("=")
    return bool(equals) and "/" not in key


def this_command() -> str:
    """What a user types to start this program again, for remedies that can be pasted.

    `ganinv` if the shell finds the script of this Python, else the script's path. Nodes of a
    cluster have no script: there it is `python -m launch`, in the checkout.
    """
    script = Path(sys.executable).with_name("ganinv")
    if not script.exists():
        return "python -m launch"
    if shutil.which("ganinv") == str(script):
        return "ganinv"
    here = Path.cwd()
    return str(script.relative_to(here) if script.is_relative_to(here) else script)
