"""Fits boundaries to labelled points: a linear support vector machine, as in InterFaceGAN §3.2.

Its authors use a support vector machine with hinge loss. Here it is scikit-learn's `LinearSVC`
with squared hinge loss in the primal: its optimum is unique, so the order of the samples does not
matter.

Points are taken in the spread of the prior, so that every element of a code counts as in the space
of its paper, and weights are held small. Without both, the plane that separates the codes of real
images best leans on elements that hardly vary, and an edit along its normal changes nothing: on a
DLSGAN of drawn faces, 3 σ changed the attribute of 3 % of the pictures, instead of 86 %.

Shapes: N labelled samples, P elements of a point.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganinv.boundaries.boundary import Boundary, prior_scale, prior_spread
from ganinv.errors import ConfigError, DataError
from ganinv.model import InvertibleGan

LEAST_TO_TRAIN, LEAST_TO_VALIDATE = 20, 5  # samples of each kind
VALIDATION_SHARE = 0.3  # as in InterFaceGAN's code
LOSS_WEIGHT = 5.0  # of the mean loss, beside half the squared length of the weights
COMMAND = "pip install scikit-learn"


class Plane(NamedTuple):
    """A hyperplane: where `normal_P · p + offset` is positive, the label is true."""

    normal_P: Tensor  # unit length, float64
    offset: float
    figures: dict[str, float]


def fit(
    name: str,
    model: InvertibleGan,
    identity: str,
    space: str,
    points_NP: Tensor,
    label_N: Tensor,
    keys: Sequence[str],
) -> Boundary:
    """The boundary between samples whose label is true and the others.

    `keys` name the samples; they decide which are held out to validate it. Raises `DataError` if
    there are too few samples of a kind, and `ConfigError` without scikit-learn.
    """
    scale_P = prior_scale(model, space)
    varied_NP = model.codec.spaces[space].varied(points_NP)
    plane = separating_plane(name, varied_NP, label_N, keys, scale_P)
    normal_P = plane.normal_P.float()
    return Boundary(
        name=name,
        model=identity,
        space=space,
        normal_P=normal_P,
        offset=plane.offset,
        spread=prior_spread(model, space, normal_P),
        scale_P=scale_P,
        figures=plane.figures,
    )


def separating_plane(
    name: str, points_NP: Tensor, label_N: Tensor, keys: Sequence[str], scale_P: Tensor
) -> Plane:
    """The plane of `fit`. Classes count equally, however many samples they have.

    `scale_P`: the spread of each element of prior points.
    """
    point_NP = points_NP.double().cpu().numpy()
    label = label_N.cpu().numpy().astype(bool)
    held_out = np.array([_is_held_out(key) for key in keys])
    check_balance(name, label[~held_out], label[held_out])
    machine = _machine(int((~held_out).sum()))
    centre_P, spread_P = point_NP.mean(0), scale_P.double().numpy()
    standard_NP = (point_NP - centre_P) / spread_P
    machine.fit(standard_NP[~held_out], label[~held_out])
    weight_P = machine.coef_[0] / spread_P
    length = float(np.linalg.norm(weight_P))
    if length == 0:
        raise DataError(f"boundary {name!r}: all samples have the same point; give other images")
    guessed = machine.decision_function(standard_NP) > 0
    return Plane(
        normal_P=torch.from_numpy(weight_P / length),
        offset=float(machine.intercept_[0] - weight_P @ centre_P) / length,
        figures={
            "accuracy_train": _balanced(guessed[~held_out], label[~held_out]),
            "accuracy_validation": _balanced(guessed[held_out], label[held_out]),
            "samples": float(len(label)),
            "share": float(label.mean()),
        },
    )


def check_balance(name: str, train: NDArray[np.bool_], held_out: NDArray[np.bool_]) -> None:
    for which, label, least in (
        ("to train on", train, LEAST_TO_TRAIN),
        ("to validate it", held_out, LEAST_TO_VALIDATE),
    ):
        counts = int(label.sum()), int((~label).sum())
        if min(counts) < least:
            raise DataError(
                f"boundary {name!r}: {counts[0]} samples with the label and {counts[1]} without it "
                f"{which}, but {least} of each are needed; use more images or another "
                "label"
            )


def _machine(samples: int) -> Any:
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise ConfigError(
            f"boundary: the package {error.name!r} is not installed; type {COMMAND}"
        ) from error
    return LinearSVC(
        C=LOSS_WEIGHT / samples, dual=False, class_weight="balanced", tol=1e-6, max_iter=10_000,
        intercept_scaling=10.0,  # the intercept is penalised, too, but hardly
    )  # fmt: skip


def _balanced(guessed: NDArray[np.bool_], label: NDArray[np.bool_]) -> float:
    """Mean of both classes' accuracies."""
    return float((guessed[label].mean() + (~guessed[~label]).mean()) / 2)


def _is_held_out(key: str) -> bool:
    """By the key alone, so that neither order nor number of samples changes it."""
    value = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "little")
    return value < VALIDATION_SHARE * 2**32
