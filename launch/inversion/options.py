"""The options of the stages after the encoder, and how they are asked for.

A stage runs if its switch (`--optimise`) or any of its options (`optimise.steps=300`) is given.
`refine=true` is `--refine`, and `refine=200` is `refine.steps=200`.
"""

from collections.abc import Collection, Sequence

from ganinv.errors import ConfigError
from ganinv.inversion.optimise import OptimiseConfig, RefineConfig
from ganinv.inversion.tuning import TuneConfig

SECTIONS: dict[str, type] = {
    "optimise": OptimiseConfig,
    "refine": RefineConfig,
    "tune": TuneConfig,
}
SWITCHES = {
    "--optimise": "search the code of each image by optimisation, from several starts",
    "--refine": "refine the code that the encoder gives by a few steps of optimisation",
    "--tune": "then tune the generator to each image, and write the changes as a delta",
}


def spelled_out(words: Sequence[str], switches: Collection[str]) -> tuple[list[str], set[str]]:
    """The words with `refine=200` written as `refine.steps=200`, and the stages asked for.

    Raises `ConfigError` for two ways to search at once.
    """
    asked = {switch.removeprefix("--") for switch in switches}
    found = []
    for word in words:
        key, _, text = word.partition("=")
        section = key.partition(".")[0]
        if key in SECTIONS and text in ("true", "false"):
            asked |= {key} if text == "true" else set()
            continue
        if key in SECTIONS and text.isdecimal():
            word = f"{key}.steps={text}"
        asked |= {section} & SECTIONS.keys()
        found.append(word)
    if {"optimise", "refine"} <= asked:
        raise ConfigError(
            "--optimise and --refine: both search the code of an image; give one of them, with its "
            "options"
        )
    if asked == {"tune"}:
        asked.add("refine")
    return found, asked


def search_in(asked: Collection[str]) -> str | None:
    """The section of the stage that searches codes; None if the encoder alone is wanted."""
    return next((name for name in ("optimise", "refine") if name in asked), None)
