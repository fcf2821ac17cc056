"""Makes the page of a sweep from its findings and from the trained models."""

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import track

from ganinv.errors import StorageError
from launch.evaluation.trained import load_trained
from launch.pages.curves import number
from launch.pages.page import Headline
from launch.pages.pictures import Pictures, held_out_of
from launch.pages.sections import Section
from launch.pages.style import SERIES
from launch.pages.sweep import SettingLine, SweepPage, TrainingLine
from launch.sweeping.checking import RUN, Planned
from launch.sweeping.findings import DIGITS, Findings
from launch.sweeping.judging import Setting


def page_of(
    found: Findings, trainings: Sequence[Planned], pictures: int, out: Console
) -> SweepPage:
    """`pictures`: of generated images for each training, and as many reconstructions."""
    by_label = {one.label: one for one in trainings}
    shown = list(found.rows)
    drawn, missing = _pictures([by_label[label] for label in shown], pictures, out)
    # Of the best eight: there are no more colours that can be told apart.
    curves = {label: found.rows[label] for label in shown[: len(SERIES)]}
    count = len(found.results)
    return SweepPage(
        title=f"Sweep of {found.recipe}: {count} training{'s' * (count > 1)}",
        url=found.folder,
        figure=", ".join(filter(None, (found.figure, found.judge.unit))),
        headlines=_headlines(found),
        conclusion=found.conclusion,
        has_seeds=any(setting.spread is not None for setting in found.settings),
        settings=tuple(_line(setting, found) for setting in found.settings),
        command=found.command,
        trainings=tuple(
            TrainingLine(
                label=result.label,
                run=result.run,
                outcome=result.outcome,
                reason=result.reason,
                images_seen=result.images_seen,
            )
            for result in found.results
        ),
        shared=shlex.join(w for w in found.shared if w.partition("=")[0] != RUN),
        pictures=drawn,
        missing=missing,
        curves=curves,
        figures=[f for f in found.figures if f.last.keys() & curves.keys()],
    )


def _headlines(found: Findings) -> tuple[Headline, ...]:
    """The best value of each axis, and the figure that it has."""
    if not found.best:
        return ()
    first = found.best[0]
    axes = [
        Headline(label=found.names[key], value=value, meaning=f"the best of {_tried(key, found)}")
        for key, value in first.values.items()
    ]
    seeds = len(first.measured)
    value = Headline(
        label=found.judge.help,
        value=f"{first.value:,.{DIGITS}g}",
        unit=found.judge.unit,
        meaning="with one seed" if seeds == 1 else f"mean over {seeds} seeds",
    )
    return (*axes, value)


def _tried(key: str, found: Findings) -> str:
    return ", ".join(sorted({s.values[key] for s in found.settings}, key=_by_number))


def _by_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return math.inf, value


def _line(setting: Setting, found: Findings) -> SettingLine:
    ends = Counter(result.outcome for result in setting.results)
    alone = len(setting.results) == 1
    return SettingLine(
        label=setting.label,
        value="–" if setting.value is None else f"{setting.value:,.{DIGITS}g}",
        spread="–" if setting.spread is None else number(setting.spread),
        outcomes=", ".join(end if alone else f"{times} {end}" for end, times in ends.items()),
        is_best=setting in found.best,
    )


def _pictures(
    trainings: Sequence[Planned], count: int, out: Console
) -> tuple[Mapping[str, Sequence[Section]], str]:
    """Sections by label; and why there are no held-out images, if so."""
    found: dict[str, Sequence[Section]] = {}
    missing = ""
    for one in track(trainings, "pictures", console=out, disable=not out.is_terminal):
        try:
            trained = load_trained(one.store())
        except StorageError as error:
            out.print(f"{one.label}: no pictures: {error}", markup=False, soft_wrap=True)
            continue
        _, held_out = held_out_of(trained, one.config.storage, count)
        missing = missing or held_out.missing
        makers = Pictures(
            model=trained.model, variance_L=None, held_out=held_out,
            samples=count, pairs=count, rows=1,
        )  # fmt: skip
        encodes = trained.model.encodes and len(held_out.images_BCHW)
        sections = [makers.sampled(), *([makers.held_out_pairs()] if encodes else [])]
        found[one.label] = [section for section in sections if section.gallery is not None]
    return found, missing
