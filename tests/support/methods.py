"""Methods that live in `tests/methods`: two that ask of the seams what DLSGAN and PVDGAN do not.

Each is one file for the method and one for its networks, as in `ganinv/objectives/` and
`ganinv/networks/`. In a test's own process `registered` puts them there; a test that starts
processes copies the checkout and adds the files (`checkout_with_methods`).
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from ganinv import networks, objectives
from ganinv.networks.base import Networks
from ganinv.objectives.base import Objective
from tests.support.commands import ROOT

FOLDER = ROOT / "tests" / "methods"
NETWORKS = {"plain_gan": "plain_networks", "chained": "chained_networks"}
LATENT_SIZE = 6


@contextmanager
def registered() -> Iterator[None]:
    """`objectives.find` and `networks.find` know the methods of `tests/methods`."""
    packages = (objectives.__path__, networks.__path__)
    for path in packages:
        path.append(str(FOLDER))
    try:
        yield
    finally:
        for path in packages:
            path.remove(str(FOLDER))


def make_method(name: str) -> Objective:
    module = objectives.find(name)
    objective: Objective = module.Objective(module.Config(), LATENT_SIZE)
    return objective


def make_networks(name: str, dtype: torch.dtype = torch.float32) -> dict[str, nn.Module]:
    """The method's networks for images of 16 × 16 pixels."""
    module = networks.find(NETWORKS[name])
    config = module.Config(latent_size=LATENT_SIZE)
    built: Networks = module.build(config, resolution=16, image_channels=3, seed=0)
    return {key: network.to(dtype) for key, network in built.items()}


def checkout_with_methods(folder: Path) -> Path:
    """A copy of the checkout in which each method is one file more, besides its networks."""
    listed = subprocess.run(
        ["git", "ls-files", "ganinv", "datasets", "cluster", "launch"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.split():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    for method, family in NETWORKS.items():
        shutil.copy(FOLDER / f"{method}.py", folder / "ganinv" / "objectives")
        shutil.copy(FOLDER / f"{family}.py", folder / "ganinv" / "networks")
    return folder
