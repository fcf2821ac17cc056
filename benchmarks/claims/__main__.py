"""Tests what the papers claim: three seeds, thresholds that were written down before the runs.

    python -m benchmarks.claims                          # all claims; hours on two cores
    python -m benchmarks.claims latent-scale --seeds 0
    python -m benchmarks.claims lia-table-fashion32 --fashion runs/fashion32
    python -m benchmarks.claims --page                   # the page alone, from the JSON

Every run is kept in docs/results/claims.json as it ends, and is not repeated. The page is
docs/results/claims.md; a threshold that one seed misses counts as missed.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims import (
    directions,
    latent_scale,
    lia_starts,
    lia_table,
    models,
    page,
    perceptual_vae,
)
from benchmarks.claims.claim import Claim, judge
from benchmarks.results import RESULTS, write_json

NAME = "claims"
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
    torch.set_num_threads(1)
    file = RESULTS / f"{NAME}.json"
    found: dict[str, Any] = json.loads(file.read_text())["claims"] if file.exists() else {}
    names = [] if options.page else options.claims or list(CLAIMS)
    for seed in options.seeds:
        for name in names:
            measure(CLAIMS[name], seed, found)
    page.write(CLAIMS, found)


def measure(claim: Claim, seed: int, found: dict[str, Any]) -> None:
    """All cases of a claim with one seed."""
    kept = found.setdefault(claim.name, {"runs": {}})
    for case, run in claim.cases.items():
        seeds = kept["runs"].setdefault(case, {})
        if str(seed) in seeds:
            continue
        began = time.monotonic()
        seeds[str(seed)] = run(seed)
        print(
            f"{claim.name}, {case}, seed {seed}: {time.monotonic() - began:.0f} s, "
            f"{seeds[str(seed)][-1]}", flush=True,
        )  # fmt: skip
        complete = _seeds_of(claim, kept["runs"])
        if complete:
            runs = {c: {int(s): rows for s, rows in by.items()} for c, by in kept["runs"].items()}
            kept["expectations"] = judge(claim, runs, complete)
            if claim.pictures is not None and "caption" not in kept:
                kept["caption"] = claim.pictures(RESULTS / f"{NAME}-{claim.name}.png")
        write_json(NAME, {"claims": found})


def _seeds_of(claim: Claim, runs: dict[str, dict[str, Any]]) -> list[int]:
    """The seeds that every case has."""
    common = set.intersection(*(set(runs.get(case, {})) for case in claim.cases))
    return sorted(map(int, common))


if __name__ == "__main__":
    main()
