"""`python -m launch evaluate`: figures of a run, with all that they depend on."""

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from cluster.storage import open_store
from datasets.index import Index
from ganinv.errors import ConfigError, DataError
from ganinv.metrics.base import pair_metrics, set_metrics
from ganinv.model import best_device
from launch.arguments import parse
from launch.config import read_sections
from launch.features import chosen_features
from launch.figures import Row, Subject, latent_rows, measure
from launch.progress import console
from launch.schema import StorageConfig
from launch.trained import load_trained

LEAST_SAMPLES = max(metric.least_samples for metric in set_metrics())
EXAMPLES = """\
Features: 'own' are the discriminator's, and compare nothing beyond one checkpoint; 'pixels' are the
images themselves, made small; 'lite0' is EfficientNet-Lite0, of an extra package. The names FID and
KID are kept for evaluate.inception, the Inception of 2015 as a TorchScript file. Figures at
different numbers of samples are not comparable.

keys:
  evaluate.samples=N       held-out images, at most, and as many generated ones (10000)
  evaluate.seed=N          of the generated images and of what metrics draw (0)
  evaluate.inception=FILE  adds FID, KID, precision and recall on FID's features
  evaluate.lite0=true      adds the same on EfficientNet-Lite0, under its name

examples:
  python -m launch evaluate storage.run=runs/tiny
  python -m launch evaluate storage.run=s3://ganinv/runs/a evaluate.samples=2000 --json
  python -m launch evaluate storage.run=runs/a evaluate.inception=inception-2015-12-05.pt
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions:
    """How many images are compared, and on which features besides `own` and `pixels`."""

    samples: int = 10_000  # held-out images, at most, and as many generated ones
    seed: int = 0  # of the generated images, and of what metrics draw at random
    inception: str | None = None  # FID's Inception as a TorchScript file
    lite0: bool = False  # EfficientNet-Lite0, from its package

    def __post_init__(self) -> None:
        if self.samples < LEAST_SAMPLES:
            raise ConfigError(f"samples = {self.samples}: must be at least {LEAST_SAMPLES}")
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}: must be 0 or more")


def main(argv: list[str]) -> int:
    arguments = parse(argv, "evaluate", "Evaluate the newest checkpoint of a run.", EXAMPLES)
    sections = read_sections(
        arguments.options, {"storage": StorageConfig, "evaluate": EvaluateOptions}
    )
    screen = console(arguments.as_json)
    answer, rows = evaluate(sections["storage"], sections["evaluate"], screen)
    if arguments.as_json:
        print(json.dumps(answer | {"figures": [_plain(row) for row in rows]}))
    else:
        _show(screen, answer, rows)
    return 0


def evaluate(
    storage: StorageConfig, options: EvaluateOptions, screen: Console
) -> tuple[dict[str, Any], list[Row]]:
    """What the figures depend on, and the figures of the newest good checkpoint.

    Raises `StorageError` and `DataError` where the run or its data set cannot be used, and
    `ConfigError` where a feature network cannot.
    """
    subject = _subject(storage, options)
    trained, index = subject.trained, subject.index
    networks = chosen_features(trained, inception=options.inception, lite0=options.lite0)
    metrics = [m for m in pair_metrics() if m.least_pixels <= index.resolution]
    rows = measure(subject, networks, metrics, screen)
    answer = {
        "storage.run": storage.run,
        "checkpoint": trained.manifest.name,
        "images_seen": trained.manifest.images_seen,
        "weights": "averaged",
        "data.url": trained.config.data.url,
        "data_fingerprint": index.fingerprint,
        "split": "test",
        "resolution": index.resolution,
        "real": subject.samples,
        "generated": subject.samples,
        "seed": options.seed,
        "device": str(trained.model.device),
        "left_out": [m.figure.name for m in pair_metrics() if m not in metrics],
        "features": {
            f.name: {"network": f.network, "sha256": f.sha256, "resize": f.resize} for f in networks
        },
    }
    return answer, latent_rows(trained) + rows


def _subject(storage: StorageConfig, options: EvaluateOptions) -> Subject:
    trained = load_trained(open_store(storage.run, endpoint_url=storage.endpoint_url))
    data = open_store(trained.config.data.url, endpoint_url=storage.endpoint_url)
    index = Index.load(data)
    if index.fingerprint != trained.manifest.data_fingerprint:
        raise DataError(
            f"{data.url} is not the data set that {storage.run} was trained on (its fingerprint "
            "differs), so nothing in it is known to be held out; restore that data set"
        )
    if index.samples("test") < LEAST_SAMPLES:
        raise DataError(
            f"{data.url} has {index.samples('test')} held-out images, an evaluation takes at least "
            f"{LEAST_SAMPLES}; evaluate a run whose data set has a split 'test'"
        )
    return Subject(
        trained=replace(trained, model=trained.model.to(best_device())),
        data=data,
        index=index,
        samples=min(options.samples, index.samples("test")),
        seed=options.seed,
    )


def _plain(row: Row) -> dict[str, Any]:
    """For JSON, which has no infinite numbers: PSNR of equal images is null."""
    return asdict(row) | {"value": row.value if math.isfinite(row.value) else None}


def _show(screen: Console, answer: dict[str, Any], rows: list[Row]) -> None:
    facts = Table(box=None, show_header=False)
    for key, value in answer.items():
        if key == "features":
            for name, network in value.items():
                text = ", ".join(f"{k} {v}" for k, v in network.items() if v is not None)
                facts.add_row(f"features {name}", text)
        elif value != []:
            facts.add_row(key, f"{value:,}" if isinstance(value, int) else str(value))
    screen.print(facts)
    table = Table("figure", "value", "unit", "better", "what it says", box=None)
    better = {True: "higher", False: "lower", None: ""}
    for row in rows:
        table.add_row(
            row.name, f"{row.value:.4g}", row.unit, better[row.higher_is_better], row.meaning
        )
    screen.print(table)
