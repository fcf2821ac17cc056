"""Labels of a batch, from the attributes of its samples. Shapes: B samples, K classes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.errors import DataError
from ganinv.latents.labelled import Condition
from ganinv.seams.batches import Batch


def labels_in(condition: Condition, batch: Batch) -> Tensor | None:
    """Zeros and a one for each sample, B × K; None without a condition.

    Raises `DataError` for a sample without the attribute, or of another class than those known.
    """
    if not condition:
        return None
    assert condition.attribute is not None
    number_of = {name: number for number, name in enumerate(condition.classes)}
    numbers = []
    for key, attributes in zip(batch.keys, batch.attributes or [{}] * len(batch.keys), strict=True):
        name = class_name(attributes, condition.attribute, key)
        if name not in number_of:
            raise DataError(
                f"data.label = {condition.attribute!r}: {key!r} is of the class {name!r}, but the "
                f"run knows {', '.join(condition.classes)}; train with the data it began with"
            )
        numbers.append(number_of[name])
    return F.one_hot(torch.tensor(numbers), len(condition.classes)).float()


def class_name(attributes: Mapping[str, Any], attribute: str, key: str) -> str:
    """The class of a sample: the text of its attribute. Raises `DataError` if it has none."""
    value = attributes.get(attribute)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else repr(value)
    if isinstance(value, str) and value:
        return value
    have = ", ".join(attributes) or "none at all"
    raise DataError(
        f"data.label = {attribute!r}: the sample {key!r} has no such attribute with a number, a "
        f"text, true or false (it has {have}); name an attribute that all samples have, or build "
        "the data set without this one"
    )
