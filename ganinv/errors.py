"""Errors that reach a person. Each class has the exit status of DESIGN's command contract.

Messages name the key (or object), the value, the reason and the remedy. Everything else that is
raised is a defect of ours and keeps its traceback.
"""


class GanInvError(Exception):
    """Base of all errors that a user can mend. One constructor argument, so that it pickles."""

    exit_status = 1


class ConfigError(GanInvError):
    """Wrong options: an unknown key, a wrong type or an impossible combination."""

    exit_status = 2


class DataError(GanInvError):
    """The data set is missing, empty, damaged or does not fit the run."""

    exit_status = 3


class StorageError(GanInvError):
    """The object store refuses, is unreachable or holds something else than promised."""

    exit_status = 3


class StorageExistsError(StorageError):
    """A write-if-absent found the name taken: somebody else was first."""


class StorageMissingError(StorageError):
    """The object or folder that was asked for does not exist."""


class StorageFullError(StorageError):
    """There is no room left to write: the disk is full, or a quota is used up."""


class LeaseLostError(StorageError):
    """Another command has taken over the run that this one was writing."""


class StorageUnavailableError(StorageError):
    """The object store does not answer now, and may later: the one kind that is worth a retry."""


class DivergenceError(GanInvError):
    """Training produced non-finite numbers too many times in a row."""

    exit_status = 4


class ClusterError(GanInvError):
    """Workers failed more often than the budget allows, never came up, or hold unequal states."""

    exit_status = 5
