"""The stages of an inversion after the encoder: a search of each code, then tuning.

Implements `launch.evaluation.inversion.Improvement`. Shapes: B images, C × H × W pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.inversion.optimise import Inversion, Optimisation, OptimiseConfig
from ganinv.inversion.tuning import TuneConfig, Tuned, Tuning
from ganinv.metrics import feature_distance
from ganinv.metrics.base import pair_metrics
from ganinv.metrics.features import own_features
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes
from launch.evaluation.inversion import Inverted
from launch.inversion.record import Record

ENCODER, SEARCHED, TUNED = "encoder", "searched", "tuned"


class Stages:
    """A search from the encoder and other starts, and tuning if `tune` is given.

    Raises `ConfigError` as `Optimisation` does; `section` names the options in messages.
    """

    def __init__(
        self,
        model: InvertibleGan,
        search: OptimiseConfig,
        tune: TuneConfig | None,
        *,
        section: str,
        origin: str,
    ) -> None:
        self._model = model
        try:
            self._search = Optimisation(model, search)
        except ConfigError as error:
            raise ConfigError(f"{section}.{error}") from error
        features, weight = self._search.features, search.features_weight
        self._tuning = None if tune is None else Tuning(model, tune, features, weight)
        self._own = own_features(model, origin)
        self.record = Record(
            section=section, search=search, tune=tune, space=self.space, origin=origin
        )

    @property
    def space(self) -> str:
        return self._search.name

    @property
    def passes(self) -> int:
        tuning = self._tuning.config.steps + 1 if self._tuning is not None else 0
        return self._search.evaluations + tuning

    def __call__(
        self,
        names: list[str],
        real_BCHW: Tensor,
        encoded: Inverted | None,
        progress: Callable[[int], None],
    ) -> Inverted:
        found = self._search(real_BCHW, progress=progress)
        tuned = self._tuned(real_BCHW, found, progress)
        images = {} if encoded is None else {ENCODER: encoded.image_BCHW}
        seconds = {} if encoded is None else {ENCODER: encoded.seconds}
        image_BCHW = images[SEARCHED] = found.image_NCHW
        seconds[SEARCHED] = found.seconds
        if tuned:
            image_BCHW = images[TUNED] = torch.cat([one.image_1CHW for one in tuned])
            seconds[TUNED] = sum(one.seconds for one in tuned)
        figures = {name: self._figures(real_BCHW, image) for name, image in images.items()}
        self.record.add(names, real_BCHW, images, figures, seconds, found, tuned)
        code_BL = None if encoded is None else encoded.code_BL
        first: dict[str, Sequence[object]] = {}
        if encoded is not None:
            first = {**encoded.columns, "encoder_psnr_db": _decibels(encoded.psnr_db)}
        return Inverted(
            names=names,
            code_BL=code_BL if found.code_NL is None else found.code_NL.cpu(),
            image_BCHW=image_BCHW,
            psnr_db=psnr_db(real_BCHW, image_BCHW).tolist(),
            seconds=sum(seconds.values()),
            point=found.point.cpu(),
            columns={
                **first,
                "start": found.start,
                "evaluations": found.evaluations_N.tolist(),
            },
            deltas=[one.delta.to_bytes() for one in tuned],
        )

    def write(self, folder: Path) -> None:
        self.record.write(folder)

    def _tuned(
        self, real_BCHW: Tensor, found: Inversion, progress: Callable[[int], None]
    ) -> list[Tuned]:
        if self._tuning is None:
            return []
        return [
            self._tuning(real_BCHW[i : i + 1], found.point[i : i + 1], found.space, progress)
            for i in range(len(real_BCHW))
        ]

    @torch.no_grad()
    def _figures(self, real_BCHW: Tensor, image_BCHW: Tensor) -> Mapping[str, Tensor]:
        """All figures of pairs, of each image, and the distance on the model's own features."""
        small = min(real_BCHW.shape[2:])
        figures = {
            metric.figure.name: metric.measure(real_BCHW, image_BCHW)
            for metric in pair_metrics()
            if small >= metric.least_pixels
        }
        if self._own is not None:
            pair = (self._own.extract(to_bytes(image)) for image in (real_BCHW, image_BCHW))
            metric = feature_distance.METRIC
            figures[metric.figure.on(self._own.name)] = metric.measure(*pair)
        return {name: values.double().cpu() for name, values in figures.items()}


def _decibels(values: Sequence[float]) -> list[str]:
    return [f"{db:.4f}" for db in values]
