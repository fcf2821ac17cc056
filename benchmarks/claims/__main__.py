"""Tests what the papers claim: three seeds, thresholds that were written down before the runs.

    python -m benchmarks.claims                          # all claims; hours on two cores
    python -m benchmarks.claims latent-scale --seeds 0
    python -m benchmarks.claims lia-table-fashion32 --fashion runs/fashion32
    python -m benchmarks.claims --page                   # the page alone, from the JSON

Every run is kept in docs/results/claims.json as it ends, and is not repeated. The page is
docs/results/claims.md; a threshold that one seed misses counts as missed.
"""

import argparse
from pathlib import Path

from benchmarks.claims import (
    directions,
    latent_scale,
    lia_starts,
    lia_table,
    models,
    perceptual_vae,
)
from benchmarks.claims.claim import Claim
from benchmarks.claims.page import Page
from benchmarks.claims.running import run

CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        latent_scale.CLAIM,
        perceptual_vae.CLAIM,
        directions.CLAIM,
        lia_starts.CLAIM,
        lia_table.FACES,
        lia_table.CLOTHES,
    )
}

PAGE = Page(
    name="claims",
    claims=CLAIMS,
    preamble="""\
# What the papers claim, tested

Written by `python -m benchmarks.claims` from [claims.json](claims.json). The data are known
exactly, so that each claim is a prediction. Thresholds were written down before the runs; each must
be met by every seed. Thick curves are means over seeds, thin ones the seeds.
""",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("claims", nargs="*", choices=[*CLAIMS, []], help="all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", type=Path, help="keeps trained models (runs/systems)")
    parser.add_argument("--fashion", help="a data set of Fashion-MNIST at 32 pixels")
    parser.add_argument("--page", action="store_true", help="write the page from the JSON alone")
    options = parser.parse_args()
    models.PLACES.folder = options.models or models.PLACES.folder
    models.PLACES.fashion = options.fashion
    run(PAGE, [] if options.page else options.claims or list(CLAIMS), options.seeds)


if __name__ == "__main__":
    main()
