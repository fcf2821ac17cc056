"""`ganinv attach`: follow a submitted job, or stop it."""

import json

from cluster.config import ServerConfig
from cluster.jobs.server import STOP_WAIT_S, JobServer
from launch.options.arguments import parse
from launch.options.sections import read_sections
from launch.progress import console
from launch.wiring.jobs import follow

EXAMPLES = """\
examples:
  ganinv attach raysubmit_Ab12Cd34
  ganinv attach first --stop                 save, then end (status 130)
  ganinv attach first server.address=http://127.0.0.1:8265

The exit status is that of the job's command. `ganinv status --cluster` lists jobs.
"""
SECTIONS: dict[str, type] = {"server": ServerConfig}
SWITCHES = {"--stop": f"ask the job to save and end; it is killed after {STOP_WAIT_S} s"}


def main(argv: list[str]) -> int:
    arguments = parse(argv, "attach", "Follow a job on a cluster.", EXAMPLES, "JOB", SWITCHES)
    sections = read_sections(arguments.options, SECTIONS)
    server = JobServer(sections["server"].address)
    job = arguments.names[0]
    if "--stop" in arguments.switches:
        server.stop(job)
    status = follow(server, job, console(arguments.as_json))
    if arguments.as_json:
        print(json.dumps({"job": job, "status": status}))
    return status
