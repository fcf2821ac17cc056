"""Whether the options and the data are those of the run that is to be resumed."""

from typing import Any

from cluster.run_folder.options_record import DATA_KEYS, Record
from datasets.shards.index import Index
from ganinv.errors import ConfigError, DataError
from ganinv.saved.manifest import manifests_newest_first
from ganinv.seams.stores import Reader
from launch.evaluation.trained import check_fingerprint
from launch.options.loading import default_options
from launch.options.schema import RunConfig
from launch.options.words import leaves

# These options identify a run. All others may change when the run resumes.
IDENTITY = (
    "objective", "network", "start", "data.label", "data.classes", "train.global_batch",
    "train.seed", "train.flip",
)  # fmt: skip
ANEW = ", or train anew at another storage.run"
# These say which data set a run builds, and where.
BUILT = tuple(
    f"data.{key}" for key in ("url", "source", "images", "resolution", "channels", "bits", "seed")
)


def check_options(began: Record | None, config: RunConfig, run: str) -> None:
    """Raises `ConfigError` if an option of `IDENTITY` is not that which the run began with.

    `began`: what the run at `run` records. An option that is newer than the run cannot have been
    chosen for it, so it is never a reason to refuse.
    """
    if began is None:
        return
    then, now = _options(began), dict(leaves(config.resolved))
    forbidden = [
        key
        for key in sorted(_changed(began, config) & then.keys())
        if any(key == i or key.startswith(f"{i}.") for i in IDENTITY)
    ]
    if forbidden:
        lines = [
            f"{key} = {now.get(key)!r}: the run began with {then.get(key)!r}" for key in forbidden
        ]
        raise ConfigError(
            "\n".join(lines) + f"\nkeep what the run at {run} began with, or choose another "
            "storage.run"
        )


def check_may_build(began: Record | None, config: RunConfig) -> None:
    """Call before a missing data set is built. Raises `DataError` if it would be another one."""
    if began is None:
        return
    then, now = _effective(began, config), dict(leaves(config.resolved))
    if any(then.get(key) != now.get(key) for key in BUILT):
        raise DataError(
            f"data.url = {config.data.url!r}: holds no data set, and the run was trained on the "
            f"one of fingerprint {began.get('data_fingerprint')}, then at {then.get('data.url')}; "
            f"give the place where that data set is now{ANEW}"
        )


def check_data(
    began: Record | None, config: RunConfig, index: Index, mix_fingerprint: str | None, run: str
) -> None:
    """Raises `DataError` if the run was trained on other data, wherever they are now."""
    if began is None:
        return
    check_fingerprint(config.data.url, index, began["data_fingerprint"], run, ANEW)
    before = began.get("mix_fingerprint")
    if mix_fingerprint != before and (before is not None or not _options(began).get("data.mix")):
        raise DataError(
            f"data.mix: the data sets or their shares of the batch are not those that {run} was "
            f"trained on: their joint fingerprint is {mix_fingerprint}, and that of the run is "
            f"{before}; give those data sets and weights, or choose another storage.run"
        )


def changes(began: Record | None, config: RunConfig) -> list[str]:
    """One sentence for each option that has changed since the run began."""
    if began is None:
        return []
    now = dict(leaves(config.resolved))
    effective = _effective(began, config)
    changed = sorted(_changed(began, config))
    return [f"{key}: {effective.get(key)!r} → {now.get(key)!r}" for key in changed]


def is_trained(run: Reader, config: RunConfig) -> bool:
    """Whether a checkpoint has seen all images."""
    manifests = manifests_newest_first(run)
    return bool(manifests) and manifests[0].images_seen >= config.train.images


def record(config: RunConfig, index: Index, mix_fingerprint: str | None = None) -> dict[str, Any]:
    """The content of the run's `config.yaml`. The schema has no place for credentials."""
    return {
        **config.resolved,
        "image_resolution": index.resolution,
        "data_fingerprint": index.fingerprint,
        "mix_fingerprint": mix_fingerprint,
    }


def _changed(began: Record, config: RunConfig) -> set[str]:
    now, before = dict(leaves(config.resolved)), _effective(began, config)
    return {key for key in now.keys() | before.keys() if before.get(key) != now.get(key)}


def _effective(began: Record, config: RunConfig) -> dict[str, Any]:
    """The options of the run; one that is newer than the run had the effect of its default."""
    own = _options(began)
    groups = {key[:end] for key in own for end, letter in enumerate(key) if letter == "."}
    # A schedule replaces a number.
    defaults = {k: v for k, v in leaves(default_options(config)) if k not in groups}
    return defaults | own


def _options(began: Record) -> dict[str, Any]:
    return dict(leaves({k: v for k, v in began.items() if k not in DATA_KEYS}))
