"""Recorded evaluations of a run, as the result page shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganinv.training.loop import Row
from launch.pages.curves import Rows

EvaluationRecord = Mapping[str, Any]  # one object of the run's `evaluations/`
CONDITIONS = ("data_fingerprint", "split", "real", "generated", "seed", "features")


def conditions_by_name(records: Sequence[EvaluationRecord]) -> dict[str, str]:
    """The conditions of the newest evaluation, by name; empty without evaluations."""
    if not records:
        return {}
    newest = max(records, key=lambda record: record["recorded"])
    damaged = newest.get("damaged", 0)
    asked = newest["real"] + damaged
    held_out = f"the first {asked:,} of the split {newest['split']}" if asked else "none"
    found = {
        "Evaluated": newest["checkpoint"] or f"while training, at {newest['images_seen']:,} images",
        "Held-out images": held_out + (f", without {damaged} corrupt images" if damaged else ""),
        "Generated images": f"{newest['generated']:,}, seed {newest['seed']}",
    }
    for name, network in newest["features"].items():
        sha256 = f", SHA-256 {network['sha256']}" if network["sha256"] else ""
        found[f"Features {name}"] = f"{network['network']}{sha256}; resize: {network['resize']}"
    for name, pair in newest.get("pairs", {}).items():
        found[f"Network of {name}"] = f"{pair['network']}, SHA-256 {pair['sha256']}"
    if newest.get("attributes"):
        found["Attributes of linear separability"] = ", ".join(newest["attributes"])
    return found


def with_records(rows: Rows, records: Sequence[EvaluationRecord]) -> list[Row]:
    """The `rows` of training, and one row for each checkpoint that `evaluate` recorded.

    Only evaluations under the conditions of the newest one count: other figures are not comparable.
    Figures that training has logged keep their values.
    """
    of_checkpoints = [record for record in records if record["checkpoint"] is not None]
    if not of_checkpoints:
        return [dict(row) for row in rows]
    newest = max(of_checkpoints, key=lambda record: record["recorded"])
    taken = {key for row in rows for key in row}
    further: dict[str, Row] = {}
    for record in sorted(of_checkpoints, key=lambda record: record["recorded"]):
        if all(record[key] == newest[key] for key in CONDITIONS):
            row = further.setdefault(record["checkpoint"], {"images_seen": record["images_seen"]})
            row |= {k: v for k, v in record["figures"].items() if k not in taken and v is not None}
    return sorted([*map(dict, rows), *further.values()], key=lambda row: row["images_seen"])
