"""What every worker of a run does; connects storage, data, model and training."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import ray
import torch
from torch import Tensor, nn

from cluster.checkpoints import contents as checkpoint
from cluster.checkpoints.saving import Saver
from cluster.collectives import all_reduce_sum, broadcast_object, rank, world_size
from cluster.engine import DeepSpeedEngine
from cluster.flat_engine import FlatEngine
from cluster.machines.nodes import listening_address
from cluster.monitoring.exporter import Exporter
from cluster.run_folder.corrupt_samples import RunQuarantine
from cluster.run_folder.evaluation_log import forget_after
from cluster.run_folder.lease import FencingToken
from cluster.storage.counting import CountingStore
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from cluster.storage.write_behind import WriteBehind
from cluster.workers.heap import keep_freed_memory
from cluster.workers.own_start import end_phase
from cluster.workers.watchdog import Watchdog
from datasets.shards.index import Index
from datasets.shards.quarantine import RecordBadSample
from datasets.sources.geometry import recorded_alignment
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet, joint_fingerprint
from ganinv.precision import check_precision, use_kernels_of
from ganinv.saved.manifest import Manifest, committed_names
from ganinv.seams.batches import BadSample
from ganinv.seams.engine import Engine
from ganinv.seams.stores import Store
from ganinv.training.acceleration import accelerated_rounds
from ganinv.training.config import lay_out_batch
from ganinv.training.loop import run
from ganinv.training.session import Session, new_session
from ganinv.training.statistics import derived_statistics
from launch.evaluation.in_training import Evaluation
from launch.options.schema import RunConfig
from launch.wiring.acceleration import check_acceleration
from launch.wiring.data_sets import open_data_sets
from launch.wiring.networks import build_networks, new_objective, start_networks
from launch.wiring.watching import Watcher, run_worker, worker_device

log = logging.getLogger(__name__)


def train_worker(payload: dict[str, Any]) -> None:
    """Ray Train's training function."""
    end_phase("training code")
    keep_freed_memory()
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    config, directory, lease = payload["config"], payload["directory"], payload["lease"]
    run_worker(directory, config.cluster, lambda: _train(config, directory, lease))


def build_session(config: RunConfig, index: Index, device: torch.device, fresh: bool) -> Session:
    """A session with the engines that `engine.name` chooses, equal on every rank.

    `fresh`: the run has no checkpoint, so its networks may start from another run's networks.
    """
    layout = lay_out_batch(config.train, world_size())
    objective = new_objective(config)
    built = build_networks(config, index, torch.device("cpu"))
    origin = start_networks(config, built) if fresh else None

    def engine(network: nn.Module, optimizer: torch.optim.Optimizer) -> Engine:
        precision = config.train.precision
        if config.engine.name == "flat":
            return FlatEngine(network, optimizer, layout.micro_batches, precision=precision)
        return DeepSpeedEngine(network, optimizer, config.engine, layout, precision)

    frozen = frozenset(config.start.frozen or ())
    session = new_session(
        objective, built, engine, config=config.train, device=device, frozen=frozen
    )
    session.started_from = origin.plain() if origin else None
    return session


def _train(config: RunConfig, directory: Any, lease: FencingToken) -> None:
    objective = new_objective(config)
    exporter = Exporter(
        config.storage.run,
        rank(),
        world_size(),
        listening_address(config.metrics.host),
        (*objective.statistics, *derived_statistics(objective)),
    )
    with ExitStack() as opened:
        opened.enter_context(closing(exporter))
        node = ray.util.get_node_ip_address()
        ray.get(directory.register_exporter.remote(rank(), world_size(), exporter.address, node))
        # Without an answer: an error that ends this worker must not be hidden by a lost directory.
        opened.callback(directory.withdraw_exporter.remote, rank(), exporter.address)
        exporter.planned(config.train.images, config.train.checkpoint_every)
        storage, data_sets = _open_storage(config, exporter)
        end_phase("data sets")
        index = data_sets[0].index
        device = worker_device(config.cluster)
        check_precision(config.train.precision, device)
        check_acceleration(config, device)
        use_kernels_of(config.train.precision, device, deterministic=config.train.deterministic)
        fresh = broadcast_object(not committed_names(storage) if rank() == 0 else None)
        session = build_session(config, index, device, fresh)
        end_phase("engines")
        identity = _identity(config, data_sets)
        resumed = _restore(session, storage, identity)
        end_phase("checkpoint")
        if resumed is not None:
            log.info("resuming from checkpoint %s", resumed.name)
            exporter.committed(resumed.images_seen)
        logs = opened.enter_context(closing(WriteBehind(storage)))
        watchdog = _watchdog(config)
        watcher = Watcher(exporter, directory, logs, session.images_seen, watchdog)
        session.rounds = accelerated_rounds(
            session.objective, config.train, making=lambda: watcher.timed("compile")
        )

        def before_commit() -> None:
            logs.flush()  # after a resume, no row before the checkpoint may be missing
            lease.check(storage)

        saver = Saver(
            storage,
            identity,
            config.checkpoint,
            observer=watcher,
            before_commit=before_commit,
            give_up=lambda error: ray.get(directory.fail.remote(error)),
            resumed=resumed,
        )
        opened.enter_context(saver)
        exporter.enter("compute")
        with closing(watchdog):
            done = _run(
                config, session, data_sets, storage, identity, exporter, watcher, saver, logs
            )
        with exporter.timed("checkpoint"):
            saver.finish(session)
        watcher.finish(done=done)


