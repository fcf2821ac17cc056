"""Standard output and standard error that outlive their reader.

`ganinv status | head` closes the output early, a closed terminal or a dead `tee` takes it away from
a training. What a command then writes is dropped, and the command goes on.
"""

import errno
import io
import os
import sys
from typing import Any, TextIO

from ganinv.errors import StorageError

READER_IS_GONE = (errno.EPIPE, errno.EIO)  # EIO: the terminal was closed


class LastingFile(io.FileIO):
    """A file that drops what it cannot write any more. `lost` is the error, or None."""

    lost: OSError | None = None

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]  # None: it would block
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
        return len(data)

    def isatty(self) -> bool:
        return self.lost is None and super().isatty()


def install() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams on a `LastingFile`."""
    for number in range(3):
        # Otherwise the next file that is opened would take the place of a closed stream.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _lasting(1, sys.stdout)
    sys.stderr = _lasting(2, sys.stderr)


def reader_is_gone() -> bool:
    """Whether nobody can read standard output any more."""
    error = _lost(sys.stdout)
    return error is not None and error.errno in READER_IS_GONE


def check() -> None:
    """Raises `StorageError` if standard output is incomplete although somebody reads it."""
    if sys.stdout is not None:
        sys.stdout.flush()
    error = _lost(sys.stdout)
    if error is not None and error.errno not in READER_IS_GONE:
        raise StorageError(
            f"standard output is incomplete: {error.strerror}; write it to another place and "
            "repeat the command (a training is complete)"
        )


def _lasting(number: int, before: TextIO | None) -> TextIO:
    if before is not None:
        before.flush()
    file = LastingFile(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=before.encoding if before is not None else "utf-8",
        errors=before.errors if before is not None else "replace",
        line_buffering=number == 2 or file.isatty(),
    )


def _lost(stream: TextIO | None) -> OSError | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, LastingFile) else None
