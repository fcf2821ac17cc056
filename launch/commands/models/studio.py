"""`ganinv studio`: serves a page on this machine on which people edit pictures of their own."""

import importlib.util
import json
import sys
import webbrowser
from pathlib import PurePosixPath

from ganinv import load
from ganinv.errors import ConfigError
from ganinv.inversion.optimise import RefineConfig
from ganinv.saved.format import SUFFIX
from launch.editing.beside import BOUNDARIES, boundaries_of
from launch.options.arguments import parse
from launch.options.places import EndpointConfig
from launch.options.sections import read_sections
from launch.studio.options import StudioConfig
from launch.studio.serving import address, listen, private_folder, serve
from launch.studio.session import Sessions
from launch.studio.shared import Studio
from launch.studio.workshop import Workshop

PACKAGE, COMMAND = "nicegui", "pip install -c constraints.txt nicegui"
EXAMPLES = f"""\
MODEL is an export or a run. Drop a photograph on the page: its reconstruction comes at once,
sliders edit it, and picture, code and settings can be saved.

keys:
  studio.boundaries=FILE    sliders for attributes; by default {BOUNDARIES} beside the model
  studio.align=HOW          faces, crop, pad or stretch photographs; as the model's data by default
  studio.elements=6         sliders for the most informative elements of the code
  studio.principal=4        sliders for the principal directions of the generator's first layer
  studio.port=N             port of the page (any free one)
  studio.host=ADDRESS       address of the page (127.0.0.1: this machine alone)
  studio.max_upload_mb=20   megabytes of one upload
  studio.max_pixels=N       pixels of one photograph (50,000,000)
  studio.max_sessions=16    tabs that may be open at once
  refine.steps=200          and all other keys of ganinv invert --refine
  storage.endpoint_url=URL  S3 server of a model at s3://

examples:
  ganinv studio faces.safetensors --browser
  ganinv studio runs/faces studio.boundaries=faces-boundaries.safetensors studio.port=8000

Nothing leaves this machine, and nothing is kept after the end. Whoever reaches the address may use
the page: with another studio.host, that is everyone in the network.
"""
SECTIONS: dict[str, type] = {
    "storage": EndpointConfig,
    "studio": StudioConfig,
    "refine": RefineConfig,
}
SWITCHES = {"--browser": "open the page in this user's browser"}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv, "studio", "Edit pictures of your own on a page.", EXAMPLES, "MODEL", SWITCHES
    )
    sections = read_sections(arguments.options, SECTIONS)
    config: StudioConfig = sections["studio"]
    if importlib.util.find_spec(PACKAGE) is None:
        raise ConfigError(f"studio: the package {PACKAGE!r} is not installed; type {COMMAND}")
    place, endpoint_url = arguments.names[0], sections["storage"].endpoint_url
    model = load(place, endpoint_url=endpoint_url)
    workshop = Workshop(
        model,
        boundaries_of(model, place, config.boundaries, endpoint_url, _tell),
        elements=config.elements,
        principal=config.principal,
        refine=sections["refine"],
        alignment=config.align,
    )
    workshop.warm_up()
    studio = Studio(
        workshop=workshop,
        config=config,
        title=PurePosixPath(place).name.removesuffix(SUFFIX),
        sessions=Sessions(config.max_sessions),
    )
    with private_folder(), listen(config) as listening:
        url = address(config, listening)
        print(json.dumps({"url": url}) if arguments.as_json else f"{url} (Ctrl-C ends)", flush=True)
        if "--browser" in arguments.switches:
            webbrowser.open(url)
        serve(studio, listening)
    return 0


def _tell(remark: str) -> None:
    print(remark, file=sys.stderr)
