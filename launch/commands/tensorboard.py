"""`ganinv tensorboard`: writes the event files of runs for TensorBoard, and follows the runs."""

import json
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from ganinv.errors import ConfigError, StorageError
from launch.options.arguments import parse
from launch.options.places import EndpointConfig, StorageConfig
from launch.options.run_labels import labelled
from launch.options.sections import read_sections
from launch.progress import console
from launch.tensorboard.events import RunEvents

EXAMPLES = """\
Writes one folder of event files for each run: scalars of metrics.jsonl and of evaluations, the
variances of the latent code, samples, and held-out images above their reconstructions. Reads
storage alone, so the runs may be on any machine. A RUN is a directory, file:// or s3://.

keys:
  tensorboard.folder=FOLDER  the folder of the event files (tensorboard)
  tensorboard.follow=false   write what there is, and end; otherwise Ctrl-C ends
  tensorboard.every_s=S      seconds between two readings of storage (10)
  storage.endpoint_url=URL   the S3 server, if not AWS

examples:
  ganinv tensorboard runs/tiny tensorboard.follow=false
  ganinv tensorboard s3://ganinv/runs/a s3://ganinv/runs/b
  tensorboard --logdir tensorboard          # in another terminal; listens on this machine alone
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorBoardConfig:
    """Where the event files go, and for how long they are written."""

    folder: str = "tensorboard"
    follow: bool = True
    every_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.every_s > 0:
            raise ConfigError(f"every_s = {self.every_s}: must be above 0")


SECTIONS: dict[str, type] = {"storage": EndpointConfig, "tensorboard": TensorBoardConfig}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv, "tensorboard", "Write event files for TensorBoard, from storage.", EXAMPLES, "RUN…"
    )
    sections = read_sections(arguments.options, SECTIONS)
    config: TensorBoardConfig = sections["tensorboard"]
    folder = Path(config.folder)
    torch.set_num_threads(1)  # leaves the processors to a training on this machine
    screen = console(arguments.as_json)
    with ExitStack() as stack:
        runs = {}
        for label, url in labelled(arguments.names).items():
            storage = StorageConfig(run=url, endpoint_url=sections["storage"].endpoint_url)
            runs[label] = stack.enter_context(closing(RunEvents(storage, folder / label)))
        for run in runs.values():
            run.update()
        written = {label: run.written for label, run in runs.items()}
        if arguments.as_json:
            print(json.dumps({"folder": str(folder), "written": written}), flush=True)
        else:
            _say(screen, written, folder)
        if config.follow:
            _follow(list(runs.values()), config.every_s, screen)
    return 0


def _say(screen: Console, written: dict[str, int], folder: Path) -> None:
    for label, count in written.items():
        screen.print(f"{label}: {count} values and pictures", markup=False, soft_wrap=True)
    screen.print(f"tensorboard --logdir {folder}", markup=False, soft_wrap=True)


def _follow(runs: Sequence[RunEvents], every_s: float, screen: Console) -> None:
    """Until Ctrl-C. An outage of storage ends; it is named once, and what it hid comes later."""
    never, silent = threading.Event(), set[str]()
    while not never.wait(every_s):
        for run in runs:
            url = run.storage.run
            try:
                run.update()
            except StorageError as error:
                if url not in silent:
                    screen.print(f"{url}: {error}", markup=False, soft_wrap=True)
                silent.add(url)
            else:
                silent.discard(url)
