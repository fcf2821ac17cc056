"""The page that follows a run from its storage: the result page, rendered anew after a change."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import yaml

from cluster.run_folder import options_record
from cluster.run_folder.evaluation_log import read_records
from cluster.run_folder.group_history import summarise
from cluster.run_folder.group_log import read_groups
from cluster.run_folder.metrics_log import read_rows
from cluster.run_folder.options_record import began_with, read_options
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from ganinv.errors import GanInvError
from ganinv.saved.manifest import manifests_newest_first
from ganinv.seams.stores import Store
from launch.clock import clock
from launch.evaluation.trained import Trained, load_trained
from launch.options.places import NOT_MOVED, DataPlace, StorageConfig
from launch.pages.curves import Rows
from launch.pages.facts import evaluated_on, facts, first_spectrum, headlines, spectra_of
from launch.pages.page import Headline, Page, render
from launch.pages.pictures import Pictures, held_out_of
from launch.pages.records import EvaluationRecord
from launch.pages.sections import Section
from launch.pages.standing import Standing, past_headlines, standing, standing_headlines

READ_EVERY_S = 5.0  # shortest time between two readings of storage
SAMPLES = 16
PAIRS = 8


@dataclass(frozen=True, kw_only=True)
class ShownCheckpoint:
    """The newest checkpoint and its pictures."""

    trained: Trained
    index: Index | None  # of the run's data set
    pictures: tuple[Section, ...]


@dataclass
class LivePage:
    """Renders the page. `html()` may be called from many threads, and alone reads storage."""

    storage: StorageConfig
    place: DataPlace = NOT_MOVED  # where the run's data set lies now
    _store: Store = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _read_at: float = -READ_EVERY_S
    _rendered: object = None  # the state that `_html` shows
    _html: str = ""
    _checkpoint: ShownCheckpoint | None = None
    _rows: Rows = ()
    _records: Sequence[EvaluationRecord] = ()
    _recorded: Mapping[str, Any] = field(default_factory=dict)
    _standing: Standing | None = None
    _past: tuple[Headline, ...] = ()

    def __post_init__(self) -> None:
        """Raises `StorageError` if the storage cannot be reached."""
        self._store = open_store(self.storage.run, endpoint_url=self.storage.endpoint_url)
        self._store.list(options_record.NAME)

    def html(self) -> str:
        with self._lock:
            if time.monotonic() - self._read_at >= READ_EVERY_S:
                self._refresh()
                self._read_at = time.monotonic()
            return self._html

    def _refresh(self) -> None:
        problem = ""
        try:
            self._read()
        except GanInvError as error:  # an outage ends; the page keeps what was read before
            problem = str(error)
        checkpoint = self._checkpoint.trained.manifest.name if self._checkpoint else None
        state = (self._standing, self._past, len(self._rows), checkpoint, problem)
        if state != self._rendered:
            self._html = render(self._page(problem))
            self._rendered = state

    def _read(self) -> None:
        if not self._recorded:
            self._recorded = read_options(self._store) or began_with(self._store) or {}
        self._records = read_records(self._store)
        self._rows = read_rows(self._store)
        newest = next(iter(manifests_newest_first(self._store)), None)
        images = self._recorded["train"]["images"] if self._recorded else None
        self._standing = standing(self._rows, images, newest, time.time())
        self._past = past_headlines(summarise(read_groups(self._store), time.time()))
        shown = self._checkpoint.trained.manifest.name if self._checkpoint else None
        if newest is not None and newest.name != shown:
            self._checkpoint = self._show(load_trained(self._store, data=self.place))

    def _show(self, trained: Trained) -> ShownCheckpoint:
        index, held_out = held_out_of(trained, self.storage, PAIRS)
        with torch.inference_mode():
            pictures = Pictures(
                model=trained.model,
                variance_L=first_spectrum(trained),
                held_out=held_out,
                samples=SAMPLES,
                pairs=PAIRS,
                rows=1,
            )
            sections: tuple[Section, ...] = (pictures.sampled(),)
            if trained.model.encodes:
                sections = (*sections, pictures.held_out_pairs())
        return ShownCheckpoint(trained=trained, index=index, pictures=sections)

    def _page(self, problem: str) -> Page:
        shown, rows = self._checkpoint, self._rows
        found = standing_headlines(self._standing) if self._standing else ()
        found = (*found, *self._past)
        if problem:
            found = (Headline(label=f"At {clock(time.time())}", value="trouble", meaning=problem),
                     *found)  # fmt: skip
        return Page(
            title="A run, live",
            run_url=self.storage.run,
            facts=facts(shown.trained, rows) if shown else {},
            evaluated_on=evaluated_on(shown.trained, shown.index, self._records) if shown else {},
            headlines=(*found, *(headlines(shown.trained, rows) if shown else ())),
            pictures=shown.pictures if shown else (),
            curves=rows,
            plots=shown.trained.objective.plots if shown else (),
            spectra=spectra_of(shown.trained) if shown else {},
            config_yaml=yaml.safe_dump(dict(self._recorded), sort_keys=False),
        )
