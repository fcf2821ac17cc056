"""What an evaluation figure depends on, and in what the evaluations of several runs differ."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ganinv.evaluation.figures import ENCODER_LOSS, PREFIX, network_of
from ganinv.metrics import path_length, reconstruction_frechet, separability
from ganinv.metrics.base import Figure
from launch.pages.records import EvaluationRecord

SHOWN_DIGITS = 8  # of a hash
OWN = "own"  # features of the evaluated model itself
# Names of conditions.
IMAGES_SEEN, HELD_OUT, GENERATED = "images seen", "held-out images", "generated images"
FEATURES = "features "  # and the name of the network
ATTRIBUTES = "attributes"


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
    found = {label: _conditions(record or {}) for label, record in evaluated.items()}
    differing = [words for name, words in _differing(found).items() if _concerns(name, key)]
    if _on(OWN, key):
        differing.append("features (each run's own)")
    return tuple(differing)


def changes(records: Sequence[EvaluationRecord]) -> list[str]:
    """The conditions that changed between the evaluations of a run's training, in words."""
    in_training = sorted(
        (record for record in records if record.get("checkpoint") is None),
        key=lambda record: (record["images_seen"], record["recorded"]),
    )
    found = []
    for before, after in pairwise(in_training):
        changed = _differing({"before": _conditions(before), "then": _conditions(after)})
        changed.pop(IMAGES_SEEN, None)
        if changed:
            found.append(
                f"at {_number(after['images_seen'])} images: {'; '.join(changed.values())}"
            )
    return found


def _differing(conditions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The conditions, by name, that do not have one value, with the values in words."""
    found = {}
    for name in dict.fromkeys(name for of_one in conditions.values() for name in of_one):
        values = {label: of_one.get(name, "unknown") for label, of_one in conditions.items()}
        if len(set(values.values())) > 1:
            words = "; ".join(f"{label}: {value}" for label, value in values.items())
            found[name] = f"{name} ({words})"
    return found


def _conditions(record: EvaluationRecord) -> dict[str, str]:
    """By name, and in words; without the run's own features, which change with every step."""
    held_out, generated = (_number(record.get(key)) for key in ("real", "generated"))
    found = {
        IMAGES_SEEN: _number(record.get("images_seen")),
        "resolution": f"{_number(record.get('resolution'))} pixels",
        "data set": str(record.get("data_fingerprint"))[:SHOWN_DIGITS],
        "weights": str(record.get("weights")),
        HELD_OUT: f"{held_out} of the split {record.get('split')}",
        GENERATED: f"{generated}, seed {record.get('seed')}",
    }
    networks: Mapping[str, Mapping[str, Any]] = record.get("features") or {}
    for name, network in networks.items():
        if name != OWN:
            sha256 = f", SHA-256 {network['sha256'][:SHOWN_DIGITS]}" if network["sha256"] else ""
            words = f"{network['network']}{sha256}; resize: {network['resize']}"
            found[f"{FEATURES}{name}"] = words
    for name, pair in (record.get("pairs") or {}).items():
        found[f"{FEATURES}{name}"] = f"{pair['network']}, SHA-256 {pair['sha256'][:SHOWN_DIGITS]}"
    if record.get("attributes"):
        found[ATTRIBUTES] = ", ".join(record["attributes"])
    return found


def _concerns(name: str, key: str) -> bool:
    """Whether the figure `key` depends on the condition `name`."""
    if name == HELD_OUT:
        of_generated = key == ENCODER_LOSS or key.endswith("_generated")
        return not (of_generated or _gives(path_length.METRIC.figures, key))
    if name == GENERATED:
        return not (key.endswith("_test") or _gives(reconstruction_frechet.METRIC.figures, key))
    if name == ATTRIBUTES:
        return _gives(separability.METRIC.figures, key)
    return not name.startswith(FEATURES) or _on(name.removeprefix(FEATURES), key)


def _gives(figures: Sequence[Figure], key: str) -> bool:
    return any(key == f"{PREFIX}{figure.on(network_of(key))}" for figure in figures)


def _on(features: str, key: str) -> bool:
    """Whether the figure `key` is computed on this feature network."""
    return network_of(key) == features


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
