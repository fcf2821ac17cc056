"""The attributes of a sample, as JSON beside its image."""

import json
import math
from typing import Any

from ganinv.errors import DataError

_LARGEST_SHOWN = 60  # characters of a reason


def parse_attributes(data: bytes, what: str) -> dict[str, Any]:
    """The attributes in the bytes of a JSON member; `what` names the image in messages.

    NaN and infinite numbers, which are no JSON but which many programs write, become None. Raises
    `DataError` for anything that is not a JSON object.
    """
    try:
        found = json.loads(data, parse_float=_float, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        reason = str(problem)[:_LARGEST_SHOWN]
        raise DataError(f"the attributes of {what} are not JSON ({reason}); correct them") from None
    if not isinstance(found, dict):
        raise DataError(
            f"the attributes of {what} are not a JSON object, but {_KINDS[type(found)]}; write"
            ' {"NAME": VALUE, …}'
        )
    return found


def dump_attributes(attributes: dict[str, Any]) -> bytes:
    """JSON, where NaN and infinite numbers become null. Equal attributes give equal bytes."""
    try:
        return _dump(attributes)
    except ValueError:
        return _dump(_finite(attributes))


_KINDS = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _dump(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _float(text: str) -> float | None:
    """None for numbers beyond the range of floats, such as 1e999."""
    number = float(text)
    return number if math.isfinite(number) else None


def _no_number(name: str) -> None:
    """For `NaN`, `Infinity` and `-Infinity`."""
    del name
