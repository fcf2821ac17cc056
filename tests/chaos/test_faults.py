"""Training goes on by itself, whatever is done to it: `make chaos`, GANINV_FAULTS=20 for the table.

Apart from `make test`, for it takes minutes a kind.
"""

import os
from pathlib import Path

import pytest

from tests.support.fault_runs import BATCH, INTERVAL, STRIDE, run_with
from tests.support.faults import KINDS, NOTICED, OF_NODES, PATIENT, staged

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
    """Of all kinds, so that one run without faults serves them all."""
    return tmp_path_factory.mktemp("faults")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_reaches_its_end_through_faults(kind: str, directory: Path) -> None:
    with staged(kind, directory) as stage:
        result = run_with(kind, FAULTS, stage)
    log = (directory / f"{kind}.log").read_text()
    assert result.status == 0, log
    assert result.images_seen == STRIDE * (FAULTS + 1)
    for fault in result.faults:
        assert fault.reason in REASONS[kind], (fault, log)
        assert fault.orphans == 0, fault
        assert fault.lost_images <= (0 if kind in NOTICED else INTERVAL + BATCH), fault
    if kind in OF_NODES:
        # Other sums in another order; a tiny GAN amplifies them.
        assert result.largest_difference < 0.5
    else:
        assert result.equal, (kind, result.largest_difference)
    assert result.same_sequence
    assert result.goodput > 0
    assert kind in PATIENT or all(fault.detected_s is not None for fault in result.faults)
