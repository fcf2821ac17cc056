"""Saving in tests: to the end, and by a run that nobody else watches."""

from cluster.checkpoints.contents import RunIdentity
from cluster.checkpoints.saving import Saver
from cluster.config import CheckpointConfig
from ganinv.errors import StorageError
from ganinv.seams.stores import Store
from ganinv.training.session import Session

IDENTITY = RunIdentity(
    seed=0,
    data_fingerprint="f",
    image_resolution=16,
    image_channels=3,
    config={"train": {"seed": 0}},
)


class Counts:
    """A `SaveObserver` that remembers; what `give_up` was told is in `given_up`."""

    def __init__(self) -> None:
        self.images: list[int] = []
        self.failures = 0
        self.waited_s = 0.0
        self.given_up: list[StorageError] = []

    def save_waited(self, seconds: float) -> None:
        self.waited_s += seconds

    def uploaded(self, seconds: float) -> None:
        assert seconds > 0

    def committed(self, images_seen: int) -> None:
        self.images.append(images_seen)

    def save_failed(self) -> None:
        self.failures += 1


def nothing() -> None:
    """Prevents no commit."""


def saver_of(
    store: Store,
    keep: CheckpointConfig,
    counts: Counts | None = None,
    identity: RunIdentity = IDENTITY,
) -> Saver:
    counts = counts or Counts()
    return Saver(
        store,
        identity,
        keep,
        observer=counts,
        before_commit=nothing,
        give_up=counts.given_up.append,
        resumed=None,
    )


def save(
    session: Session,
    store: Store,
    keep: CheckpointConfig | None = None,
    identity: RunIdentity = IDENTITY,
) -> str:
    """Save and wait for the commit; the checkpoint's name. The first failure is raised."""
    keep = keep or CheckpointConfig(keep_last=2, trouble_limit_s=0)
    with saver_of(store, keep, identity=identity) as saver:
        name = saver.save(session)
        saver.finish(session)
    assert name is not None
    return name
