"""Which row of a table belongs to which image: tables rarely name files exactly as they are."""

import itertools
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ganinv.errors import DataError

Row = TypeVar("Row")
Form = Callable[[str], str]


def match_rows(
    table: Mapping[str, Row], names: Sequence[str], where: str
) -> tuple[dict[str, Row], list[str]]:
    """Path of each image → its row; and the names of the rows that match no image.

    A row names the whole path of an image, the end of it, or only the file; or it names more
    folders than the path has. If nothing matches exactly, these may differ: the normal form of
    accents (NFC, NFD), then capitals, then the ending of the file (`a.jpg` for `a.png`).

    Raises `DataError` if a row matches several images; `where` begins the message.
    """
    matched: dict[str, Row] = {}
    left = list(table)
    for whole, form in itertools.product((True, False), _FORMS):
        if not left:
            break
        images = _Images(names, form, whole=whole)
        still_left = []
        for row_name in left:
            found = images.find(row_name)
            if all(name in matched for name in found):
                still_left.append(row_name)
            elif len(found) == 1:
                matched[found[0]] = table[row_name]
            else:
                raise DataError(
                    f"{where}: the row {row_name!r} matches {found[0]!r} and {found[1]!r}; write"
                    " paths relative to the folder of the images"
                )
        left = still_left
    return matched, left


def stem_of(name: str) -> str:
    """The file's name without folders, ending, capitals and the difference of NFC and NFD."""
    return _any_ending(name).rpartition("/")[2]


class _Images:
    """Finds images by one form of their paths: by whole paths, or by the ends of paths."""

    def __init__(self, names: Sequence[str], form: Form, *, whole: bool) -> None:
        self._form = form
        self._whole = whole
        self._groups: dict[str, list[str]] = defaultdict(list)
        for name in names:
            self._groups[self._key(form(name))].append(name)

    def find(self, row_name: str) -> list[str]:
        wanted = self._form(row_name)
        found = self._groups.get(self._key(wanted), [])
        return [name for name in found if _same_end(wanted, self._form(name))]

    def _key(self, path: str) -> str:
        return path if self._whole else path.rpartition("/")[2]


def _same_end(a: str, b: str) -> bool:
    """Whether one path is the end of the other."""
    return f"/{a}".endswith(f"/{b}") or f"/{b}".endswith(f"/{a}")


def _exact(name: str) -> str:
    return name


def _tidy(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/")).removeprefix("./")


def _any_case(name: str) -> str:
    return _tidy(name).casefold()


def _any_ending(name: str) -> str:
    folders, slash, file_name = _any_case(name).rpartition("/")
    return folders + slash + (file_name.rpartition(".")[0] or file_name)


_FORMS: tuple[Form, ...] = (_exact, _tidy, _any_case, _any_ending)
