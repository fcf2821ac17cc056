"""What an evaluation figure depends on, and in what the evaluations of several runs differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganinv.evaluation.figures import ENCODER_LOSS, IMAGE_SETS, PREFIX, distance_name, set_name
from ganinv.metrics.base import set_metrics
from launch.pages.records import EvaluationRecord

SHOWN_DIGITS = 8  # of a hash
OWN = "own"  # features of the evaluated model itself


def evaluation_of(
    records: Sequence[EvaluationRecord], key: str, images_seen: float
) -> EvaluationRecord | None:
    """The record of the evaluation in training that gave the figure `key`; None without one."""
    found = [
        record
        for record in records
        if record.get("checkpoint") is None
        and record["images_seen"] == images_seen
        and key in record["figures"]
    ]
    return max(found, key=lambda record: record["recorded"], default=None)


def differences(key: str, evaluated: Mapping[str, EvaluationRecord | None]) -> tuple[str, ...]:
    """The conditions in which the runs' figures `key` differ, each with the value of every run.

    `evaluated`: run's label → record of the evaluation. Empty if the figures can be compared, and
    for statistics of training, which are no evaluations.
    """
    if not key.startswith(PREFIX) or len(evaluated) < 2:
        return ()
    unknown = [label for label, record in evaluated.items() if record is None]
    if unknown:
        return (f"all conditions (no evaluation is recorded for {', '.join(unknown)})",)
    found = {label: _conditions(key, record or {}) for label, record in evaluated.items()}
    names = dict.fromkeys(name for conditions in found.values() for name in conditions)
    differing = [_difference(name, found) for name in names]
    if _features(key, [OWN]):
        differing.append("features (each run's own)")
    return tuple(words for words in differing if words)


def _difference(name: str, conditions: Mapping[str, Mapping[str, str]]) -> str:
    values = {label: found.get(name, "unknown") for label, found in conditions.items()}
    if len(set(values.values())) == 1:
        return ""
    return f"{name} ({'; '.join(f'{label}: {value}' for label, value in values.items())})"


def _conditions(key: str, record: EvaluationRecord) -> dict[str, str]:
    """By name, and in words."""
    found = {
        "images seen": _number(record.get("images_seen")),
        "resolution": f"{_number(record.get('resolution'))} pixels",
        "data set": str(record.get("data_fingerprint"))[:SHOWN_DIGITS],
        "weights": str(record.get("weights")),
    }
    if not (key == ENCODER_LOSS or key.endswith("_generated")):
        held_out = _number(record.get("real"))
        found["held-out images"] = f"{held_out} of the split {record.get('split')}"
    if not key.endswith("_test"):
        found["generated images"] = f"{_number(record.get('generated'))}, seed {record.get('seed')}"
    networks: Mapping[str, Mapping[str, Any]] = record.get("features") or {}
    for name in _features(key, [name for name in networks if name != OWN]):
        network = networks[name]
        sha256 = f", SHA-256 {network['sha256'][:SHOWN_DIGITS]}" if network["sha256"] else ""
        found[f"features {name}"] = f"{network['network']}{sha256}; resize: {network['resize']}"
    return found


def _features(key: str, networks: Sequence[str]) -> list[str]:
    """The feature network, among these, that the figure `key` is computed on."""
    figures = [figure for metric in set_metrics() for figure in metric.figures]
    return [
        name
        for name in networks
        if key in {distance_name(name, images) for images in IMAGE_SETS}
        or key in {set_name(figure, name) for figure in figures}
    ]


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
