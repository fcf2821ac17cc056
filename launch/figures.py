"""Taking the figures of a model: every metric there is, on every feature network, by batches."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track
from torch import Tensor

from datasets.index import Index
from datasets.loader import read_samples
from ganinv.evaluation import InversionSums
from ganinv.latent_scale import active_elements, latent_entropy_nats
from ganinv.metrics.base import PairMetric, set_metrics
from ganinv.metrics.features import FeatureRows, Features
from ganinv.model import to_bytes, to_signed
from ganinv.seams import Store, no_reduction
from launch.trained import Trained

BATCH = 64  # images that are read and held at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One figure. `name` is that of `metrics.jsonl` where training writes it too."""

    name: str
    value: float
    meaning: str
    unit: str = ""
    higher_is_better: bool | None = None
    features: str | None = None  # on which it was taken


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is evaluated: a model, and the data set that it was trained on."""

    trained: Trained
    data: Store
    index: Index
    samples: int  # held-out images, and as many generated ones
    seed: int

    def held_out(self, numbers: range) -> Tensor:
        """These images of the split `test`, uint8, on the model's device."""
        images, _, _ = read_samples(self.data, self.index, "test", numbers.start, len(numbers))
        return images.to(self.trained.model.device)


def measure(
    subject: Subject, networks: list[Features], metrics: list[PairMetric], screen: Console
) -> list[Row]:
    """Images come and go by batches; only their features stay."""
    model, count = subject.trained.model, subject.samples
    inversion = InversionSums(model, metrics)
    real, fake = ([FeatureRows(count) for _ in networks] for _ in range(2))
    for numbers in _batches(count, "held-out images", screen):
        images_BCHW = subject.held_out(numbers)
        inversion.add_held_out(to_signed(images_BCHW))
        for rows, features in zip(real, networks, strict=True):
            rows.put(numbers, features.extract(images_BCHW))
    for numbers in _batches(count, "generated images", screen):
        generated_BCHW = inversion.add_generated(model.prior(numbers, subject.seed))
        for rows, features in zip(fake, networks, strict=True):
            rows.put(numbers, features.extract(to_bytes(generated_BCHW)))
    found = _inversion_rows(inversion, metrics)
    for features, real_rows, fake_rows in zip(networks, real, fake, strict=True):
        found += _set_rows(features, real_rows, fake_rows, subject.seed)
    return found


def _batches(count: int, title: str, screen: Console) -> Iterator[range]:
    starts = range(0, count, BATCH)
    for start in track(starts, title, console=screen, disable=not screen.is_terminal):
        yield range(start, min(start + BATCH, count))


def _inversion_rows(inversion: InversionSums, metrics: list[PairMetric]) -> list[Row]:
    figures = inversion.figures(no_reduction)
    rows = []
    for part, images in (("test", "held-out"), ("generated", "generated")):
        for figure in (metric.figure for metric in metrics):
            name = f"eval/{figure.name}_{part}"
            rows.append(
                Row(
                    name=name,
                    value=figures[name],
                    meaning=f"{figure.meaning} of reconstructed {images} images",
                    unit=figure.unit,
                    higher_is_better=figure.higher_is_better,
                )
            )
    meaning = "encoder loss on generated images"
    rows.append(
        Row(name="eval/enc", value=figures["eval/enc"], meaning=meaning, higher_is_better=False)
    )
    return rows


def _set_rows(features: Features, real: FeatureRows, fake: FeatureRows, seed: int) -> list[Row]:
    real_NF, fake_NF = real.gathered(no_reduction), fake.gathered(no_reduction)
    rows = []
    for metric in set_metrics():
        values = metric.measure(real_NF, fake_NF, seed=seed)
        for figure in metric.figures:
            rows.append(
                Row(
                    name=f"eval/{figure.on(features.name)}",
                    value=values[figure.name],
                    meaning=figure.meaning,
                    unit=figure.unit,
                    higher_is_better=figure.higher_is_better,
                    features=features.name,
                )
            )
    return rows


def latent_rows(trained: Trained) -> list[Row]:
    variance_L = trained.objective.variances(trained.state)["fake"]
    entropy = latent_entropy_nats(trained.objective.scale(trained.state))
    return [
        Row(
            name="latent/entropy_nats",
            value=entropy,
            meaning="entropy of the scaled code",
            unit="nats",
        ),
        Row(
            name="latent/active",
            value=active_elements(variance_L),
            meaning=f"of {variance_L.numel()} elements have v > 0.1",
        ),
    ]
