"""What the result page shows of a run's recorded evaluations."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganinv.training.loop import Row
from launch.pages.curves import Rows

Record = Mapping[str, Any]
CONDITIONS = ("data_fingerprint", "split", "real", "generated", "seed", "features")


def conditions_by_name(records: Sequence[Record]) -> dict[str, str]:
    """What the newest evaluation was taken on; nothing if there is none."""
    if not records:
        return {}
    newest = max(records, key=lambda record: record["recorded"])
    damaged = newest.get("damaged", 0)
    held_out = f"the first {newest['real'] + damaged:,} of the split {newest['split']}"
    found = {
        "Evaluated": newest["checkpoint"] or f"while training, at {newest['images_seen']:,} images",
        "Held-out images": held_out + (f", without {damaged} damaged ones" if damaged else ""),
        "Generated images": f"{newest['generated']:,}, seed {newest['seed']}",
    }
    for name, network in newest["features"].items():
        sha256 = f", SHA-256 {network['sha256']}" if network["sha256"] else ""
        found[f"Features {name}"] = f"{network['network']}{sha256}; resize: {network['resize']}"
    return found


def with_records(rows: Rows, records: Sequence[Record]) -> list[Row]:
    """`rows` of training, and those of checkpoints that were evaluated after it.

    Only evaluations under the conditions of the newest one: others are not comparable with it.
    Figures that training itself took stay as they are.
    """
    of_checkpoints = [record for record in records if record["checkpoint"] is not None]
    if not of_checkpoints:
        return [dict(row) for row in rows]
    newest = max(of_checkpoints, key=lambda record: record["recorded"])
    taken = {key for row in rows for key in row}
    further = [
        {"images_seen": record["images_seen"]}
        | {k: v for k, v in record["figures"].items() if k not in taken and v is not None}
        for record in of_checkpoints
        if all(record[key] == newest[key] for key in CONDITIONS)
    ]
    return sorted([*map(dict, rows), *further], key=lambda row: row["images_seen"])
