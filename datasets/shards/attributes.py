"""The attributes of a sample, as JSON beside its image."""

import json
import math
from typing import Any

from ganinv.errors import DataError


def parse_json(data: bytes | str) -> Any:
    """JSON, where NaN and infinite numbers, which many programs write, become None.

    Raises `ValueError`.
    """
    try:
        return json.loads(data, parse_float=_float, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("its lists are nested too deeply") from None


def parse_attributes(data: bytes, what: str) -> dict[str, Any]:
    """The attributes in the bytes of a JSON member; `what` names the image in messages.

    Raises `DataError` for anything that is not a JSON object.
    """
    try:
        return check_attributes(data)
    except DataError as problem:
        raise DataError(
            f'the attributes of {what} are {problem}; write an object: {{"NAME": VALUE, …}}'
        ) from problem


def check_attributes(data: bytes) -> dict[str, Any]:
    """`parse_attributes`, but errors say only what the bytes are."""
    try:
        found = parse_json(data)
    except ValueError as problem:
        raise DataError(f"not JSON ({problem})") from problem
    if not isinstance(found, dict):
        raise DataError(f"{_KINDS[type(found)]} instead of an object")
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
