"""The average of weights against its closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ganinv.training.averages import WeightAverage


def set_weights(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


@settings(max_examples=30)
@given(st.floats(0, 0.999), st.integers(0, 12))
def test_closed_form(decay: float, updates: int) -> None:
    """w̄_n = βⁿ w_0 + (1 − β) Σ β^(n − t) w_t, without bias correction."""
    network = nn.Linear(3, 2).double()
    average = WeightAverage(network)
    expected = [decay**updates * p.detach() for p in network.parameters()]
    for step in range(1, updates + 1):
        set_weights(network, step)
        average.update(network, decay)
        weight = (1 - decay) * decay ** (updates - step)
        for total, parameter in zip(expected, network.parameters(), strict=True):
            total += weight * parameter.detach()
    for found, value in zip(average.network.parameters(), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=0, atol=1e-12)


def test_a_flag_says_whether_it_follows() -> None:
    network = nn.BatchNorm1d(3)  # has parameters and buffers
    flagged, plain = WeightAverage(network), WeightAverage(network)
    for step, applied in enumerate((True, False, False, True)):
        set_weights(network, step)
        with torch.no_grad():
            network(torch.randn(4, 3, generator=torch.Generator().manual_seed(step)))
        before = {name: v.clone() for name, v in flagged.network.state_dict().items()}
        flagged.update(network, 0.7, torch.tensor(applied))
        if applied:
            plain.update(network, 0.7)
        else:
            after = flagged.network.state_dict()
            assert all(torch.equal(after[name], value) for name, value in before.items())
    torch.testing.assert_close(flagged.network.state_dict(), plain.network.state_dict())


def test_the_average_is_a_network_of_its_own() -> None:
    network = nn.Linear(3, 2)
    before = [p.detach().clone() for p in network.parameters()]
    average = WeightAverage(network)
    set_weights(network, 1)
    for found, value in zip(average.network.parameters(), before, strict=True):
        assert torch.equal(found, value)  # until the first update
    now = [p.detach().clone() for p in network.parameters()]
    average.update(network, 0.5)
    for parameter, value in zip(network.parameters(), now, strict=True):
        assert torch.equal(parameter, value)  # the network is only read
        assert parameter.requires_grad


def test_the_average_takes_no_gradients() -> None:
    average = WeightAverage(nn.Sequential(nn.Linear(3, 2), nn.Dropout()))
    assert not any(p.requires_grad for p in average.network.parameters())
    assert not any(module.training for module in average.network.modules())


def test_buffers_are_copied_not_averaged() -> None:
    """As in StyleGAN: running statistics of a batch normalisation are averages already."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train()
    average = WeightAverage(network)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 4):
        set_weights(network, step)
        network(torch.randn(8, 3, generator=generator))  # moves mean, variance and the counter
        average.update(network, 0.5)
        for (name, buffer), copy in zip(
            network.named_buffers(), average.network.buffers(), strict=True
        ):
            assert torch.equal(copy, buffer), name
            assert copy.dtype == buffer.dtype
            assert copy.data_ptr() != buffer.data_ptr()
    buffers = dict(average.network.named_buffers())
    assert buffers["1.num_batches_tracked"] == 3
    assert bool(buffers["1.running_mean"].any())
    weights = zip(network.parameters(), average.network.parameters(), strict=True)
    assert not any(torch.equal(current, averaged) for current, averaged in weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_names_and_types_stay(dtype: torch.dtype) -> None:
    network = nn.Linear(3, 2).to(dtype)
    average = WeightAverage(network)
    average.update(network, 0.9)
    state = average.network.state_dict()
    assert state.keys() == network.state_dict().keys()
    assert all(value.dtype == dtype for value in state.values())
