"""The facts of the result page: headlines, settings of the run, conditions of evaluations."""

import time
from collections.abc import Mapping, Sequence

import yaml
from torch import Tensor, nn

from cluster.config import EngineConfig
from datasets.shards.index import Index
from launch.evaluation.trained import Trained
from launch.pages.conditions import changes
from launch.pages.curves import Floats, Rows, finite_curve, number
from launch.pages.page import Headline
from launch.pages.records import EvaluationRecord, conditions_by_name


def headlines(trained: Trained, rows: Rows) -> tuple[Headline, ...]:
    """The few figures that tell how good the checkpoint is, from the run's evaluations."""
    found = (
        _evaluated(
            trained,
            rows,
            "eval/psnr_db_test",
            "PSNR of held-out images",
            "dB",
            "of reconstructions of images never trained on",
        ),
        _evaluated(
            trained,
            rows,
            "eval/enc",
            "Encoder loss",
            "",
            "error of the codes of generated images, 0 is best",
        ),
        *(Headline(**h._asdict()) for h in trained.objective.highlights(trained.state)),
    )
    return tuple(headline for headline in found if headline)


def facts(trained: Trained, rows: Rows) -> dict[str, str]:
    """The settings of the run, by name."""
    manifest, config, model = trained.manifest, trained.config, trained.model
    _, speeds = finite_curve(rows, "throughput/images_per_second")
    found = {
        "Method": config.objective.name,
        "Network": ", ".join(
            [
                config.network.name,
                *(
                    f"{_count(network)} parameters in the {trained.objective.roles[name].title}"
                    for name, network in model.codec.networks.items()
                ),
            ]
        ),
        "Images seen": f"{manifest.images_seen:,} in batches of {config.train.global_batch}",
        "Data set": f"{config.data.url} at {manifest.image_resolution} pixels",
        "Workers": f"{manifest.world_size}, {_engine(config.engine)}",
        "Checkpoint": manifest.name,
        "Written": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created)),
        "Versions": ", ".join(f"{k} {v}" for k, v in manifest.versions.items()),
    }
    if speeds.size:
        found["Speed"] = f"{sorted(speeds)[speeds.size // 2]:.0f} images/s (median)"
    return found


def evaluated_on(
    trained: Trained, index: Index | None, records: Sequence[EvaluationRecord]
) -> dict[str, str]:
    """The conditions of the evaluation curves, by name; `index` is the data set's, if known.

    `records`: the recorded evaluations of the run. Without a record, its options tell.
    """
    options = trained.config.evaluate
    found = {
        "Weights": "averaged",
        "Generated images": f"{options.generated_images:,}, seed {options.seed}",
        "Data set": trained.config.data.url,
        "Fingerprint of the data set": trained.manifest.data_fingerprint,
        "Resolution": f"{trained.manifest.image_resolution} pixels",
    }
    if index is not None:
        held_out = index.samples("test")
        used = min(options.test_images, held_out)
        text = f"the first {used:,} of the {held_out:,} in the split test"
        found["Held-out images"] = text if held_out else "none in the data set"
    found |= conditions_by_name(records)
    if changed := changes(records):
        found["Changed while training"] = ", ".join(changed)
    return found


def spectra_of(trained: Trained) -> dict[str, Floats]:
    """The traced variances of the latent code, with the images whose codes they are from."""
    spectra = trained.objective.spectra(trained.state)
    return {spectrum.label: spectrum.variance_L.numpy() for spectrum in spectra.values()}


def first_spectrum(trained: Trained) -> Tensor | None:
    """The most telling traced variances of the code, L; None for a method without traces."""
    spectra = trained.objective.spectra(trained.state)
    return next((spectrum.variance_L for spectrum in spectra.values()), None)


def config_yaml(recorded: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(recorded), sort_keys=False)


def _evaluated(
    trained: Trained, rows: Rows, key: str, label: str, unit: str, meaning: str
) -> Headline | None:
    """The last value at or before the checkpoint, with its images_seen."""
    x, y = finite_curve([r for r in rows if r["images_seen"] <= trained.manifest.images_seen], key)
    if not x.size:
        return None
    where = "" if x[-1] == trained.manifest.images_seen else f", taken at {x[-1]:,.0f} images"
    return Headline(label=label, value=number(y[-1]), unit=unit, meaning=f"{meaning}{where}")


def _engine(config: EngineConfig) -> str:
    return "flat engine" if config.name == "flat" else f"ZeRO stage {config.zero_stage}"


def _count(network: nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()):,}"
