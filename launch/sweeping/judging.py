"""What judges trainings, and which of their settings is best.

A *setting* is a combination of values without the seed: its trainings differ in the seed alone.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ganinv.declarations import Statistic
from ganinv.errors import ConfigError
from ganinv.evaluation.figures import ENCODER_LOSS, IMAGE_SETS, PREFIX, explain, network_of
from ganinv.metrics.base import INCEPTION
from launch.options.schema import FEATURES, LEAST_SAMPLES, EvaluateConfig
from launch.pages.curves import Rows
from launch.sweeping.grid import SEED, Training

OWN = "own"
IMAGES = tuple(f"_{name}" for name in IMAGE_SETS)  # ends of names of figures of reconstructions
Outcome = Literal["trained", "stopped", "diverged", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One training, as it ended."""

    training: Training
    label: str
    run: str  # URL of its folder
    outcome: Outcome
    reason: str = ""  # why it did not train to its end
    images_seen: int = 0
    value: float | None = None  # of the judging figure at the end; None: it has none


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Trainings that differ in the seed alone."""

    label: str
    values: Mapping[str, str]  # without the seed
    results: tuple[Result, ...]

    @property
    def measured(self) -> tuple[float, ...]:
        return tuple(r.value for r in self.results if r.value is not None)

    @property
    def is_complete(self) -> bool:
        return len(self.measured) == len(self.results)

    @property
    def value(self) -> float | None:
        """The mean over the seeds that have a value."""
        return statistics.fmean(self.measured) if self.measured else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.measured) if len(self.measured) > 1 else None


def judge_named(name: str, evaluate: EvaluateConfig) -> Statistic:
    """The figure, with its direction. Raises `ConfigError` if it cannot judge these trainings."""
    figure = explain(f"{PREFIX}{name.removeprefix(PREFIX)}")
    if figure is None:
        raise ConfigError(
            f"sweep.judge = {name!r}: no metric gives this figure; choose one of "
            "docs/metrics.md, for example psnr_db_test, enc or fd_pixels"
        )
    if figure.higher_is_better is None:
        raise ConfigError(f"sweep.judge = {name!r}: no direction is better; choose another figure")
    network = network_of(figure.name)
    if network == OWN:
        raise ConfigError(
            f"sweep.judge = {name!r}: every training would be judged by the features of its own "
            "discriminator; choose a figure on other features, such as fd_pixels"
        )
    if network in FEATURES and network not in evaluate.features:
        raise ConfigError(
            f"sweep.judge = {name!r}: the trainings do not compute it; add "
            f"evaluate.features=[{','.join([*evaluate.features, network])}]"
        )
    if network == INCEPTION and evaluate.inception is None:
        raise ConfigError(
            f"sweep.judge = {name!r}: needs the Inception of 2015; give evaluate.inception=FILE"
        )
    return figure


def check_figure(judge: Statistic, method: str, *, encodes: bool, held_out: int) -> None:
    """Raises `ConfigError` if evaluations of a method cannot give the figure.

    `encodes`: whether the method has an encoder; `held_out`: images in the data set's split test.
    """
    name = judge.name.removeprefix(PREFIX)
    of_sets = bool(network_of(judge.name)) and not name.endswith(IMAGES)
    if not encodes and (judge.name == ENCODER_LOSS or name.endswith(IMAGES)):
        raise ConfigError(
            f"sweep.judge = {name!r}: {method} has no encoder; choose a figure of generated "
            "images, such as sweep.judge=fd_pixels"
        )
    least = LEAST_SAMPLES if of_sets else int(name.endswith("_test"))
    if held_out < least:
        raise ConfigError(
            f"sweep.judge = {name!r}: needs {least} held-out images, and the data set has "
            f"{held_out or 'none'}; reserve some with `ganinv data index data.test_images=N`, or "
            "choose sweep.judge=enc"
        )


def value_at_end(rows: Rows, key: str, images: int) -> float | None:
    """The figure of the evaluation at the end of a training on so many images; None without one.

    Later values, of a training that was continued, do not count.
    """
    for row in rows:
        if row["images_seen"] >= images:
            value = row.get(key, math.nan)
            return float(value) if math.isfinite(value) else None
    return None


def settings_of(results: Sequence[Result], names: Mapping[str, str]) -> list[Setting]:
    """In the order of the grid. `names`: key → what people call it."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        values = {k: v for k, v in result.training.values.items() if k != SEED}
        found.setdefault(tuple(values.values()), []).append(result)
    settings = []
    for of_one in found.values():
        values = {k: v for k, v in of_one[0].training.values.items() if k != SEED}
        label = " ".join(f"{names[k]}={v}" for k, v in values.items()) or "the recipe"
        settings.append(Setting(label=label, values=values, results=tuple(of_one)))
    return settings


def ranked(settings: Sequence[Setting], higher_is_better: bool) -> list[Setting]:
    """The best first; settings in which a training has no value come last, then those without."""

    def place(setting: Setting) -> tuple[bool, bool, float]:
        value = setting.value
        score = 0.0 if value is None else -value if higher_is_better else value
        return value is None, not setting.is_complete, score

    return sorted(settings, key=place)


def best_of(settings: Sequence[Setting], higher_is_better: bool) -> list[Setting]:
    """The best settings: several if they are equal, none if none is complete."""
    order = [s for s in ranked(settings, higher_is_better) if s.is_complete]
    return [s for s in order if s.value == order[0].value]


def doubts(best: Setting, settings: Sequence[Setting], higher_is_better: bool) -> str:
    """A sentence if the best may be so by chance; empty if the seeds speak for it."""
    others = [s for s in ranked(settings, higher_is_better) if s.is_complete and s is not best]
    if not others:
        return ""
    if best.spread is None or others[0].spread is None:
        return (
            "Each setting was trained with one seed: small differences may be chance. "
            "train.seed=0,1,2 repeats each with three."
        )
    assert best.value is not None
    assert others[0].value is not None
    if abs(best.value - others[0].value) < best.spread + others[0].spread:
        return f"The spread over seeds overlaps with that of {others[0].label}."
    return ""


def at_an_edge(best: Setting, settings: Sequence[Setting]) -> list[str]:
    """Keys whose best value is the least or the largest of three numbers or more."""
    found = []
    for key, value in best.values.items():
        tried = {number for s in settings if (number := _number(s.values[key])) is not None}
        if len(tried) > 2 and _number(value) in (min(tried), max(tried)):
            found.append(key)
    return found


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
