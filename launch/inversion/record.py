"""What an inversion by stages leaves behind: figures, curves, a strip of pictures and a page."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganinv.inversion.optimise import Inversion, OptimiseConfig
from ganinv.inversion.tuning import TuneConfig, Tuned
from ganinv.pictures import to_bytes
from launch.evaluation.results_folder import (
    CHART_NAME,
    CURVES_NAME,
    FIGURES_NAME,
    PAGE_NAME,
    STRIP_NAME,
)
from launch.inversion.page import TUNING, MeanCurve, chart_file, inversion_page
from launch.inversion.strip import strip

SHOWN = 24  # images on the page, the first ones
STRIP = 12  # of these in the strip


@dataclass(kw_only=True)
class Record:
    """Collects batch by batch; keeps pictures of the first images alone."""

    section: str  # optimise or refine
    search: OptimiseConfig
    tune: TuneConfig | None
    space: str
    origin: str  # the model, in words
    names: list[str] = field(default_factory=list)
    start: list[str] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # stage → figure → N
    seconds: dict[str, float] = field(default_factory=dict)  # stage → all images together
    loss: dict[str, list[Tensor]] = field(default_factory=dict)  # start → curves, B × T
    error: dict[str, list[Tensor]] = field(default_factory=dict)
    pictures: list[Tensor] = field(default_factory=list)  # uint8, stages × C × H × W

    def add(
        self,
        names: Sequence[str],
        real_BCHW: Tensor,
        images: Mapping[str, Tensor],
        figures: Mapping[str, Mapping[str, Tensor]],
        seconds: Mapping[str, float],
        found: Inversion,
        tuned: Sequence[Tuned],
    ) -> None:
        """A batch: images, figures and seconds of each stage, and how they were found."""
        self.names += names
        self.start += found.start
        self.evaluations += found.evaluations_N.tolist()
        for stage, values in figures.items():
            held = self.figures.setdefault(stage, {})
            for name, value_B in values.items():
                held.setdefault(name, []).extend(value_B.tolist())
        for stage, spent in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
        for start in found.loss:
            self.loss.setdefault(start, []).append(found.loss[start])
            self.error.setdefault(start, []).append(found.error[start])
        if tuned:
            self.loss.setdefault(TUNING, []).append(torch.stack([one.loss_T for one in tuned]))
            self.error.setdefault(TUNING, []).append(torch.stack([one.error_T for one in tuned]))
        room = SHOWN - len(self.pictures)
        shown = torch.stack([to_bytes(x).cpu() for x in (real_BCHW, *images.values())], dim=1)
        self.pictures += list(shown[:room])

    def plain(self) -> dict[str, Any]:
        """The figures as JSON has them: means, medians, and the values of each image."""
        count = len(self.names)
        stages = {
            stage: {
                "figures": {name: _summary(values) for name, values in figures.items()},
                "s_per_image": self.seconds[stage] / count,
            }
            for stage, figures in self.figures.items()
        }
        options = {self.section: asdict(self.search)}
        if self.tune is not None:
            options["tune"] = asdict(self.tune)
        each = [
            {
                "image": name,
                "start": self.start[i],
                "evaluations": self.evaluations[i],
                **{
                    stage: {figure: _finite(values[i]) for figure, values in figures.items()}
                    for stage, figures in self.figures.items()
                },
            }
            for i, name in enumerate(self.names)
        ]
        return {
            "model": self.origin,
            "images": count,
            "space": self.space,
            "options": options,
            "stages": stages,
            "curves": {
                curve.start: {"psnr_db": curve.psnr_db.tolist(), "loss": curve.loss.tolist()}
                for curve in self.mean_curves()
            },
            "each": each,
        }

    def mean_curves(self) -> list[MeanCurve]:
        """Of each start: mean PSNR and mean loss over the images, by evaluation.

        An image that has stopped counts with its last values.
        """
        found = []
        for start, parts in self.loss.items():
            loss_NT = _held(torch.cat(parts))
            error_NT = _held(torch.cat(self.error[start]))
            psnr_NT = 10 * torch.log10(4 / error_NT)
            found.append(
                MeanCurve(
                    start=start, psnr_db=psnr_NT.mean(0).numpy(), loss=loss_NT.mean(0).numpy()
                )
            )
        return found

    def write(self, folder: Path) -> None:
        plain = self.plain()
        (folder / FIGURES_NAME).write_text(json.dumps(plain, indent=1), encoding="utf-8")
        curves: dict[str, Any] = {
            f"{kind}_{start}": torch.cat(parts).numpy()
            for kind, held in (("loss", self.loss), ("error", self.error))
            for start, parts in held.items()
        }
        np.savez(folder / CURVES_NAME, names=np.array(self.names), **curves)
        strip(self.pictures[:STRIP]).save(folder / STRIP_NAME)
        means = self.mean_curves()
        (folder / CHART_NAME).write_text(chart_file(means), encoding="utf-8")
        pictures_NKHWC = torch.stack(self.pictures).permute(0, 1, 3, 4, 2).numpy()
        page = inversion_page(plain, pictures_NKHWC, means)
        (folder / PAGE_NAME).write_text(page, encoding="utf-8")


def _held(curve_NT: Tensor) -> Tensor:
    """Each curve with its last value in place of NaN; curves begin with a number."""
    known = ~curve_NT.isnan()
    steps = torch.arange(curve_NT.shape[1]).expand_as(curve_NT)
    last_NT = torch.where(known, steps, 0).cummax(1).values
    return curve_NT.gather(1, last_NT).double()


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "mean": _finite(float(np.mean(values))),
        "median": _finite(float(np.median(values))),
        "least": _finite(min(values)),
        "largest": _finite(max(values)),
    }


def _finite(value: float) -> float | None:
    """JSON has no infinite numbers, which equal images would give."""
    return value if math.isfinite(value) else None
