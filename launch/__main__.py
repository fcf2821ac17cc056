"""`python -m launch VERB …`: every command of the project."""

import importlib
import sys

from cluster.jobs import ray_environment
from ganinv.errors import ConfigError, GanInvError

VERBS = {
    "data": "build, index, verify and list data sets",
    "train": "train a model here, or on the cluster named by RAY_ADDRESS",
    "submit": "train as a job on a cluster: ships this checkout, follows the log",
    "attach": "follow a submitted job again, or stop it",
    "status": "how far a run is; or nodes, workers and jobs of a cluster",
    "checkpoints": "list the checkpoints of a run",
    "evaluate": "figures of a run: reconstruction, latent code, Fréchet distance, recall …",
    "invert": "a folder of images to codes, and back to images",
    "export": "a trained model in files that need nothing of its run",
    "report": "one HTML page with pictures and curves of a run",
    "compare": "curves of several runs in the same charts, as a page and as SVG files",
    "watch": "a page that follows a run, from its storage alone",
    "monitor": "Prometheus, and Grafana where it is installed, for all runs",
    "store": "an S3 server on this machine, for development",
    "doctor": "check this machine, storage and data, or every node of a cluster",
    "demo": "store, data, training and report in one go",
}
# These speak to a cluster's job server and never start Ray here.
CLIENTS = ("submit", "attach", "status", "doctor")


def main(argv: list[str]) -> int:
    """Run a verb; print errors of ours as one sentence, and return the exit status."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    verb, *rest = argv
    try:
        if verb not in VERBS:
            raise ConfigError(f"{verb!r}: no such command; choose {', '.join(VERBS)}")
        ray_environment.prepare(client=verb in CLIENTS)
        status: int = importlib.import_module(f"launch.commands.{verb}").main(rest)
    except GanInvError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return status


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "usage: python -m launch VERB [RECIPE] [key=value …]",
            "",
            *lines,
            "",
            "python -m launch VERB --help tells more, with examples.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
