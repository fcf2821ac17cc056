"""`ganinv submit`: train as a job on a cluster; the exit status is the job's."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.config import ServerConfig
from cluster.jobs.server import JobServer
from cluster.jobs.shipping import CHECKOUT, shipped
from ganinv.errors import ConfigError
from ganinv.places.names import absolute, find_endpoint, parse_url
from launch.options.arguments import parse, this_command
from launch.options.loading import load_configs, load_recipe, recipe_names
from launch.options.places import LOCATIONS
from launch.options.schema import RunConfig
from launch.options.sections import read_sections
from launch.progress import console
from launch.wiring.jobs import FORWARDED, environment, follow

EXAMPLES = """\
recipes: {recipes}

examples:
  ray dashboard ray_cluster.yaml                       (a tunnel to the head, in another terminal)
  ganinv submit avatars32-pvdgan \\
      data.url=s3://bucket/avatars32 storage.run=s3://bucket/runs/a cluster.workers=8
  ganinv submit my.yaml storage.run=… data.url=… submit.id=first submit.follow=false
  ganinv submit … submit.env=[AWS_REGION,NCCL_DEBUG]
  ganinv attach first

Options are those of `train`, submit.id, submit.env, submit.follow, and server.address (default:
RAY_API_SERVER_ADDRESS, else RAY_ADDRESS if it is a URL). Ctrl-C stops following the job; the job
continues. The exit status is that of `train` on the cluster.
"""
# Names of variables that may hold secrets. All users of a cluster can read a job's environment.
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|_KEY|KEY_", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitConfig:
    """The name and the environment of a job."""

    id: str | None = None  # the job's id; None: Ray chooses one
    # Environment variables that are passed on to the job if they are set here.
    env: list[str] = field(default_factory=lambda: [*FORWARDED])
    follow: bool = True  # show the log until the job ends

    def __post_init__(self) -> None:
        secret = [name for name in self.env if _SECRET.search(name)]
        if secret:
            raise ConfigError(
                f"env = {secret}: may hold a secret, and all users of the cluster can read a job's "
                "environment; give the secret to the nodes instead (an IAM role, or their own "
                "environment)"
            )


# Beside the sections of a run.
SECTIONS: dict[str, type] = {"submit": SubmitConfig, "server": ServerConfig}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv,
        "submit",
        "Train as a job on a cluster.",
        EXAMPLES.format(recipes=", ".join(recipe_names())),
        "RECIPE",
    )
    own = tuple(word for word in arguments.options if word.startswith(("submit.", "server.")))
    options = tuple(word for word in arguments.options if word not in own)
    sections = read_sections(own, SECTIONS)
    submit: SubmitConfig = sections["submit"]
    config = check(arguments.names[0], options)
    words = ["train", in_checkout(arguments.names[0]), *options]
    out = console(arguments.as_json)
    files = shipped()
    server = JobServer(sections["server"].address)
    _refuse_second(server, config.storage.run)
    megabytes = sum(entry.size_bytes for entry in files) / 1e6
    out.print(f"shipping {len(files)} files, {megabytes:.1f} MB, to {server.address}")
    job = server.submit(
        words,
        environment=environment(submit.env),
        metadata={"run": config.storage.run, "recipe": arguments.names[0]},
        job_id=submit.id,
    )
    status = follow(server, job, out) if submit.follow else 0
    if arguments.as_json:
        print(json.dumps({"job": job, "storage.run": config.storage.run, "status": status}))
    elif not submit.follow:
        out.print(f"submitted {job}; {this_command()} attach {job} follows it", soft_wrap=True)
    return status


def check(recipe: str, options: Sequence[str]) -> RunConfig:
    """Check a run's options as far as possible before submitting. Raises `ConfigError`."""
    config = list(load_configs(load_recipe(recipe), options).values())[-1]
    values = dict(word.split("=", 1) for word in options)
    for key in values.keys() & set(LOCATIONS):
        value = values[key]
        if parse_url(value).scheme == "file" and "://" not in value and not value.startswith("/"):
            raise ConfigError(
                f"{key} = {value!r}: a relative path means nothing on the nodes; give an s3:// "
                "URL, or the absolute path of a directory that all nodes share"
            )
    find_endpoint(config.storage.endpoint_url)
    return config


def in_checkout(recipe: str) -> str:
    """The recipe's name on the nodes. Raises `ConfigError` for a file that is not shipped."""
    if recipe in recipe_names():
        return recipe
    path = absolute(recipe).resolve()
    if path not in {CHECKOUT / entry.name for entry in shipped()}:
        raise ConfigError(
            f"recipe {recipe!r}: is not shipped to the nodes; move it into {CHECKOUT}, to a path "
            "that no ignore file excludes"
        )
    return str(path.relative_to(CHECKOUT))


def _refuse_second(server: JobServer, run: str) -> None:
    """Raises `ConfigError` if a job trains this run already; only one may write checkpoints."""
    for job in server.jobs():
        metadata: Mapping[str, str] = job.metadata or {}
        if metadata.get("run") == run and not job.status.is_terminal():
            raise ConfigError(
                f"storage.run = {run!r}: job {job.submission_id} trains it already; follow it with "
                f"{this_command()} attach {job.submission_id}, or choose another storage.run"
            )
