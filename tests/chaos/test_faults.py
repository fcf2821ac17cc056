"""Training recovers by itself from every kind of fault (`tests.support.faults`).

GANINV_FAULTS is the number of faults in a run; each kind takes more than a minute.
"""

import os
from pathlib import Path

import pytest

from tests.support.fault_runs import BATCH, INTERVAL, STRIDE, run_with_faults
from tests.support.faults import ANNOUNCED, KINDS, NODE_FAULTS, STORAGE_FAULTS, open_testbed

FAULTS = int(os.environ.get("GANINV_FAULTS", "2"))
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600 + 120 * FAULTS)]
REASONS = {
    "sigkill": {"failure"},
    "sigstop": {"hang"},
    "sigterm": {"preemption"},
    "lost_node": {"node_lost"},
    "drained": {"preemption"},
    "outage": {None, "storage"},
    "restarted_store": {None, "storage"},
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All kinds share it, and so the run without faults."""
    return tmp_path_factory.mktemp("faults")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_reaches_its_end_through_faults(kind: str, directory: Path) -> None:
    with open_testbed(kind, directory) as testbed:
        result = run_with_faults(kind, FAULTS, testbed)
    log = (directory / f"{kind}.log").read_text()
    assert result.status == 0, log
    assert result.images_seen == STRIDE * (FAULTS + 1)
    for fault in result.faults:
        assert fault.reason in REASONS[kind], (fault, log)
        assert fault.orphans == 0, fault
        assert fault.lost_images <= (0 if kind in ANNOUNCED else INTERVAL + BATCH), fault
    if kind in NODE_FAULTS:
        # Another number of workers adds in another order; a tiny GAN amplifies the difference.
        assert result.largest_difference < 0.5
    else:
        assert result.equal, (kind, result.largest_difference)
    assert result.same_sequence
    assert result.goodput > 0
    assert kind in STORAGE_FAULTS or all(fault.detected_s is not None for fault in result.faults)
