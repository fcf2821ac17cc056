"""Options that say where runs and data sets lie, for every command.

Apart from the other options of a run, whose dataclasses lie beside code that imports torch:
commands that only look at storage or at a cluster start without it.
"""

from dataclasses import dataclass

from ganinv.errors import ConfigError

# Keys that hold a directory, a file or a URL: relative to the folder of the command, `~` at home.
LOCATIONS = (
    "storage.run", "start.run", "data.url", "data.cache_dir", "data.input", "data.attributes",
    "evaluate.inception", "evaluate.lpips", "evaluate.lpips_heads", "export.to", "invert.images",
    "invert.to", "invert.model", "optimise.feature_file", "optimise.lpips",
    "optimise.lpips_heads", "refine.feature_file", "refine.lpips", "refine.lpips_heads",
    "report.file", "compare.folder", "monitor.directory", "profile.trace", "tensorboard.folder",
    "boundary.to", "boundary.model", "boundary.csv", "boundary.classifier",
    "objective.perceptual_file",
    "edit.to", "edit.page", "edit.model", "edit.images", "edit.settings", "edit.boundaries",
    "studio.boundaries",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageConfig:
    """Where a run lives: checkpoints, metrics and configuration."""

    run: str  # directory, file:// or s3://BUCKET/PREFIX
    endpoint_url: str | None = None  # of an S3 server other than AWS; never holds credentials
    deadline_s: float = 60.0  # how long to retry a request that fails temporarily
    lease_s: float = 30.0  # silence after which a run's writer on another host counts as dead

    def __post_init__(self) -> None:
        for key in ("deadline_s", "lease_s"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataPlace:
    """Where the data set of a trained run lies now; its fingerprint must be that of the run."""

    url: str | None = None  # None: where it lay when the run was trained


NOT_MOVED = DataPlace()


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """The S3 server of the runs."""

    endpoint_url: str | None = None  # None: AWS; credentials never go here


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The run whose model inverts, unless `invert.model` names one."""

    run: str | None = None  # directory, file:// or s3://
    endpoint_url: str | None = None  # of an S3 server that is not AWS
