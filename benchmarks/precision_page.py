"""Writes docs/results/precision.md from the figures of `benchmarks.precision`."""

from collections.abc import Mapping
from typing import Any

from benchmarks.results import RESULTS

NOISE, COARSE = "another batch, fp32", "bf16, coarse blocks float32"
INTRODUCTION = """\
# Gradients in each precision

Written by `python -m benchmarks.precision`. One step of PVDGAN at {resolution} px on {batch} smooth
random images, with networks of {width} to {max_width} channels and {latent_size} latent elements.
Each row compares the gradient of all parameters of a network with that in float64, at the same
weights and for the same images and noise: the norm of the difference relative to the norm of the
gradient, and the cosine between the two.

- *adversarial*: all losses of D without R1; *R1*: its term alone; *whole step*: the gradient that
  the optimizer gets.
- *tf32* is emulated: what enters convolutions and matrix products is rounded to 10 bits.
- *autocast alone* keeps no layer in float32. *bf16* is `train.precision=bf16`: the heads of D, the
  stem and the mapper of G, modulations, demodulation and normalisation, losses and codes are
  float32. The next column keeps all blocks of at most 16 pixels in float32, too.
- *another batch* compares the float32 gradients of two batches: the noise that training has anyway.

One seed; weights are initial ones, and those after {steps} steps in float32.
"""


def write_page(found: Mapping[str, Any]) -> None:
    lines = [INTRODUCTION.format(**found)]
    for family, moments in found["families"].items():
        lines.append(f"## `{family}`\n")
        for moment, by_variant in moments.items():
            lines += [f"{moment.capitalize()}: relative error (cosine).\n", *_table(by_variant)]
    lines.append(f"{_verdict(found)}\n")
    (RESULTS / "precision.md").write_text("\n".join(lines))


def _verdict(found: Mapping[str, Any]) -> str:
    tables = [t for moments in found["families"].values() for t in moments.values()]
    shares = {
        variant: max(
            table[variant][part]["error"] / table[NOISE][part]["error"]
            for table in tables
            for part in ("d, whole step", "g, whole step")
        )
        for variant in ("tf32, emulated", "bf16, autocast alone", "bf16", COARSE)
    }
    said = "; ".join(f"{variant}: {share:.0%}" for variant, share in shares.items())
    return f"The largest error of a whole step, as a share of what another batch changes: {said}."


def _table(by_variant: Mapping[str, Mapping[str, Any]]) -> list[str]:
    parts = sorted(next(iter(by_variant.values())))
    rows = [f"| gradient | {' | '.join(by_variant)} |", f"|---|{'---|' * len(by_variant)}"]
    for part in parts:
        cells = (_cell(figures[part]) for figures in by_variant.values())
        rows.append(f"| {part} | {' | '.join(cells)} |")
    return [*rows, ""]


def _cell(figures: Mapping[str, float]) -> str:
    return f"{figures['error']:.1e} ({figures['cosine']:.4f})"
