"""The classes of `data.label`: found in the data when a run begins, then those that it records."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from cluster.run_folder.options_record import Record
from datasets.streaming.mix import DataSet, share_slots
from datasets.streaming.samples import read_attributes_with_keys
from ganinv.errors import ConfigError, DataError
from ganinv.latents.labelled import LEAST_CLASSES, Condition
from ganinv.plain import from_plain
from ganinv.training.labels import class_name
from launch.options.schema import DataConfig, RunConfig

MOST_CLASSES = 1000
AT_ONCE = 4096  # samples
NAMED = 10  # classes in a message
KEY = "objective.condition"


def with_recorded_condition(config: RunConfig, began: Record | None) -> RunConfig:
    """The options with the classes that the run began with, if it has the same `data.label`."""
    data, recorded = (began or {}).get("data") or {}, (began or {}).get("objective") or {}
    same = data.get("label") == config.data.label and data.get("classes") == config.data.classes
    if config.data.label is None or not same or not recorded.get("condition"):
        return config
    return with_condition(config, from_plain(Condition, recorded["condition"], KEY))


def with_found_condition(
    config: RunConfig, data_sets: Sequence[DataSet], announce: Callable[[str], None]
) -> RunConfig:
    """The options with the classes that the training images have, unless they are known.

    Reads the attributes of all training images. Raises `DataError` for an image without the
    attribute or of a class that `data.classes` leaves out, and for fewer than two classes or very
    many.
    """
    data = config.data
    if data.label is None or config.objective.condition:
        return config
    counts = [_counts(data, data.label, data_set) for data_set in data_sets]
    slots = share_slots([data_set.weight for data_set in data_sets], config.train.global_batch)
    classes = _ordered(data, set().union(*counts))
    # In a mix, data sets count by their slots: so often do their classes occur in training.
    total = sum(count.total() for count in counts)
    weights = [
        len(own) / config.train.global_batch * total / count.total()
        for own, count in zip(slots, counts, strict=True)
    ]
    weighted = [
        round(sum(weight * count[name] for weight, count in zip(weights, counts, strict=True)))
        for name in classes
    ]
    told = ", ".join(
        f"{name} ({count / total:.1%})"
        for name, count in zip(classes[:NAMED], weighted, strict=False)
    )
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    announce(f"classes of the label {data.label}: {told}{more}")
    return with_condition(config, Condition(attribute=data.label, classes=classes, counts=weighted))


def with_condition(config: RunConfig, condition: Condition) -> RunConfig:
    """The options with these classes. Raises `ConfigError` if the method cannot have them."""
    resolved = dict(config.resolved)
    resolved["objective"] = {**resolved["objective"], "condition": asdict(condition)}
    try:
        objective = replace(config.objective, condition=condition)
    except ConfigError as error:
        raise ConfigError(f"objective.{error}") from error
    return replace(config, objective=objective, resolved=resolved)


def _counts(data: DataConfig, label: str, data_set: DataSet) -> Counter[str]:
    store, index = data_set.origin or data_set.store, data_set.index
    counts: Counter[str] = Counter()
    samples = index.samples("train")
    for first in range(0, samples, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, samples))
        for key, attributes in read_attributes_with_keys(store, index, "train", numbers):
            counts[name := class_name(attributes, label, key)] += 1
            if data.classes is not None and name not in data.classes:
                raise DataError(
                    f"data.classes = {data.classes}: the sample {key!r} is of the class {name!r}; "
                    "add it, or build the data set without its samples"
                )
            if len(counts) > MOST_CLASSES:
                raise DataError(
                    f"data.label = {label!r}: has more than {MOST_CLASSES} classes, such as "
                    f"{', '.join(list(counts)[:NAMED])}; name an attribute with few values"
                )
    return counts


def _ordered(data: DataConfig, names: set[str]) -> list[str]:
    """The classes in the order of `data.classes`, or of their numbers, or of their names."""
    if len(set(data.classes or names)) < LEAST_CLASSES or len(names) < LEAST_CLASSES:
        raise DataError(
            f"data.label = {data.label!r}: all images are of the class {', '.join(sorted(names))}; "
            "name an attribute in which they differ, or leave data.label out"
        )
    if data.classes is not None:
        return list(data.classes)
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)
