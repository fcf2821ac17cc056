"""Writes the results of `compare_methods` to docs/results/: JSON, curves, pictures and a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.results import RESULTS, write_json
from cluster.run_folder.evaluation_log import read_records
from cluster.storage.opening import open_store
from datasets.shards.index import Index
from datasets.streaming.samples import read_samples
from ganinv.pictures import to_bytes, to_signed
from ganinv.training.statistics import statistic_named
from launch.evaluation.trained import load_trained
from launch.pages.compare import curves_figure

NAME = "compare-methods"
CURVES = (
    "eval/enc",
    "latent/entropy_nats",
    "eval/psnr_db_generated",
    "eval/psnr_db_test",
    "eval/ssim_test",
    "eval/feature_distance_lite0_test",
    "eval/fd_lite0",
)
PICTURED = 14  # test faces in a row
ENLARGED = 2  # pixels of the picture per pixel of a face

Rows = list[dict[str, float]]


def write_page(runs: Mapping[str, str], commands: Mapping[str, str], *, samples: int) -> None:
    """`runs`: method → folder of its run; `commands`: method → its command line."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    records = {method: evaluations(folder) for method, folder in runs.items()}
    rows: dict[str, Rows] = {
        method: [{"images_seen": r["images_seen"], **r["figures"]} for r in found]
        for method, found in records.items()
    }
    for key in CURVES:
        (RESULTS / f"{NAME}-{_file(key)}.svg").write_text(curves_figure(rows, key))
    _pictures(runs).save(RESULTS / f"{NAME}.png", optimize=True)
    write_json(NAME, {"commands": dict(commands), "evaluations": records})
    print(_table(rows))
    print(f"figures at {samples} images; written to {RESULTS}; put the table into {NAME}.md")


def evaluations(folder: str) -> list[dict[str, Any]]:
    """Evaluations of checkpoints, oldest first, without the time at which they were made."""
    found = [r for r in read_records(open_store(folder)) if r["checkpoint"] is not None]
    return [{k: v for k, v in r.items() if k != "recorded"} for r in found]


def _table(rows: Mapping[str, Rows]) -> str:
    """Last values as Markdown, one method a line."""
    arrow = {True: " ↑", False: " ↓", None: ""}
    heads = [f"{_file(k)}{arrow[statistic_named(k).higher_is_better]}" for k in CURVES]
    lines = ["| method | " + " | ".join(heads) + " |", "|---" * (len(CURVES) + 1) + "|"]
    for method, found in rows.items():
        values = (f"{found[-1][key]:.3f}" for key in CURVES)
        lines.append(f"| {method} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _pictures(runs: Mapping[str, str]) -> Image.Image:
    """Test faces, and below them each method's reconstructions."""
    bands: list[np.ndarray[Any, Any]] = []
    for folder in runs.values():
        trained = load_trained(open_store(folder))
        data = open_store(trained.config.data.url)
        real, _, _ = read_samples(data, Index.load(data), "test", 0, PICTURED)
        if not bands:
            bands.append(_band(real))
        bands.append(_band(to_bytes(trained.model.reconstruct(to_signed(real)))))
    picture = Image.fromarray(np.concatenate(bands))
    size = (picture.width * ENLARGED, picture.height * ENLARGED)
    return picture.resize(size, Image.Resampling.NEAREST)


def _band(image_BCHW: torch.Tensor) -> np.ndarray[Any, Any]:
    return torch.cat(list(image_BCHW), 2).permute(1, 2, 0).numpy()


def _file(key: str) -> str:
    return key.rpartition("/")[2]
