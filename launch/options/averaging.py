"""Notes on averages with a decay per step, if the global batch differs from the recipe's."""

from collections.abc import Iterator, Mapping
from typing import Any

from ganinv.horizons import half_life_images
from ganinv.schedules import Schedule
from ganinv.training.config import TrainConfig
from launch.options.schema import RunConfig


def averaging_notes(recipe: Mapping[str, Any], config: RunConfig) -> list[str]:
    """A sentence for each average whose half-life in images differs from the recipe's."""
    recipe_train = recipe.get("train") or {}
    usual = recipe_train.get("global_batch", TrainConfig().global_batch)
    now = config.train.global_batch
    if now == usual:
        return []
    return [
        f"{key} = {decay:g} per step: half-life {half_life_images(decay, now):,.0f} images at "
        f"train.global_batch = {now}, {half_life_images(decay, usual):,.0f} at the recipe's "
        f"{usual}; to keep the latter, give {replacement}={half_life_images(decay, usual):.0f}"
        for key, decay, replacement in _decays(config)
        if decay > 0  # otherwise there is no average
    ]


def _decays(config: RunConfig) -> Iterator[tuple[str, float, str]]:
    """Constant decays per step, with the option that sets a half-life in images instead."""
    train, trace = config.train, getattr(config.objective, "trace", None)
    if train.weight_average_half_life is None and not isinstance(train.weight_average, Schedule):
        yield "train.weight_average", train.weight_average, "train.weight_average_half_life"
    if (
        trace is not None
        and trace.kind == "ema"
        and trace.half_life is None
        and not isinstance(trace.decay, Schedule)
    ):
        yield "objective.trace.decay", trace.decay, "objective.trace.half_life"
