"""What a sweep found: its best setting, in words and as plain values."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.run_folder.evaluation_log import read_records
from cluster.run_folder.metrics_log import read_rows
from ganinv.declarations import Statistic
from ganinv.evaluation.figures import PREFIX
from launch.options.arguments import this_command
from launch.pages.comparison import Comparison, comparisons
from launch.pages.curves import Rows, number
from launch.pages.records import EvaluationRecord
from launch.sweeping.checking import RUN, Planned
from launch.sweeping.grid import SEED
from launch.sweeping.judging import (
    Result,
    Setting,
    at_an_edge,
    best_of,
    doubts,
    ranked,
    settings_of,
    value_at_end,
)

IMAGES = "train.images"
DIGITS = 5  # of values that decide; three may be equal where the values are not
FULL = "full"  # folder of the best training in full


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The results of a sweep."""

    recipe: str
    shared: tuple[str, ...]  # words of all trainings
    folder: str  # URL
    judge: Statistic
    settings: tuple[Setting, ...]  # the best first
    results: tuple[Result, ...]  # in the order of the grid
    rows: Mapping[str, Rows]  # by label, the best first: up to the end of each training
    figures: tuple[Comparison, ...]  # of all trainings that ended
    names: Mapping[str, str]  # first key of an axis → what people call it

    @property
    def higher_is_better(self) -> bool:
        return bool(self.judge.higher_is_better)

    @property
    def figure(self) -> str:
        """The name of the judging figure, as people type it."""
        return self.judge.name.removeprefix(PREFIX)

    @property
    def differs(self) -> tuple[str, ...]:
        """Conditions that differ between the evaluations that judge, in words."""
        return next((f.differs for f in self.figures if f.key == self.judge.name), ())

    @property
    def best(self) -> list[Setting]:
        """Several if they are equal; none if no setting has all values, or conditions differ."""
        return [] if self.differs else best_of(self.settings, self.higher_is_better)

    @property
    def command(self) -> str:
        """That trains the best in full: with the recipe's number of images, anew. Empty for none,
        and if its trainings had that number of images.
        """
        keys = [word.partition("=")[0] for word in self.shared]
        if not self.best or IMAGES not in keys:
            return ""
        own = (w for w in self.best[0].results[0].training.words if w.partition("=")[0] != SEED)
        shared = (w for w in self.shared if w.partition("=")[0] not in (IMAGES, RUN))
        words = [self.recipe, *shared, *own, f"{RUN}={self.folder}/{FULL}"]
        return f"{this_command()} train {shlex.join(words)}"

    @property
    def conclusion(self) -> str:
        """A few sentences: the best, and how sure that is."""
        direction = "higher" if self.higher_is_better else "lower"
        judged = f"judged by {self.figure} at the end ({direction} is better)"
        if self.differs:
            return f"No best, {judged}: not comparable, {'; '.join(self.differs)}."
        if not self.best:
            return f"No best, {judged}: {self._lacking()}"
        first = self.best[0]
        said = f"The best is {first.label}, {judged}: {in_words(first, self.judge)}."
        if others := self.best[1:]:
            said += f" Equal to it: {', '.join(setting.label for setting in others)}."
        elif doubt := doubts(first, self.settings, self.higher_is_better):
            said += f" {doubt}"
        for key in at_an_edge(first, self.settings):
            said += f" No value of {self.names[key]} beyond {first.values[key]} was tried."
        return said

    def _lacking(self) -> str:
        if any(setting.measured for setting in self.settings):
            return "in every setting, a training lacks the figure."
        known = ", ".join(figure.key.removeprefix(PREFIX) for figure in self.figures)
        said = "no training has the figure."
        return f"{said} Repeat the command with sweep.judge=NAME of: {known}." if known else said

    def as_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "shared": list(self.shared),
            "folder": self.folder,
            "judge": {
                "name": self.judge.name,
                "unit": self.judge.unit,
                "higher_is_better": self.higher_is_better,
            },
            "best": [dict(setting.values) for setting in self.best],
            "conclusion": self.conclusion,
            "command": self.command or None,
            "settings": [
                {
                    "values": dict(setting.values),
                    "value": setting.value,
                    "spread": setting.spread,
                    "trainings": [result.training.name for result in setting.results],
                }
                for setting in self.settings
            ],
            "trainings": [self._plain(result) for result in self.results],
        }

    def _plain(self, result: Result) -> dict[str, Any]:
        label = result.label
        return {
            "name": result.training.name,
            "run": result.run,
            "values": dict(result.training.values),
            "outcome": result.outcome,
            "reason": result.reason or None,
            "images_seen": result.images_seen,
            "value": result.value,
            "figures": {f.key: f.last[label] for f in self.figures if label in f.last},
        }


def in_words(setting: Setting, judge: Statistic) -> str:
    """The value of a setting with its unit, and its spread over seeds."""
    assert setting.value is not None
    spread = "" if setting.spread is None else f" ± {number(setting.spread)}"
    seeds = "" if setting.spread is None else f" over {len(setting.measured)} seeds"
    unit = f" {judge.unit}" if judge.unit else ""
    return f"{setting.value:,.{DIGITS}g}{spread}{unit}{seeds}"


def findings(
    recipe: str,
    shared: Sequence[str],
    folder: str,
    judge: Statistic,
    ended: Sequence[tuple[Planned, Result]],
    names: Mapping[str, str],
) -> Findings:
    """Read what the trainings have recorded. `names`: key → what people call it."""
    rows, records = dict[str, Rows](), dict[str, list[EvaluationRecord]]()
    results = []
    for one, result in ended:
        value = None
        if result.outcome == "trained":
            rows[one.label], records[one.label] = _read(one)
            value = value_at_end(rows[one.label], judge.name, one.config.train.images)
        results.append(replace(result, value=value))
    settings = ranked(settings_of(results, names), bool(judge.higher_is_better))
    order = [result.label for setting in settings for result in setting.results]
    rows = {label: rows[label] for label in order if label in rows}
    return Findings(
        recipe=recipe,
        shared=tuple(shared),
        folder=folder,
        judge=judge,
        settings=tuple(settings),
        results=tuple(results),
        rows=rows,
        figures=tuple(comparisons(rows, records)),
        names=names,
    )


def _read(one: Planned) -> tuple[Rows, list[EvaluationRecord]]:
    """Rows up to the end of the training, even if it was continued, and all evaluations."""
    store, end = one.store(), one.config.train.images
    rows = read_rows(store)
    last = next((row["images_seen"] for row in rows if row["images_seen"] >= end), end)
    return [row for row in rows if row["images_seen"] <= last], [*read_records(store)]
