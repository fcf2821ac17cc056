"""Runs made in this process, for verbs that look at one: a data set, networks and their storage."""

from dataclasses import dataclass
from pathlib import Path

import torch

from cluster.checkpoints import contents as checkpoint
from cluster.run_folder.options_record import write_options
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.parallel import no_progress
from datasets.shards.index import Index
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.find import find_source
from datasets.streaming.mix import DataSet
from ganinv.seams.engine import LocalEngine
from ganinv.seams.stores import Store
from ganinv.training.session import Session, new_session
from launch.options.loading import load_config, load_recipe
from launch.options.schema import RunConfig
from launch.wiring.labels import with_found_condition
from launch.wiring.networks import build_networks, new_objective
from launch.wiring.same_run import record
from tests.support import saves


@dataclass(frozen=True, kw_only=True)
class MadeRun:
    """A tiny PVDGAN run that has just begun, on 16-pixel avatars unless its options say else."""

    config: RunConfig
    data: Store
    index: Index
    store: Store
    session: Session

    @property
    def identity(self) -> checkpoint.RunIdentity:
        return checkpoint.RunIdentity(
            seed=self.config.train.seed,
            data_fingerprint=self.index.fingerprint,
            image_resolution=self.index.resolution,
            image_channels=self.index.image_channels,
            image_bits=self.index.kind.facts().get("bits"),
            config=self.config.resolved,
        )

    def save(self) -> str:
        """Commit a checkpoint, as training does; returns the run's URL."""
        saves.save(self.session, self.store, identity=self.identity)
        return self.config.storage.run


def make_run(folder: Path, images: int, *words: str, data_url: str | None = None) -> MadeRun:
    """`images` in the data set, an eighth of them held out; `words` are options.

    `data_url`: a data set that is there already.
    """
    places = [f"storage.run={folder}/run", f"data.url={data_url or folder / 'data'}"]
    config = load_config(load_recipe("tiny-pvdgan"), [*places, *words])
    data, store = open_store(config.data.url), open_store(config.storage.run)
    index = Index.load(data) if data_url else _built(config, data, images)
    config = with_found_condition(config, [DataSet(store=data, index=index)], lambda _: None)
    write_options(store, record(config, index))
    session = new_session(
        new_objective(config),
        build_networks(config, index, torch.device("cpu")),
        LocalEngine,
        config=config.train,
        device=torch.device("cpu"),
    )
    return MadeRun(config=config, data=data, index=index, store=store, session=session)


def _built(config: RunConfig, data: Store, images: int) -> Index:
    wanted = config.data
    options = BuildOptions(
        images=images, resolution=wanted.resolution, channels=wanted.channels, bits=wanted.bits
    )
    assert wanted.source is not None
    source = find_source(
        wanted.source,
        options,
        Inputs(open_store=open_store, show_progress=lambda _: no_progress),
    )
    return build(source, data, options)
