"""Runs claims, and keeps every run in the page's JSON as it ends, so that none is repeated."""

import json
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.claims import page as pages
from benchmarks.claims.claim import Claim, judge
from benchmarks.claims.page import Page
from benchmarks.results import RESULTS, write_json


def run(page: Page, names: Sequence[str], seeds: Sequence[int]) -> None:
    """Make the runs of these claims that the JSON lacks, and write the page."""
    torch.set_num_threads(1)
    file = RESULTS / f"{page.name}.json"
    found: dict[str, Any] = json.loads(file.read_text())["claims"] if file.exists() else {}
    for seed in seeds:
        for name in names:
            measure(page, page.claims[name], seed, found)
    pages.write(page, found)


def measure(page: Page, claim: Claim, seed: int, found: dict[str, Any]) -> None:
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
                kept["caption"] = claim.pictures(RESULTS / f"{page.name}-{claim.name}.png")
        write_json(page.name, {"claims": found})


def _seeds_of(claim: Claim, runs: dict[str, dict[str, Any]]) -> list[int]:
    """The seeds that every case has."""
    common = set.intersection(*(set(runs.get(case, {})) for case in claim.cases))
    return sorted(map(int, common))
