"""What tests of the verb `invert` share."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganinv.errors import ConfigError
from launch.commands.models import invert

NAMES = ["a.png", "deep/b.jpg", "deep/er/c.webp", "d.png", "e.png"]


def go(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert invert.main([*options, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def assert_refused(run: str, images: Path, to: Path, options: list[str], message: str) -> None:
    """And nothing is written to `to`."""
    given = [f"storage.run={run}", f"invert.images={images}", f"invert.to={to}"]
    with pytest.raises(ConfigError, match=message):
        invert.main([*given, *options])
    assert not to.exists()


def rows(target: Path) -> list[dict[str, str]]:
    with (target / "psnr.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
