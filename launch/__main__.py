"""Every command of the project: `ganinv VERB …`, or `python -m launch VERB …` in the checkout."""

import importlib
import sys

from ganinv.errors import ConfigError, GanInvError
from launch import environment, signals, streams
from launch.verbs import CLIENTS, VERBS, module_of


def main(argv: list[str]) -> int:
    """Run a verb and return the exit status; an error of ours is printed as one sentence.

    Ctrl-C, SIGTERM and a closed terminal end the verb with status 130.
    """
    streams.install()
    signals.install()
    try:
        environment.prepare()
        status = _run(argv)
        streams.check()
    except GanInvError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return status


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    verb, *rest = argv
    if verb not in VERBS:
        raise ConfigError(f"{verb!r}: no such command; choose {', '.join(VERBS)}")
    # Late: `environment.prepare` has made sure that this is our package.
    ray_environment = importlib.import_module("cluster.jobs.ray_environment")
    ray_environment.prepare(client=verb in CLIENTS)
    status: int = importlib.import_module(module_of(verb)).main(rest)
    return status


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "usage: ganinv VERB [RECIPE] [key=value …]",
            "",
            *lines,
            "",
            "ganinv VERB --help explains a verb, with examples.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
