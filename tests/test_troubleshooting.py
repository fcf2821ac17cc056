"""docs/troubleshooting.md: each message that it lists is one that the code writes today.

A message is a cell in backticks; `…` stands for what varies. It must be part of one string of the
code, with `…` where that string has an expression.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.commands import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
ROOMS = ("ganinv", "datasets", "cluster", "launch")
VARIES = "…"


def text_of(node: ast.expr) -> str | None:
    """The string that an expression gives, with `…` for what varies; None if it is no string."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or VARIES for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [text_of(side) for side in (node.left, node.right)]
        return None if parts == [None, None] else "".join(part or VARIES for part in parts)
    return None


def strings_of_the_code() -> str:
    """Each string in a line of its own."""
    found = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.expr) and (text := text_of(node)):
                    found.add(" ".join(text.split()))
    return "\n".join(found)


def listed() -> Iterator[tuple[str, list[str]]]:
    """The messages of the page, and the other cells of their rows."""
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            message, *rest = (cell.strip() for cell in line.strip("|").split(" | "))
            yield message.strip("` "), rest


def is_part_of(message: str, text: str) -> bool:
    """Whether a line of the text contains the message."""
    pieces = message.split(VARIES)
    pattern = re.compile(".*".join(map(re.escape, pieces)))
    longest = max(pieces, key=len)  # a plain search for it leaves few lines for the slow one
    return any(longest in line and pattern.search(line) for line in text.split("\n"))


def test_every_listed_message_is_in_the_code() -> None:
    strings = strings_of_the_code()
    messages = [message for message, _ in listed()]
    assert len(messages) > 60
    assert [message for message in messages if not is_part_of(message, strings)] == []


def test_every_row_has_a_cause_and_a_remedy_and_appears_once() -> None:
    rows = list(listed())
    assert [message for message, cells in rows if len(cells) != 2 or not all(cells)] == []
    messages = [message for message, _ in rows]
    assert len(messages) == len(set(messages))
    # A message that is mostly `…` would be part of anything.
    assert [m for m in messages if len(m.replace(VARIES, "").split()) < 3] == []


@pytest.mark.parametrize(
    ("message", "text", "found"),
    [
        ("holds no checkpoint …; name", "… holds no checkpoint …; name one", True),
        ("holds no checkpoint; name", "… holds no checkpoint …; name one", False),
        ("a message of yesterday", "a message of today", False),
    ],
)
def test_a_message_that_the_code_no_longer_writes_is_noticed(
    message: str, text: str, found: bool
) -> None:
    assert is_part_of(message, text) is found
