"""Evaluation figures of several runs: their last values, and the best unless conditions differ."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from launch.pages.conditions import differences, evaluation_of
from launch.pages.curves import CurveGroup, Rows, best_of, drawn_keys, finite_curve, number
from launch.pages.evaluations import evaluation_groups
from launch.pages.records import EvaluationRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One evaluation figure of several runs."""

    key: str  # in metrics.jsonl
    title: str
    group: CurveGroup  # the text about this figure on the page of a single run
    last: Mapping[str, float]  # run's label → last value; runs without the figure are left out
    # Labels of the runs with the best last value; empty if only one run has the figure, if no
    # direction is better, and if the values cannot be compared.
    best: frozenset[str]
    differs: tuple[str, ...]  # conditions that differ between the runs' evaluations, in words

    @property
    def name(self) -> str:
        """The key as a safe name of a file and an anchor: keys come from a file of the run."""
        return re.sub(r"\W+", "_", self.key.removeprefix("eval/"))

    @property
    def alt(self) -> str:
        ends = (f"{label} ends at {number(value)}" for label, value in self.last.items())
        return f"{self.title}: {', '.join(ends)}"


def comparisons(
    runs: Mapping[str, Rows], records: Mapping[str, Sequence[EvaluationRecord]]
) -> list[Comparison]:
    """Every evaluation figure that at least one run has; the figures of the papers come first.

    `records`: run's label → its recorded evaluations, which tell whether values can be compared.
    """
    every_row = [row for rows in runs.values() for row in rows]
    keys = drawn_keys(every_row)
    return [
        _comparison(runs, records, key, group)
        for group in evaluation_groups(every_row)
        for key in group.series
        if key in keys
    ]


def not_comparable(figures: Sequence[Comparison]) -> dict[str, list[str]]:
    """Conditions that differ, in words → titles of the figures without a best value for it."""
    found: dict[str, list[str]] = {}
    for figure in figures:
        if figure.differs:
            found.setdefault("; ".join(figure.differs), []).append(figure.title)
    return found


def _comparison(
    runs: Mapping[str, Rows],
    records: Mapping[str, Sequence[EvaluationRecord]],
    key: str,
    group: CurveGroup,
) -> Comparison:
    curves = {label: finite_curve(rows, key) for label, rows in runs.items()}
    last = {label: float(y[-1]) for label, (_, y) in curves.items() if y.size}
    differs = differences(
        key,
        {label: evaluation_of(records.get(label, ()), key, curves[label][0][-1]) for label in last},
    )
    best = best_of(np.array([*last.values()]), group.higher_is_better)
    if differs or len(last) < 2:
        best = None
    part = group.series[key]
    return Comparison(
        key=key,
        title=f"{group.title}, {part}" if part else group.title,
        group=group,
        last=last,
        best=frozenset(label for label, value in last.items() if value == best),
        differs=differs,
    )
