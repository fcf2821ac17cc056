"""Tiny real trainings for tests that look closely: `ganinv train`, traced, perhaps harmed.

Ray, DeepSpeed on gloo, SeaweedFS; data on disk, so that every request to storage is about the run.
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
from tests.support.faults import Faulty, Stage
from tests.support.harms import Harm

BATCH = 16  # of the recipe
INTERVAL = 320  # images from one checkpoint to the next
END_S = 240


@dataclass(frozen=True, kw_only=True)
class RealRun:
    """A run, each command of it traced into `folder`."""

    name: str
    root: Path  # with the data and the folders of all runs of a test
    server: ObjectStore
    recipe: str = "tiny-pvdgan"
    options: tuple[str, ...] = ()
    harms: tuple[Harm, ...] = ()

    @property
    def url(self) -> str:
        return f"s3://tests/{self.root.name}/{self.name}"

    @cached_property  # opening one takes a second
    def store(self) -> Store:
        return open_store(self.url)

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @contextmanager
    def training(self, *more: str, **environment: str) -> Iterator[Faulty]:
        """Under way; ended by force at the end if need be. `more`: options."""
        self.folder.mkdir(exist_ok=True)
        harms = json.dumps([asdict(harm) for harm in self.harms])
        variables = {"GANINV_TRACE": str(self.folder), "GANINV_HARMS": harms, **environment}
        with (self.folder / "log").open("a+") as log:
            process = start(
                *self._words(*more),
                output=log,
                environment=variables,
                module="tests.support.traced_train",
            )
            try:
                yield Faulty(process, self.store, Stage(self.root, self.server), Path(log.name))
            finally:
                process.kill()
                process.wait(30)

    def train(self, *more: str, status: int = 0, **environment: str) -> None:
        """To its end, which is to have this status."""
        with self.training(*more, **environment) as running:
            assert running.process.wait(END_S) == status, self.log

    def _words(self, *more: str) -> tuple[str, ...]:
        return (
            "train", self.recipe, f"storage.run={self.url}", f"data.url={self.root}/data",
            "data.images=512", f"train.checkpoint_every={INTERVAL}",
            f"train.log_every={INTERVAL}", "evaluate.every=10000000", "evaluate.features=[]",
            *self.options, *more,
        )  # fmt: skip


MakeRun = Callable[..., RealRun]  # fixture `real_run`: by name, and what else a `RealRun` has
