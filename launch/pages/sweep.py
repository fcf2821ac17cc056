"""The page of a sweep: settings by rank, pictures and curves of the trainings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from launch.pages.compare import curves_figure, embedded
from launch.pages.comparison import Comparison, not_comparable
from launch.pages.curves import Rows
from launch.pages.page import Headline, fill
from launch.pages.sections import Section


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingLine:
    """One training, as the page tells of it."""

    label: str
    run: str  # URL of its folder
    outcome: str
    reason: str  # why it did not train to its end; empty if it did
    images_seen: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingLine:
    """Trainings that differ in the seed alone, as the page tells of them."""

    label: str
    value: str
    spread: str  # over seeds
    outcomes: str  # "trained", or "2 trained, 1 diverged"
    is_best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPage:
    """The contents of the page. A part without values is left out."""

    title: str
    url: str
    figure: str  # that judges, with its unit
    headlines: tuple[Headline, ...]
    conclusion: str  # which setting is best, and how sure that is
    settings: tuple[SettingLine, ...]  # the best first
    has_seeds: bool  # whether any setting has a spread
    command: str  # that trains the best in full; empty without one
    trainings: tuple[TrainingLine, ...]
    shared: str  # options of all trainings
    pictures: Mapping[str, Sequence[Section]]  # by label of a training
    missing: str  # why there are no held-out images; empty if there are
    curves: Mapping[str, Rows]  # by label of a training: as many as there are colours
    figures: Sequence[Comparison]  # of these

    @property
    def troubled(self) -> list[TrainingLine]:
        return [line for line in self.trainings if line.reason]

    @property
    def has_pairs(self) -> bool:
        return any(len(sections) > 1 for sections in self.pictures.values())

    @property
    def leaves_out(self) -> bool:
        """Whether some trainings with figures have no curves."""
        trained = [line for line in self.trainings if not line.reason]
        return len(trained) > len(self.curves)


def render_sweep(page: SweepPage) -> str:
    """The page as one HTML document without external files."""
    return fill(
        "sweep.html.j2",
        page=page,
        figures=[(f, embedded(curves_figure(page.curves, f.key))) for f in page.figures],
        not_comparable=not_comparable(page.figures),
    )
