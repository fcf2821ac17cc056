"""The phases of this worker's start, from its process to its first step.

A worker belongs to one group for as long as it lives, so its process holds one record. Ray Train's
hooks write to it on the main thread before the training function does in its own.
"""

from cluster.phases import Phases
from cluster.processes import own_age_s

phases = Phases(before=own_age_s())


def end_phase(name: str) -> None:
    phases.end(name)
