"""Evaluation during training, and the parts that evaluation after training also uses."""

from collections.abc import Sequence
from typing import Any

from cluster.collectives import all_reduce_sum, rank, world_size
from cluster.run_folder.evaluation_log import write_record
from datasets.reference import ReferenceFeatures
from datasets.shards.index import Index
from datasets.shards.quarantine import Quarantine, RecordBadSample, listed_samples
from datasets.streaming.config import LoaderConfig
from datasets.streaming.samples import read_attributes, read_good_images
from ganinv.evaluation.evaluator import Evaluator, Share
from ganinv.evaluation.held_out import HeldOut
from ganinv.metrics.features import Features
from ganinv.seams.stores import Store
from ganinv.training.loop import Row
from ganinv.training.session import Session
from launch.evaluation.feature_networks import FeatureNetworks
from launch.evaluation.further import further_figures
from launch.options.schema import LEAST_SAMPLES, RunConfig


def held_out_images(
    data: Store,
    index: Index,
    most: int,
    loading: LoaderConfig,
    record: RecordBadSample | None = None,
) -> HeldOut:
    """The first images of the test split, at most `most`, with their stored features.

    Corrupt images are skipped, up to the limits of `loading`; `record` records them for the run.
    """
    count = min(most, index.samples("test"))
    quarantine = Quarantine(
        loading.max_bad_samples(index.images), listed=listed_samples(data, index), record=record
    )
    return HeldOut(
        count=count,
        resolution=index.resolution,
        read=lambda numbers: read_good_images(data, index, "test", numbers, quarantine),
        attributes=lambda numbers: read_attributes(data, index, "test", numbers),
        references=ReferenceFeatures(store=data, index=index, split="test", count=count),
    )


def without_held_out(url: str, held_out: int) -> str | None:
    """What an evaluation leaves out if a data set has few or no held-out images; None if it has
    enough.
    """
    if held_out >= LEAST_SAMPLES:
        return None
    found, figures = "no held-out images", "all figures that need them: those of their"
    figures += " reconstructions, and comparisons of generated images with them"
    if held_out:
        found = f"{held_out} held-out images, and comparisons take {LEAST_SAMPLES}"
        figures = "comparisons of generated images with held-out ones"
    return (
        f"{url} has {found}: evaluations leave out {figures} (FID, Fréchet distance, precision …);"
        f" `data index data.url={url} data.test_images=N` reserves N images"
    )


def conditions(
    index: Index,
    networks: Sequence[Features],
    evaluator: Evaluator,
    *,
    images_seen: int,
    checkpoint: str | None,
) -> dict[str, Any]:
    """Everything that the evaluator's last figures depend on, and nothing else: no times, places
    or workers.
    """
    further = evaluator.further
    return {
        "checkpoint": checkpoint,
        "images_seen": images_seen,
        "weights": "averaged",
        "data_fingerprint": index.fingerprint,
        "split": "test",
        "resolution": index.resolution,
        "real": evaluator.held_out.count - evaluator.corrupt,
        "damaged": evaluator.corrupt,
        "generated": evaluator.generated,
        "seed": evaluator.seed,
        "left_out": evaluator.left_out,
        "features": {
            f.name: {"network": f.network, "sha256": f.sha256, "resize": f.resize} for f in networks
        },
        "pairs": {
            loaded.metric.figure.name: {"network": loaded.network, "sha256": loaded.sha256}
            for loaded in further.options.pairs
        },
        "further": further.options.named,
        "attributes": further.attributes,
    }


class Evaluation:
    """Evaluates with the first row, every `evaluate.every` images, and the last row; on all ranks.

    The constructor loads the feature networks. Raises `ConfigError` if one cannot be loaded.
    """

    def __init__(
        self,
        config: RunConfig,
        session: Session,
        *,
        data: Store,
        index: Index,
        run: Store,
        record: RecordBadSample | None = None,
    ) -> None:
        """`record` records corrupt held-out images for the run."""
        options = config.evaluate
        self._config = config
        self._session = session
        self._index = index
        self._run = run
        self._networks = FeatureNetworks(options, session.device)
        self._evaluator = Evaluator(
            held_out_images(data, index, options.test_images, config.data, record),
            generated=options.generated_images,
            seed=options.seed,
            share=Share(rank=rank(), world=world_size()),
            reduce=all_reduce_sum,
            further=further_figures(options, session.device),
        )

    def __call__(self) -> Row:
        if not self._due():
            return {}
        model, seen = self._session.model(), self._session.images_seen
        networks = self._networks.of(model, f"this run at {seen} images")
        figures = self._evaluator.figures(model, networks)
        if rank() == 0:
            on = conditions(
                self._index, networks, self._evaluator, images_seen=seen, checkpoint=None
            )
            write_record(self._run, on, figures)
        return figures

    def _due(self) -> bool:
        seen, step = self._session.images_seen, self._config.train.global_batch
        first = seen - step < self._config.train.log_every <= seen
        every, row = self._config.evaluate.every, self._config.train.log_every
        last_row = max(0, (seen // row - 1) * row)  # without memory of earlier rows
        return first or seen >= self._config.train.images or seen // every > last_row // every