def _run(
    config: RunConfig,
    session: Session,
    data_sets: Sequence[DataSet],
    storage: Store,
    identity: checkpoint.RunIdentity,
    exporter: Exporter,
    watcher: Watcher,
    saver: Saver,
    logs: WriteBehind,
) -> bool:
    """Run the loop from the session's position. False if a stop was requested before the end."""
    data, record = data_sets[0], _recording(storage, data_sets, exporter)

    def save() -> None:
        watcher.flush()
        saver.save(session)

    def restore() -> str | None:
        saver.wait()  # a save in progress may become the newest checkpoint
        logs.flush()  # `_restore` can only remove records that are written
        manifest = _restore(session, storage, identity)
        return manifest.name if manifest is not None else None

    def reduce(total: Tensor) -> Tensor:
        with exporter.timed("communicate"):
            return all_reduce_sum(total)

    return run(
        session,
        config.train,
        lay_out_batch(config.train, world_size()),
        source=_source(config, data_sets, record),
        reduce=reduce,
        observer=watcher,
        save=save,
        restore=restore,
        evaluate=Evaluation(
            config, session, data=data.store, index=data.index, run=logs, record=record
        ),
    )


def _restore(session: Session, storage: Store, identity: checkpoint.RunIdentity) -> Manifest | None:
    """Restore the newest intact checkpoint, and remove the records of later evaluations."""
    manifest = checkpoint.restore(session, storage, identity)
    if rank() == 0:
        forget_after(storage, session.images_seen)
    return manifest


def _watchdog(config: RunConfig) -> Watchdog:
    return Watchdog(
        floor_s=config.cluster.hang_floor_s,
        first_s=config.cluster.start_timeout_s,
        patient_s=max(config.cluster.collective_timeout_s, config.data.deadline_s),
    )


def _identity(config: RunConfig, data_sets: Sequence[DataSet]) -> checkpoint.RunIdentity:
    index, batch = data_sets[0].index, config.train.global_batch
    return checkpoint.RunIdentity(
        seed=config.train.seed,
        data_fingerprint=index.fingerprint,
        image_resolution=index.resolution,
        image_channels=index.image_channels,
        config=config.resolved,
        mix_fingerprint=joint_fingerprint(data_sets, batch) if config.data.mix else None,
        image_alignment=recorded_alignment(index.description),
        image_bits=index.kind.facts().get("bits"),
    )


def _open_storage(config: RunConfig, exporter: Exporter) -> tuple[Store, list[DataSet]]:
    """The run's folder and its data sets; their stores count and retry requests."""
    endpoint = config.storage.endpoint_url
    retries = RetryPolicy(deadline_s=config.data.deadline_s, on_repeat=exporter.repeated)

    def open_at(url: str) -> Store:
        opened = open_store(url, endpoint_url=endpoint, retries=retries)
        return CountingStore(opened, exporter.requested)

    run_retries = RetryPolicy(
        deadline_s=config.storage.deadline_s,
        option="storage.deadline_s",
        on_repeat=exporter.repeated,
    )
    run_folder = open_store(config.storage.run, endpoint_url=endpoint, retries=run_retries)
    return CountingStore(run_folder, exporter.requested), open_data_sets(config.data, open_at)


def _recording(storage: Store, data_sets: Sequence[DataSet], exporter: Exporter) -> RecordBadSample:
    """Counts corrupt samples and records them in the run's folder."""
    kept = RunQuarantine(storage, {data_set.store.url for data_set in data_sets})

    def record(sample: BadSample) -> list[BadSample]:
        exporter.quarantined()
        return kept.record(sample)

    return record


def _source(
    config: RunConfig, data_sets: Sequence[DataSet], record: RecordBadSample
) -> ShardBatches:
    """This rank's share of the batches."""
    return ShardBatches(
        data_sets,
        "train",
        seed=config.train.seed,
        global_batch=config.train.global_batch,
        rank=rank(),
        world=world_size(),
        config=replace(
            config.data, attributes=config.data.attributes or config.data.label is not None
        ),
        record=record,
        pin=config.cluster.use_gpu,
    )
