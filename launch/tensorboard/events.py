"""The event files of one run: its rows, evaluations, latent spectra and pictures.

Steps are images seen. A file is appended to while the run goes on; after a rewind of the run, or by
another call, TensorBoard is told which steps are written anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluster.run_folder.evaluation_log import read_records
from cluster.run_folder.metrics_log import read_rows
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError
from ganinv.pictures import shown, to_bytes, to_rgb_bytes, to_signed
from ganinv.saved.manifest import manifests_newest_first
from ganinv.seams.stores import Store
from launch.evaluation.trained import Trained, load_trained
from launch.options.places import NOT_MOVED, StorageConfig
from launch.pages.facts import spectra_of
from launch.pages.pictures import held_out_of

SAMPLES = 16
PAIRS = 8
SEED = 0
COORDINATES = {"images_seen", "wall_time"}  # of a row; all else is a figure
COMMAND = "pip install tensorboard"


def new_writer(folder: Path, purge_step: int | None) -> Any:
    """A `SummaryWriter`. Raises `ConfigError` if TensorBoard's package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            f"tensorboard: the package {error.name!r} is not installed; type {COMMAND}"
        ) from error
    return SummaryWriter(str(folder), purge_step=purge_step)


@dataclass
class RunEvents:
    """Follows one run into one folder of event files. `close` it."""

    storage: StorageConfig
    folder: Path
    written: int = 0  # scalars, spectra and pictures, by this object
    _store: Store = field(init=False)
    _writer: Any = field(init=False)
    _row_at: float = -1.0  # images seen of the newest row that is written
    _records: set[tuple[Any, ...]] = field(default_factory=set)
    _checkpoint: str | None = None

    def __post_init__(self) -> None:
        """Raises `StorageError` if the storage cannot be reached."""
        self._store = open_store(self.storage.run, endpoint_url=self.storage.endpoint_url)
        again = any(self.folder.glob("events.out.tfevents.*"))
        self._writer = new_writer(self.folder, 0 if again else None)

    def update(self) -> int:
        """Write what is new in storage; returns how many values and pictures that was."""
        before = self.written
        self._write_rows(read_rows(self._store))
        self._write_records(read_records(self._store))
        newest = next(iter(manifests_newest_first(self._store)), None)
        if newest is not None and newest.name != self._checkpoint:
            self._write_checkpoint(load_trained(self._store, data=NOT_MOVED))
            self._checkpoint = newest.name
        self._writer.flush()
        return self.written - before

    def close(self) -> None:
        self._writer.close()

    def _write_rows(self, rows: Sequence[Mapping[str, float]]) -> None:
        if rows and rows[-1]["images_seen"] < self._row_at:
            self._rewind(int(rows[-1]["images_seen"]))
        for row in rows:
            if row["images_seen"] > self._row_at:
                figures = {key: value for key, value in row.items() if key not in COORDINATES}
                self._scalars(figures, int(row["images_seen"]), row["wall_time"])
                self._row_at = row["images_seen"]

    def _rewind(self, images_seen: int) -> None:
        """The run went back to a checkpoint: what was logged after it is dropped."""
        self._writer.close()
        self._writer = new_writer(self.folder, images_seen + 1)
        self._row_at = images_seen
        self._records = {key for key in self._records if key[0] <= images_seen}

    def _write_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Figures of evaluations apart from those in rows, which training wrote itself."""
        for record in records:
            key = record["images_seen"], record["checkpoint"], record["recorded"]
            if record["checkpoint"] is None or key in self._records:
                continue
            figures = {k: v for k, v in record["figures"].items() if v is not None}
            self._scalars(figures, record["images_seen"], record["recorded"])
            self._records.add(key)

    def _scalars(self, figures: Mapping[str, float], step: int, time: float) -> None:
        for key, value in figures.items():
            self._writer.add_scalar(key, value, step, time)
        self.written += len(figures)

    @torch.inference_mode()
    def _write_checkpoint(self, trained: Trained) -> None:
        step = trained.manifest.images_seen
        for label, variance_L in spectra_of(trained).items():
            self._writer.add_histogram(f"latent variance/{label}", variance_L, step)
            self.written += 1
        model = trained.model
        self._pictures("samples", to_bytes(model.sample(SAMPLES, SEED)), step)
        _, held_out = held_out_of(trained, self.storage, PAIRS)
        if model.encodes and len(held_out.images_BCHW):
            again = to_bytes(model.reconstruct(to_signed(held_out.images_BCHW)))
            # Each above its reconstruction.
            strip = torch.cat([shown(held_out.images_BCHW), again], dim=2)
            self._pictures("held-out images and reconstructions", strip, step)

    def _pictures(self, tag: str, image_BCHW: Tensor, step: int) -> None:
        """All beside each other, uint8."""
        row_CHW = torch.cat(list(to_rgb_bytes(image_BCHW)), dim=2)
        self._writer.add_image(tag, row_CHW.numpy(), step)
        self.written += 1
