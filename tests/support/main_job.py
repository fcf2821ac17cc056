"""The main job as a person runs it, on an S3 prefix of its tests."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.storage.opening import open_store
from ganinv.saved.manifest import committed_names
from tests.support.commands import launch, start

IMAGES = 1600
SHORT = (
    f"train.images={IMAGES}",
    "train.checkpoint_every=400",
    "train.log_every=200",
    "evaluate.every=800",
    "data.images=256",
)


def words(s3: str, run: str, *more: str) -> tuple[str, ...]:
    """`train` of `tiny-pvdgan`, with two workers."""
    places = (f"storage.run={s3}/{run}", f"data.url={s3}/data16")
    return ("train", "tiny-pvdgan", *places, *SHORT, *more)


def train(s3: str, run: str, *more: str) -> subprocess.CompletedProcess[str]:
    return launch(*words(s3, run, *more))


@contextmanager
def training(s3: str, run: str, *more: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A training under way and the file with its output; ended by force if need be."""
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as output:
        process = start(*words(s3, run, *more), output=output, new_session=True)
        try:
            yield process, Path(output.name)
        finally:
            process.kill()
            process.wait(30)


def committed(run_url: str) -> list[int]:
    return [int(name[:12]) for name in committed_names(open_store(run_url))]
