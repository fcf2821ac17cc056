"""How the trainings of a sweep ended."""

import signal

from launch.sweeping.checking import Planned, images_seen
from launch.sweeping.judging import Outcome, Result
from launch.sweeping.running import Ended

# Exit status of `ganinv train` (`ganinv.errors`) → what it means here. Outside of its training, an
# ending signal ends the process by itself, or Ray's handler exits with the signal's number.
OUTCOMES: dict[int, Outcome] = {
    0: "trained",
    4: "diverged",
    130: "stopped",
    signal.SIGTERM: "stopped",
    128 + signal.SIGTERM: "stopped",
    -signal.SIGTERM: "stopped",
    -signal.SIGINT: "stopped",
}


def result_of(one: Planned, ended: Ended | None) -> Result:
    """`ended`: how its command did; None if it had been trained before.

    A training that has seen all of its images is trained, even if its command ended by a signal
    after that.
    """
    seen = images_seen(one.store())
    status = 0 if ended is None or seen >= one.config.train.images else ended.status
    outcome = OUTCOMES.get(status, "failed")
    return Result(
        training=one.training,
        label=one.label,
        run=one.config.storage.run,
        outcome=outcome,
        reason="" if ended is None or outcome == "trained" else ended.reason,
        images_seen=seen,
    )
