"""`ganinv store`: the object store for development and tests on this machine."""

import argparse
import json
import os
import shlex
from pathlib import Path

from cluster.seaweed import store as seaweed
from ganinv.errors import StorageError
from ganinv.places.loopback import spare_loopback
from ganinv.places.names import absolute
from launch.options.arguments import Parser, this_command

_EXAMPLES = """\
examples:
  ganinv store start                     a store in ./.store with the bucket 'ganinv'
  eval "$(ganinv store env)"             let this shell's commands find it
  ganinv train RECIPE storage.run=s3://ganinv/runs/first
  ganinv store start --bucket shards --bucket runs
  ganinv store status --json
  ganinv store stop                      its buckets and objects stay in ./.store
"""

_VERBS = {
    "start": "start the store unless it runs, and create missing buckets",
    "stop": "stop the store; its objects stay",
    "status": "say whether the store runs, and where",
    "env": "print shell commands that let S3 clients find the store (they contain its secret), and "
    "that unset what would outrank them",
}


def main(argv: list[str]) -> int:
    """Run one verb and return the exit status. Errors of `ganinv.errors` pass to the caller."""
    options = _parser().parse_args(argv)
    directory: Path = options.directory
    if options.verb == "start":
        _report(seaweed.start(directory, options.bucket or ["ganinv"]), directory, options.json)
    elif options.verb == "stop":
        stopped = seaweed.stop(directory)
        what = "stopped" if stopped else "was not running"
        print(json.dumps({"stopped": stopped}) if options.json else f"object store {what}")
    elif options.verb == "status":
        _report(seaweed.status(directory), directory, options.json)
    else:
        _print_environment(directory, options.json)
    return 0


def _report(store: seaweed.ObjectStore | None, directory: Path, as_json: bool) -> None:
    facts: dict[str, str | int | bool] = {
        "running": store is not None,
        "directory": str(directory.absolute()),
    }
    if store is not None:
        facts |= {"endpoint": store.endpoint_url, "pid": store.process.pid}
    if as_json:
        print(json.dumps(facts))
    elif store is None:
        print(f"no object store runs in {facts['directory']}")
    else:
        print(f"object store at {facts['endpoint']} (pid {facts['pid']}, {facts['directory']})")


def _print_environment(directory: Path, as_json: bool) -> None:
    store = seaweed.status(directory)
    if store is None:
        raise StorageError(
            f"no object store runs in {directory.absolute()}; "
            f"start it with: {this_command()} store start"
        )
    variables = store.environment() | spare_loopback(dict(os.environ))
    if as_json:
        removed = dict.fromkeys(name for name in seaweed.OUTRANKING if name in os.environ)
        print(json.dumps(variables | removed))
        return
    print(f"unset {' '.join(seaweed.OUTRANKING)}")
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ganinv store",
        description="A real S3 server (SeaweedFS) on this machine, for development and tests.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, does in _VERBS.items():
        own = verbs.add_parser(verb, help=does, description=does[0].upper() + does[1:] + ".")
        own.add_argument(
            "--directory",
            type=absolute,  # the shell leaves --directory=~/x as it is
            default=Path(".store"),
            metavar="DIR",
            help="directory of the store's data, credentials and log (default: %(default)s)",
        )
        own.add_argument("--json", action="store_true", help="print one JSON object")
        if verb == "start":
            own.add_argument(
                "--bucket",
                action="append",
                metavar="NAME",
                help="a bucket to create; repeat for several (default: ganinv)",
            )
    return parser
