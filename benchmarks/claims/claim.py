"""What a claim is: runs, and what was expected of them before they were made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # figures of a run at one number of images, or of what the claim says
Runs = Mapping[str, Mapping[int, Sequence[Row]]]  # case → seed → rows


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One threshold, on one figure, to be met by every seed."""

    text: str
    value: Callable[[Runs, int], float]  # runs, seed
    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )

    @property
    def limit(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of a paper, and the runs that test it."""

    name: str
    title: str
    text: str  # for the page: what is claimed, what was run
    cases: Mapping[str, Callable[[int], Sequence[Row]]]  # name → a run, by seed
    expectations: tuple[Expectation, ...]
    curves: tuple[tuple[str, str], ...]  # figure, axis title
    by: str = "images"  # what rows count
    # Writes a PNG of pictures once all runs of a seed are there; returns its caption.
    pictures: Callable[[Path], str] | None = None


def last(runs: Runs, case: str, seed: int, figure: str) -> float:
    """A figure at the end of a run."""
    return float(runs[case][seed][-1][figure])


def judge(claim: Claim, runs: Runs, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Every expectation with its value on each seed; missed by one seed is missed."""
    found = []
    for expectation in claim.expectations:
        values = [expectation.value(runs, seed) for seed in seeds]
        found.append(
            {
                "text": expectation.text,
                "limit": expectation.limit,
                "values": values,
                "met": all(map(expectation.met, values)),
            }
        )
    return found
