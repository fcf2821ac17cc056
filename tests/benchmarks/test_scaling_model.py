"""The model that sizes clusters: its limits, and a fit that finds what made the data."""

import pytest

from benchmarks.scaling import fit_network, fit_workload
from benchmarks.scaling_measure import SHARES, StepTimes
from benchmarks.scaling_model import (
    Network,
    Reliability,
    Workload,
    all_reduce_s,
    expected_maximum,
    goodput,
    step_s,
)

NETWORK = Network(latency_s=1e-4, bytes_per_s=1e9)


def test_one_worker_talks_to_nobody() -> None:
    workload = Workload(
        fixed_s=0.1, per_image_s=0.01, jitter=0.05, gradient_bytes=10**9, collectives=5
    )
    assert step_s(workload, NETWORK, 1, 16) == pytest.approx(0.1 + 0.16)


def test_many_workers_send_the_gradients_twice_at_most() -> None:
    """A ring's volume tends to 2 S / β; a tree's latency grows with the logarithm alone."""
    assert all_reduce_s(10**9, 2, NETWORK) == pytest.approx(1.0 + 2e-4)
    assert all_reduce_s(10**9, 1024, NETWORK) == pytest.approx(2.0, rel=0.01)
    assert all_reduce_s(8, 1024, NETWORK) == pytest.approx(20e-4, rel=0.01)


def test_expected_maximum_of_normal_draws() -> None:
    """Exact values for 2 and 4: 1/√π, 1.0294; Blom's approximation is within some percent."""
    assert expected_maximum(1) == 0
    assert expected_maximum(2) == pytest.approx(0.5642, rel=0.05)
    assert expected_maximum(4) == pytest.approx(1.0294, rel=0.03)


def test_goodput_falls_with_nodes_and_failures() -> None:
    never = Reliability(
        node_mttf_s=1e18, workers_per_node=8, restart_s=60, checkpoint_every_s=600,
        checkpoint_stall_s=0,
    )  # fmt: skip
    assert goodput(never, 1024) == pytest.approx(1)
    often = Reliability(
        node_mttf_s=128 * 360, workers_per_node=8, restart_s=60, checkpoint_every_s=600,
        checkpoint_stall_s=0,
    )  # fmt: skip
    assert goodput(often, 1024) == pytest.approx(0.5)  # a failure each 360 s, and 360 s for it
    assert goodput(often, 8) > goodput(often, 16)


def test_the_fit_finds_the_machine_that_made_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    made = Workload(
        fixed_s=0.02, per_image_s=0.004, jitter=0.0, gradient_bytes=4 * 10**6, collectives=7,
        cores=2, contention=1.2,
    )  # fmt: skip
    times = [
        StepTimes(
            recipe="made", workers=w, share=b, seconds=(step_s(made, NETWORK, w, b),) * 4
        )
        for w in (1, 2, 3, 4)
        for b in SHARES
    ]  # fmt: skip
    sizes = (8, 65536, 2**22)
    network = fit_network({2: {size: all_reduce_s(size, 2, NETWORK) for size in sizes}})
    assert network.latency_s == pytest.approx(NETWORK.latency_s, rel=1e-6)
    assert network.bytes_per_s == pytest.approx(NETWORK.bytes_per_s, rel=1e-6)
    fitted = fit_workload(times, network, made.gradient_bytes)
    for row in times:
        found = step_s(fitted, network, row.workers, row.share)
        assert found == pytest.approx(row.median_s, rel=1e-6)
