"""All options of a run: one dataclass per section, mostly defined beside the code it configures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.config import CheckpointConfig, ClusterConfig, EngineConfig, MetricsConfig
from datasets.streaming.config import LoaderConfig
from ganinv import networks, objectives
from ganinv.errors import ConfigError
from ganinv.kinds.kind import Kind
from ganinv.metrics import precision_recall
from ganinv.sizes import size_of
from ganinv.training.config import TrainConfig
from launch.options.places import StorageConfig

# Sections whose dataclass depends on a name, with the family that knows the name.
CHOICES = {"objective": objectives, "network": networks}
# Feature networks by name; FID's Inception is given as a file.
FEATURES = ("own", "pixels", "lite0")
# Figures that take so long, or so many packages, that they are computed only where they are named.
FURTHER = ("swd_patches", "path_length", "separability", "identity")
# The least number of real images, and of generated images, for figures on features. A metric that
# needs more is left out of evaluations that have fewer.
LEAST_SAMPLES = precision_recall.METRIC.least_samples


@dataclass(frozen=True, kw_only=True, slots=True)
class StartConfig:
    """Networks of another run to start from, before the first checkpoint of this one."""

    run: str | None = None  # directory, file:// or s3://BUCKET/PREFIX of the other run
    checkpoint: str | None = None  # its name; None: the newest when this run starts
    networks: list[str] | None = None  # their names, such as [g]; None: all
    weights: Literal["average", "current"] = "average"  # which weights of these networks to load
    frozen: list[str] | None = None  # of these: never trained, weights stay bit for bit

    def __post_init__(self) -> None:
        if self.run is None:
            for key in ("checkpoint", "networks", "frozen"):
                if getattr(self, key) is not None:
                    raise ConfigError(
                        f"{key} = {getattr(self, key)!r}: needs a run; also give start.run"
                    )
        if self.networks is not None:
            for name in self.frozen or ():
                if name not in self.networks:
                    raise ConfigError(
                        f"frozen = {self.frozen}: {name!r} is not among networks = "
                        f"{self.networks}, so it would keep random weights; add it there"
                    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MixConfig:
    """One more data set to train with."""

    url: str  # directory, file:// or s3://BUCKET/PREFIX with an index
    weight: float = 1.0  # its share of every batch, relative to other data sets

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigError(f"mix: the weight {self.weight} of {self.url} must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig(LoaderConfig):
    """The data set. `source` to `seed` are used only if the run builds the data set."""

    url: str  # directory, file:// or s3://BUCKET/PREFIX with an index
    weight: float = 1.0  # its share of every batch, if there is a mix
    mix: list[MixConfig] = field(
        default_factory=list
    )  # further data sets: [{url: …, weight: …}, …]
    build: bool = True  # build it first if it does not exist and the recipe names a source
    source: str | None = None  # built-in source, for example avatars
    images: int | None = None  # to build; None: the source's default number
    resolution: int | str = 32  # pixels a side, or WIDTHxHEIGHT, to build
    channels: int = 3  # to build: 1 grey, 2 grey and opacity, 3 RGB, 4 RGB and opacity
    bits: int = 8  # of each channel to build, 8 or 16
    seed: int = 0  # of a procedural source
    # An attribute of the samples, for conditional training: networks see the class of each image.
    label: str | None = None
    classes: list[str] | None = None  # of the label, in order; None: those that the samples have
    deadline_s: float = 240.0  # how long to retry when object storage fails temporarily
    cache_dir: str | None = None  # on local disk, shared by a node's workers; None: no cache
    cache_bytes: int = 20 * 2**30  # upper limit of the cache

    def __post_init__(self) -> None:
        LoaderConfig.__post_init__(self)
        size_of(self.resolution)
        Kind(channels=self.channels, bits=self.bits)
        if self.classes is not None and self.label is None:
            raise ConfigError(
                f"classes = {self.classes}: are those of a label; also give data.label=ATTRIBUTE"
            )
        for key in ("weight", "deadline_s", "cache_bytes"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureOptions:
    """Options of every evaluation, during training or after it."""

    seed: int = 0  # of the generated images, and of all random draws of metrics
    features: list[str] = field(default_factory=lambda: ["pixels"])  # networks, see FEATURES
    inception: str | None = None  # adds FID and KID: the Inception of 2015 as a TorchScript file
    further: list[str] = field(default_factory=list)  # figures that take longer, see FURTHER
    lpips: str | None = None  # adds LPIPS: torchvision's VGG16 or AlexNet, .pth or .safetensors
    lpips_heads: str | None = None  # linear heads of LPIPS; None: in the same file

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}: must be 0 or more")
        for key, chosen, known in (
            ("features", self.features, FEATURES), ("further", self.further, FURTHER)
        ):  # fmt: skip
            if set(chosen) - set(known) or len(set(chosen)) < len(chosen):
                raise ConfigError(
                    f"{key} = {chosen}: choose among {', '.join(known)}, each at most once"
                )
        if self.lpips_heads is not None and self.lpips is None:
            raise ConfigError(
                f"lpips_heads = {self.lpips_heads}: needs a trunk; also give evaluate.lpips"
            )
        measures = {"separability": self.takes_features}
        measures["path_length"] = self.takes_features or self.lpips is not None
        for name, has_one in measures.items():
            if name in self.further and not has_one:
                raise ConfigError(
                    f"further = {self.further}: {name} needs a feature network; name one in "
                    "evaluate.features"
                )

    @property
    def takes_features(self) -> bool:
        return bool(self.features or self.inception)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig(FigureOptions):
    """Evaluation during training, on the averaged weights."""

    every: int = 100_000  # images; evaluates with the first row after each multiple
    test_images: int = 512  # held-out images, at most
    generated_images: int = 512

    def __post_init__(self) -> None:
        FigureOptions.__post_init__(self)
        for key in ("every", "test_images", "generated_images"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        if self.takes_features and min(self.test_images, self.generated_images) < LEAST_SAMPLES:
            raise ConfigError(
                f"test_images = {self.test_images}, evaluate.generated_images = "
                f"{self.generated_images}: figures on features need at least {LEAST_SAMPLES} of "
                "each; raise them, or set evaluate.features=[]"
            )


SECTIONS: dict[str, type] = {
    "storage": StorageConfig,
    "start": StartConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "engine": EngineConfig,
    "checkpoint": CheckpointConfig,
    "cluster": ClusterConfig,
    "metrics": MetricsConfig,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """All options of a run. `resolved` holds them as plain values for YAML and JSON."""

    storage: StorageConfig
    start: StartConfig
    data: DataConfig
    train: TrainConfig
    objective: Any
    network: Any
    evaluate: EvaluateConfig
    engine: EngineConfig
    checkpoint: CheckpointConfig
    cluster: ClusterConfig
    metrics: MetricsConfig
    resolved: Mapping[str, Any]
