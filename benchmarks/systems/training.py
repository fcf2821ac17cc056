"""Trains a small model of each method on images of 32 pixels, and keeps it as an export.

All see the same number of images in batches of 8, with networks of about one size. What differs
is what each paper says: LIA's encoder is trained after its generator, so that LIA takes both
trainings; `stylegan-encoder` is LIA without the invertible mapper (its ablation). Learning rates
are those of the recipes avatars32-NAME.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

import ganinv
from benchmarks.small_training import Training, run
from benchmarks.systems.photographs import RESOLUTION, Photographs
from ganinv import networks as families
from ganinv.model import InvertibleGan
from ganinv.saved.exports import MODEL_NAME, Description, export_files
from ganinv.schedules import Schedule
from ganinv.training.session import Session

IMAGES, BATCH = 32_000, 8
CONV: dict[str, Any] = {"latent_size": 64, "width": 16, "max_width": 64}
STYLED: dict[str, Any] = CONV | {"coupling_width": 64, "encoder_width": 16, "encoder_max_width": 64}
TRACE = {"decay": 0.995}  # paper: 0.999, over a hundred times as many steps
TRAIN: dict[str, Any] = {"global_batch": BATCH, "weight_average": 0.998}


def _falling(start: float) -> Schedule:
    """0.8 times in every quarter, as in LIA's code."""
    return Schedule(kind="exponential", start=start, factor=0.8, every=IMAGES // 4)


@dataclass(frozen=True, kw_only=True)
class System:
    """How one model is trained; with a `generator`, after that one and from its networks."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=lambda: CONV)
    family: str = "conv"
    train: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 0.006})
    generator: "System | None" = None

    @property
    def training(self) -> Training:
        return Training(
            method=self.method,
            options=self.options,
            trace=self.trace,
            network=self.network,
            family=self.family,
            resolution=RESOLUTION,
            train={**TRAIN, **self.train},
        )


def _lia_generator(mapper: str) -> System:
    return System(
        method="lia_generator",
        options={"lambda_r1": 5.0},
        network=STYLED | {"mapper": mapper},
        family="lia",
        train={"learning_rate": 0.003, "beta1": 0.0, "beta2": 0.99},
    )


def _lia(mapper: str) -> System:
    rate = asdict(_falling(0.003))
    return System(
        method="lia",
        options={"perceptual": "none", "lambda_adversarial": 0.1, "lambda_r1": 5.0},
        network=STYLED | {"mapper": mapper},
        family="lia",
        train={
            "beta1": 0.9, "beta2": 0.99, "learning_rate": _falling(1e-4),
            "networks": {"e": {"learning_rate": rate}},
        },
        generator=_lia_generator(mapper),
    )  # fmt: skip


SYSTEMS: Mapping[str, System] = {
    "dlsgan": System(method="dlsgan", trace=TRACE),
    "pvdgan": System(method="pvdgan", trace=TRACE),
    "dedgan": System(
        method="dedgan",
        options={
            "lambda_emb": Schedule(kind="step", start=1.0, factor=10.0, every=IMAGES // 2, end=10.0)
        },
        network=CONV | {"latent_size": 63},
    ),
    "lia": _lia("coupling"),
    "stylegan-encoder": _lia("mlp"),
    "vaegan": System(method="vaegan", options={"gamma": 10.0, "lambda_prior": 0.05}),
    "ali": System(method="ali"),
}


def trained(name: str, data: Photographs, seed: int, folder: Path) -> InvertibleGan:
    """A system trained on `data`; `folder` keeps it, so that it is trained once."""
    file = folder / f"{data.name}-{name}-{seed}.safetensors"
    if not file.exists():
        session = _train(SYSTEMS[name], data, seed)
        folder.mkdir(parents=True, exist_ok=True)
        about = _description(SYSTEMS[name], session)
        whole = file.with_suffix(".part")
        whole.write_bytes(export_files(session.model(), about)[MODEL_NAME])
        whole.replace(file)
    return ganinv.load(file, device="cpu")


def _train(system: System, data: Photographs, seed: int) -> Session:
    given: Mapping[str, nn.Module] = MappingProxyType({})
    if system.generator is not None:
        first = _train(system.generator, data, seed)
        # The averaged generator, and the discriminator as it stands: as `ganinv train` starts it.
        given = {"g": first.averages["g"].network, "d": first.networks["d"]}
    for session in run(system.training, data.train_BCHW, seed, given):
        if session.images_seen >= IMAGES:
            return session
    raise AssertionError("training ended early")


def _description(system: System, session: Session) -> Description:
    family = families.find(system.family)
    return Description(
        objective=asdict(session.objective.config),
        network=asdict(family.Config(**system.network)),
        image_resolution=RESOLUTION,
        image_channels=3,
        checkpoint="",
        images_seen=session.images_seen,
        train={},
        data_fingerprint="",
        versions={},
    )
