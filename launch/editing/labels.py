"""Labels of images as words: `Smiling`, `glasses!=none`, `radius>0.5`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganinv.errors import ConfigError, DataError

_WORDS = re.compile(
    r"(?:(?P<title>[^=!<>:]+?)\s*:\s*)?"
    r"(?P<attribute>[^=!<>:]+?)\s*(?:(?P<sign>!=|=|<|>)\s*(?P<value>.*))?",
    re.DOTALL,
)
_TRUE = frozenset(("1", "true", "yes"))
_FALSE = frozenset(("0", "-1", "false", "no"))  # -1: the lists of CelebA


@dataclass(frozen=True)
class Label:
    """What an attribute must be: `NAME=VALUE`, `NAME!=VALUE`, `NAME<NUMBER`, `NAME>NUMBER`.

    `NAME=VALUE|VALUE` is true for each of the values. `NAME` alone is true where the attribute is
    1, true or yes. `text` names the label: its words, or TITLE of `TITLE: words`.
    """

    text: str
    attribute: str
    sign: str  # empty: the attribute itself is true or false
    value: str

    @staticmethod
    def parse(text: str) -> "Label":
        """Raises `ConfigError` for words that are no label."""
        found = _WORDS.fullmatch(text.strip())
        if found is None:
            raise ConfigError(
                f"boundary.labels: {text!r} is no label; write NAME, NAME=VALUE, NAME!=VALUE, "
                "NAME<NUMBER or NAME>NUMBER"
            )
        sign, value = found["sign"] or "", (found["value"] or "").strip()
        if sign in ("<", ">"):
            _number(value, f"boundary.labels: {text!r}")
        title = found["title"] or text.strip()
        return Label(title, found["attribute"].strip(), sign, value)

    def of(self, attributes: Mapping[str, Any]) -> bool | None:
        """Whether it holds for an image; None if the image does not say.

        Raises `DataError` for an attribute of another kind.
        """
        found = attributes.get(self.attribute)
        if found is None:
            return None
        if self.sign in ("<", ">"):
            number = _number(found, f"label {self.text!r}: the attribute {found!r}")
            limit = float(self.value)
            return number < limit if self.sign == "<" else number > limit
        said = str(found).lower() if isinstance(found, bool) else str(found)
        if self.sign:
            is_among = said == self.value or said in self.value.split("|")
            return is_among == (self.sign == "=")
        if said.lower() in _TRUE | _FALSE:
            return said.lower() in _TRUE
        raise DataError(
            f"label {self.text!r}: an image has {self.attribute} = {found!r}, which is neither "
            f"true nor false; write {self.attribute}={found}"
        )


def check_attributes(labels: Sequence[Label], attributes: Sequence[Mapping[str, Any]]) -> None:
    """Raises `ConfigError` for a label whose attribute no image has."""
    known = sorted({name for row in attributes for name in row})
    for label in labels:
        if label.attribute not in known:
            raise ConfigError(
                f"boundary.labels: no image has the attribute {label.attribute!r}; the data have "
                f"{', '.join(known) or 'none'}"
            )


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"{what} is no number; compare it by = or !=") from None
