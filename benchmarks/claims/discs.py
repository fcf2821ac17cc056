"""Discs of eight known factors, and a frozen network that reads the factors off an image."""

import functools

import torch
from torch import Tensor, nn

from benchmarks.small_training import as_batch
from datasets.sources.discs import FACTORS, factors, render
from ganinv.pictures import to_signed

RESOLUTION, TRAIN, TEST = 16, 8192, 512
READER_STEPS, READER_BATCH = 3000, 64


@functools.cache
def discs() -> tuple[Tensor, Tensor]:
    """Images B × 3 × 16 × 16, uint8, and factors B × 8; the last `TEST` are held out."""
    found = torch.stack([torch.from_numpy(factors(0, n)) for n in range(TRAIN + TEST)])
    return as_batch(render(found.numpy(), RESOLUTION, RESOLUTION)), found.float()


@functools.cache
def factor_reader() -> nn.Module:
    """Trained on true factors alone, the same for all runs; reads in evaluation only."""
    with torch.enable_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        return _trained_reader()


def _trained_reader() -> nn.Module:
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128 * 16, 256), nn.ReLU(),
        nn.Linear(256, len(FACTORS)),
    )  # fmt: skip
    images, truth = discs()
    real = to_signed(images[:TRAIN])
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, READER_STEPS)
    for _ in range(READER_STEPS):
        chosen = torch.randint(TRAIN, (READER_BATCH,))
        loss = nn.functional.mse_loss(network(real[chosen]), truth[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def factor_error(image_BCHW: Tensor, truth_BF: Tensor) -> float:
    """Mean squared error of the factors read, over their variance: 0 exact, 1 no information."""
    read_BF = factor_reader()(image_BCHW)
    return float((read_BF - truth_BF).square().mean() / truth_BF.var(0).mean())
