"""A run and photographs for the verbs of trained models."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.inverted import NAMES
from tests.support.made_runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run that has just begun, with a checkpoint."""
    return make_run(tmp_path_factory.mktemp("run"), 160).save()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Photographs of several sizes and kinds, among them what is no photograph."""
    numbers = np.random.default_rng(0)
    folder = tmp_path / "images"
    for i, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = numbers.integers(0, 256, (16 + 4 * i, 16 + i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder
