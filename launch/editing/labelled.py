"""Labelled points: what the encoder says of images whose labels are known, or generated images that
a classifier labels.

Shapes: N samples, P elements of a point, K labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from datasets.inputs.table_files import find_column, read_rows
from datasets.shards.index import Index
from datasets.streaming.samples import read_samples
from ganinv.errors import ConfigError, DataError
from ganinv.latents.spaces import Space
from ganinv.model import InvertibleGan
from ganinv.pictures import to_signed
from ganinv.seams.stores import Store
from launch.editing.labels import Label, check_attributes

KEY_COLUMNS = ("key", "image", "name", "file", "filename")
CLASSIFIER_SEED = 0


@dataclass(frozen=True, kw_only=True)
class LabelledPoints:
    """Points of a space, and for each label which of them it holds for."""

    keys: tuple[str, ...]
    points_NP: Tensor
    labels: Mapping[str, tuple[bool | None, ...]]  # None: the image does not say

    def of(self, label: str) -> tuple[Tensor, Tensor, list[str]]:
        """Points, labels and keys of the samples that say something about the label."""
        known = [i for i, said in enumerate(self.labels[label]) if said is not None]
        said_N = torch.tensor([bool(self.labels[label][i]) for i in known])
        return self.points_NP[known], said_N, [self.keys[i] for i in known]


def from_data(
    model: InvertibleGan, space: Space, data: tuple[Store, Index], labels: Sequence[Label],
    table: Mapping[str, Mapping[str, Any]] | None, count: int, screen: Console,
) -> LabelledPoints:  # fmt: skip
    """Encodes up to `count` images of the training split.

    Labels are those of `table` by key, if it is given, else the attributes in the shards.
    """
    store, index = data
    available = min(count, index.samples("train"))
    starts = range(0, available, model.batch_size)
    keys: list[str] = []
    points: list[Tensor] = []
    attributes: list[Mapping[str, Any]] = []
    for start in track(starts, "images", console=screen, disable=not screen.is_terminal):
        size = min(model.batch_size, available - start)
        images, found, own = read_samples(store, index, "train", start, size)
        keys += found
        attributes += own if table is None else [table.get(key, {}) for key in found]
        points.append(points_of(model, space, to_signed(images)))
    check_attributes(labels, attributes)
    said = {label.text: tuple(label.of(row) for row in attributes) for label in labels}
    return LabelledPoints(keys=tuple(keys), points_NP=torch.cat(points), labels=said)


@torch.no_grad()
def points_of(model: InvertibleGan, space: Space, image_BCHW: Tensor) -> Tensor:
    """The encoder's points, flattened, on the CPU."""
    return space.of_code(model.encode(image_BCHW)).flatten(1).cpu()


def table_of(path: Path) -> dict[str, Mapping[str, Any]]:
    """The rows of a CSV or JSONL file by the key of their image. Raises `DataError` without keys.

    A key may carry the suffix of a file.
    """
    rows = read_rows(path, f"boundary.csv = {path}", KEY_COLUMNS)
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        column = find_column(row.values, KEY_COLUMNS)
        if column is None:
            raise DataError(
                f"boundary.csv = {path}: has no column with the keys of images; name it "
                f"{' or '.join(KEY_COLUMNS)}"
            )
        key = str(row.values[column])
        found[key] = row.values
        found.setdefault(key.rpartition(".")[0] or key, row.values)
    return found


def from_classifier(
    model: InvertibleGan, space: Space, path: Path, names: Sequence[str], count: int, keep: float,
    screen: Console,
) -> LabelledPoints:  # fmt: skip
    """Generated images that a TorchScript classifier scores: floats B × 3 × H × W → B × K or B.

    As in InterFaceGAN, the `keep` share with the highest scores has the label, that with the lowest
    has not, and those between do not count. Raises `ConfigError` for a file that is no classifier
    of these labels.
    """
    classifier = _classifier(path, model)
    scores: list[Tensor] = []
    points: list[Tensor] = []
    starts = range(0, count, model.batch_size)
    for start in track(starts, "samples", console=screen, disable=not screen.is_terminal):
        numbers = range(start, min(start + model.batch_size, count))
        code_BL = model.prior(numbers, CLASSIFIER_SEED).to(model.dtype)
        with torch.no_grad():
            points.append(space.of_code(code_BL).flatten(1).cpu())
            scores.append(_scores(classifier, model.decode(code_BL), len(names), path))
    score_NK = torch.cat(scores)
    labels: dict[str, tuple[bool | None, ...]] = {}
    for number, name in enumerate(names):
        order = score_NK[:, number].argsort(stable=True).tolist()
        kept = max(1, round(keep * count))
        said: list[bool | None] = [None] * count
        for i in order[:kept]:
            said[i] = False
        for i in order[-kept:]:
            said[i] = True
        labels[name] = tuple(said)
    keys = tuple(f"{CLASSIFIER_SEED}-{number}" for number in range(count))
    return LabelledPoints(keys=keys, points_NP=torch.cat(points), labels=labels)


def _classifier(path: Path, model: InvertibleGan) -> Any:
    try:
        return torch.jit.load(str(path), map_location=model.device).eval()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"boundary.classifier = {path}: is no TorchScript file that can be loaded "
            f"({str(error).splitlines()[0]}); save one with torch.jit.save"
        ) from error


def _scores(classifier: Any, image_BCHW: Tensor, names: int, path: Path) -> Tensor:
    """B × K."""
    try:
        found: Tensor = classifier(image_BCHW)
    except RuntimeError as error:
        raise ConfigError(
            f"boundary.classifier = {path}: fails on images of shape {tuple(image_BCHW.shape)} "
            f"({str(error).splitlines()[-1]}); it must take them"
        ) from error
    score_BK = found.reshape(len(image_BCHW), -1).float().cpu()
    if score_BK.shape[1] != names:
        raise ConfigError(
            f"boundary.classifier = {path}: gives {score_BK.shape[1]} scores an image, but "
            f"boundary.labels names {names}; name one label for each score"
        )
    return score_BK
