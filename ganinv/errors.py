"""Errors that users see. Each class has the exit status that the command contract assigns to it.

A message names the key (or object), the value, the reason and the remedy. Any other exception is a
bug in ganinv and is shown with its traceback. Credentials inside URLs are hidden in every message.
"""

from ganinv.masking import masked


class GanInvError(Exception):
    """Base of all errors that a user can fix; takes one argument, so that it can be pickled."""

    exit_status = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(masked(message))


class ConfigError(GanInvError):
    """Wrong options: an unknown key, a wrong type or an impossible combination."""

    exit_status = 2


class DataError(GanInvError):
    """The data set is missing, empty, corrupt or does not fit the run."""

    exit_status = 3


class StorageError(GanInvError):
    """The object store refuses a request, is unreachable or holds unexpected content."""

    exit_status = 3


class StorageExistsError(StorageError):
    """A write-if-absent failed because an object of this name exists already."""


class StorageMissingError(StorageError):
    """The object or folder that was asked for does not exist."""


class StorageContentError(StorageError):
    """The store answers, but what it holds cannot be used: it is corrupt, of another version or of
    another run. No restart mends that."""


class StorageFullError(StorageError):
    """A write failed because the disk is full or a quota is used up."""


class LeaseLostError(StorageError):
    """Another command has taken over the run that this command was writing."""


class StorageUnavailableError(StorageError):
    """The object store does not answer at present. Only this error is worth a retry."""


class DivergenceError(GanInvError):
    """Training gave non-finite numbers in too many steps in a row."""

    exit_status = 4


class ClusterError(GanInvError):
    """Workers failed too often, never started, or hold different states."""

    exit_status = 5
