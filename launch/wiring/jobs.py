"""Shared by `submit`, `attach` and `doctor`: following a job, and the environment of a job."""

import os
import re
from collections.abc import Sequence

from rich.console import Console

from cluster.jobs.server import JobServer
from ganinv.errors import ConfigError
from launch import streams
from launch.options.arguments import this_command

# Environment variables that a job receives by default, if they are set here.
FORWARDED = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")


def environment(names: Sequence[str]) -> dict[str, str]:
    """Those of the named variables that are set here, for a job.

    Raises `ConfigError` for a URL with a password in it: every user of the cluster could read it.
    """
    found = {name: os.environ[name] for name in names if os.environ.get(name)}
    for name, value in found.items():
        if re.search(r"://[^/\s]*@", value):
            raise ConfigError(f"{name}: must not carry credentials; remove the part before the @")
    return found


def follow(server: JobServer, job: str, out: Console) -> int:
    """Show a job's log until the job ends; returns its exit status.

    130 after Ctrl-C, and once nobody reads standard output any more (`| head`). Raises
    `ConfigError` and `ClusterError` as `JobServer.follow` does.
    """

    def show(text: str) -> None:
        out.print(text, end="", markup=False, soft_wrap=True)
        if streams.reader_is_gone():
            raise KeyboardInterrupt

    out.print(f"following job {job}; Ctrl-C leaves it running")
    try:
        return server.follow(job, show)
    except KeyboardInterrupt:
        out.print(
            f"\nthe job continues: {this_command()} attach {job} follows it again, "
            f"{this_command()} attach {job} --stop ends it",
            soft_wrap=True,
        )
        return 130
