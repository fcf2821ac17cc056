"""Tiny real trainings: `ganinv train` with a trace of every step and, on demand, with faults.

Ray, DeepSpeed on gloo, SeaweedFS. The data is on disk: every request to storage is about the run.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from cluster.seaweed.store import ObjectStore
from cluster.storage.opening import open_store
from ganinv.seams.stores import Store
from tests.support.commands import start
from tests.support.faults import RunningTraining, Testbed
from tests.support.step_faults import StepFault

BATCH = 16  # the recipe's
INTERVAL = 320  # images between two checkpoints
END_S = 240  # the longest that a test waits for the end of a run


@dataclass(frozen=True, kw_only=True)
class RealRun:
    """A run. Each of its commands writes its trace to `folder`."""

    name: str
    root: Path  # holds the data and the folders of all runs
    server: ObjectStore
    recipe: str = "tiny-pvdgan"
    options: tuple[str, ...] = ()
    step_faults: tuple[StepFault, ...] = ()

    @property
    def url(self) -> str:
        return f"s3://tests/{self.root.name}/{self.name}"

    @cached_property  # opening a store takes a second
    def store(self) -> Store:
        return open_store(self.url)

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @contextmanager
    def training(self, *more: str, **environment: str) -> Iterator[RunningTraining]:
        """The running training, with `more` options; killed on exit if it still runs."""
        self.folder.mkdir(exist_ok=True)
        variables = {
            "GANINV_TRACE": str(self.folder),
            "GANINV_STEP_FAULTS": json.dumps([asdict(fault) for fault in self.step_faults]),
            **environment,
        }
        with (self.folder / "log").open("a+") as log:
            process = start(
                *self._words(*more),
                output=log,
                environment=variables,
                module="tests.support.traced_train",
            )
            try:
                testbed = Testbed(self.root, self.server)
                yield RunningTraining(process, self.store, testbed, Path(log.name))
            finally:
                process.kill()
                process.wait(30)

    def train(self, *more: str, status: int = 0, **environment: str) -> None:
        """Train to the end; the command must exit with `status`."""
        with self.training(*more, **environment) as running:
            assert running.process.wait(END_S) == status, self.log

    def _words(self, *more: str) -> tuple[str, ...]:
        return (
            "train", self.recipe, f"storage.run={self.url}", f"data.url={self.root}/data",
            "data.images=512", f"train.checkpoint_every={INTERVAL}",
            f"train.log_every={INTERVAL}", "evaluate.every=10000000", "evaluate.features=[]",
            *self.options, *more,
        )  # fmt: skip


MakeRun = Callable[..., RealRun]  # the fixture `real_run`: takes a name and fields of `RealRun`
