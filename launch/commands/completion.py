"""`ganinv completion SHELL`: a script that completes the commands in bash or zsh."""

from pathlib import Path

from ganinv.errors import ConfigError
from launch.completion.cache import remembered
from launch.completion.candidates import Offers, candidates, needs_offers, split
from launch.verbs import SUB_VERBS

SCRIPTS = Path(__file__).parents[1] / "completion"
HELP = """\
usage: ganinv completion bash|zsh

Prints a script that completes verbs, recipes, options key= and their values. Put one of these lines
into ~/.bashrc or ~/.zshrc (there after compinit), with the path of your checkout:

  source <(~/ganinv/.venv/bin/ganinv completion bash)
  source <(~/ganinv/.venv/bin/ganinv completion zsh)

The first completion of an option takes some seconds, again after every change of the sources: it
asks all commands for their options, and remembers them in ${XDG_CACHE_HOME:-~/.cache}/ganinv. The
scripts call `ganinv completion candidates LINE`, which prints the words that complete LINE."""


def main(argv: list[str]) -> int:
    shells = SUB_VERBS["completion"]
    if argv and argv[0] in ("-h", "--help"):
        print(HELP)
    elif len(argv) == 1 and argv[0] in shells:
        print((SCRIPTS / f"ganinv.{argv[0]}").read_text(encoding="utf-8"), end="")
    elif len(argv) == 2 and argv[0] == "candidates":
        words = split(argv[1])[1:]  # without the command itself
        offers = remembered(_collect) if needs_offers(words) else Offers()
        print("\n".join(candidates(words, offers)))
    else:
        raise ConfigError(
            f"completion takes one of {', '.join(shells)}, not {' '.join(argv) or 'nothing'}; "
            "see ganinv completion --help"
        )
    return 0


def _collect() -> Offers:
    # Late: this imports all commands, and Ray and torch with them.
    from launch.completion.collecting import collect

    return collect()
