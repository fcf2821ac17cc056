"""Writes a page of claims from their runs: docs/results/NAME.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.claims.charts import chart
from benchmarks.claims.claim import Claim
from benchmarks.results import RESULTS


@dataclass(frozen=True, kw_only=True)
class Page:
    """Claims on one page. `name` is that of its JSON and of its Markdown."""

    name: str
    preamble: str
    claims: Mapping[str, Claim]


def write(page: Page, found: Mapping[str, Any]) -> None:
    parts = [page.preamble]
    for name, claim in page.claims.items():
        kept = found.get(name, {})
        parts.append(f"## {claim.title}\n\n{claim.text}\n")
        if "expectations" not in kept:
            parts.append("Not run yet.\n")
            continue
        parts.append(_table(kept["expectations"]))
        parts.append(_ends(claim, kept["runs"]))
        parts.extend(_curves(page, claim, kept["runs"]))
        if "caption" in kept:
            parts.append(f"![{kept['caption']}]({page.name}-{name}.png)\n\n{kept['caption']}.\n")
    (RESULTS / f"{page.name}.md").write_text("\n".join(parts))


def _table(expectations: list[dict[str, Any]]) -> str:
    lines = ["| expected | limit | each seed | |", "|---|---|---|---|"]
    for row in expectations:
        values = ", ".join(f"{value:.3g}" for value in row["values"])
        verdict = "met" if row["met"] else "**missed**"
        lines.append(f"| {row['text']} | {row['limit']} | {values} | {verdict} |")
    return "\n".join(lines) + "\n"


def _ends(claim: Claim, runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The last figures of every case: mean over seeds, and their range."""
    keys = list(next(iter(runs[next(iter(claim.cases))].values()))[-1])
    lines = ["| case | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for case in claim.cases:
        ends = [rows[-1] for rows in runs[case].values()]
        cells = []
        for key in keys:
            values = [float(end[key]) for end in ends]
            cells.append(f"{sum(values) / len(values):.4g} ({min(values):.3g}–{max(values):.3g})")
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _curves(page: Page, claim: Claim, runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for figure, title in claim.curves:
        name = f"{page.name}-{claim.name}-{figure}"
        by_case = {case: list(runs[case].values()) for case in claim.cases}
        (RESULTS / f"{name}.svg").write_text(chart(name, title, figure, by_case, claim.by))
        found.append(f"![{title}]({name}.svg)\n")
    return found
