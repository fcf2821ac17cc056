"""The form that all verbs share: `VERB [NAMES] [key=value …] [--json]`, and its --help."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """What was typed: words without `=`, options, whether JSON is wanted, further switches."""

    names: tuple[str, ...]
    options: tuple[str, ...]
    as_json: bool
    switches: frozenset[str] = frozenset()


def parse(
    argv: Sequence[str],
    verb: str,
    description: str,
    examples: str,
    names: str = "",
    switches: Mapping[str, str] | None = None,
) -> Arguments:
    """`names` are the leading words of the usage line, for example `RECIPE`; all are required.

    A last one with an ellipsis, `RUN…`, may be repeated. `switches` maps further words, such as
    `--cluster`, to their help. Raises `ConfigError` if there are fewer names or more.
    """
    usage = " ".join(["python -m launch", verb, *([names] if names else []), "[key=value …]"])
    parser = argparse.ArgumentParser(
        prog=f"python -m launch {verb}",
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
    names_found = tuple(word for word in found.words if "=" not in word)
    options = tuple(word for word in found.words if "=" in word)
    missing = len(names.split()) - len(names_found)
    if missing > 0 or (missing < 0 and not names.endswith("…")):
        raise ConfigError(
            f"python -m launch {verb} takes {names or 'no name'} and options key=value, not "
            f"{' '.join(names_found) or 'options alone'}; see python -m launch {verb} --help"
        )
    on = frozenset(getattr(found, "on", None) or ())
    return Arguments(names=names_found, options=options, as_json=found.json, switches=on)
