"""`ganinv demo`: starts an object store, builds data, trains, and writes a page of results."""

import os
import shutil
from pathlib import Path

from cluster.seaweed import sharing
from cluster.seaweed import store as seaweed
from ganinv.errors import ConfigError
from launch.commands.report import ReportConfig, write_report
from launch.commands.train import train
from launch.options.arguments import parse
from launch.options.loading import load_config, load_recipe
from launch.options.places import StorageConfig
from launch.progress import console

DIRECTORY = Path(".demo")
BUCKET = "ganinv"
RECIPE = "demo-pvdgan"
LOCATIONS = (f"storage.run=s3://{BUCKET}/runs/demo", f"data.url=s3://{BUCKET}/avatars32")
EXAMPLES = """\
examples:
  ganinv demo                       about ten minutes on two cores
  ganinv demo train.images=40000    shorter
  ganinv demo clean                 remove all files of the demo

All files are in ./.demo. Type the command again to resume from the last checkpoint.
"""


def main(argv: list[str]) -> int:
    if argv == ["clean"]:
        return clean()
    arguments = parse(argv, "demo", "Train on drawn faces and make a page of results.", EXAMPLES)
    words = (*LOCATIONS, *arguments.options)
    config = load_config(load_recipe(RECIPE), words)
    if config.storage.endpoint_url is not None:
        raise ConfigError("storage.endpoint_url: the demo starts its own store; leave the key out")
    out = console(arguments.as_json)
    with sharing.running(DIRECTORY / "store", [BUCKET]) as store:
        store.enter(os.environ)
        out.print(f"object store at {store.endpoint_url}, its files in {DIRECTORY.absolute()}")
        status = train(config, out)
        page = write_report(
            StorageConfig(run=config.storage.run),
            ReportConfig(file=str(DIRECTORY / "report.html")),
            out,
        )
    out.print(f"open this page in a browser: {page.as_uri()}", soft_wrap=True)
    out.print(
        "edit pictures of your own on a page, with a model that was trained longer: make studio"
    )
    return status


def clean() -> int:
    """Stop the store and remove everything that the demo made.

    Raises `StorageError` while a demo runs.
    """
    store = DIRECTORY / "store"
    if store.exists():
        with sharing.unused(store):
            seaweed.stop(store)
            shutil.rmtree(DIRECTORY)
    elif DIRECTORY.exists():
        shutil.rmtree(DIRECTORY)
    print(f"{DIRECTORY} is removed")
    return 0
