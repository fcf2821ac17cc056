"""Linear separability: how well hyperplanes among the codes divide images by their attributes.

Paper: T. Karras et al., "A Style-Based Generator Architecture …" (StyleGAN), CVPR 2019, section
4.2:

    2^(Σ_i H(Y_i | X_i)),  H in bits

For each attribute i, a classifier labels the generated images (Y); the less confident half is left
out. X is the answer of a linear support vector machine that was fitted to the remaining codes and
labels. 1 is the best: codes say everything about the labels. Each attribute adds at most 1 bit, so
compare figures of the same attributes and the same number of images only.

The authors' classifiers were networks trained on CelebA-HQ, with 200,000 generated images. Here, a
classifier is a logistic regression on the features of the held-out images with their attributes;
the figure is named after the features. The support vector machine sees what enters the generator,
such as z ∘ s. Both are fitted with the losses and weights of scikit-learn's defaults
(`LogisticRegression`, `LinearSVC`: C = 1).

Shapes: N real and M generated images, F features, A attributes, L latent elements.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ganinv.metrics.base import Figure, FurtherMetric
from ganinv.metrics.ranks import ALONE, Ranks

# Hyperplanes divide n codes of L elements in any way where n < 2 L, so that few codes tell nothing.
LEAST_CODES = 8  # generated images for each latent element; half of them are left out
LEAST_OF_A_CLASS = 8  # real images on either side of an attribute
STEPS = 500  # of L-BFGS, at most


def binary_labels(attributes: Sequence[Mapping[str, Any]]) -> tuple[list[str], Tensor]:
    """Names and labels, N × A in {0, 1}, of the attributes that divide these images in two.

    True and false, and numbers with two values, are labels already. Other numbers are divided at
    their median, and words into the most frequent one and all others. Attributes with fewer than
    eight images on either side, and those that some images lack, are left out; an image without any
    attribute has the labels NaN.
    """
    has_N = torch.tensor([bool(found) for found in attributes])
    labelled = [found for found in attributes if found]
    names, columns = [], []
    for name in sorted({name for found in labelled for name in found}):
        label_N = _divided([found.get(name) for found in labelled])
        if label_N and LEAST_OF_A_CLASS <= sum(label_N) <= len(label_N) - LEAST_OF_A_CLASS:
            names.append(name)
            columns.append(torch.tensor(label_N, dtype=torch.float64))
    label_NA = torch.full((len(attributes), len(names)), torch.nan, dtype=torch.float64)
    if columns:
        label_NA[has_N] = torch.stack(columns, 1)
    return names, label_NA


def _divided(values: list[Any]) -> list[bool] | None:
    if all(isinstance(value, int | float) for value in values):
        ordered = sorted(values)
        border = ordered[(len(ordered) - 1) // 2] if len(set(ordered)) > 2 else ordered[0]
        return [value > border for value in values]
    if all(isinstance(value, str) for value in values):
        most = max(sorted(set(values)), key=Counter(values).__getitem__)
        return [value == most for value in values]
    return None


def separability(
    real_NF: Tensor, fake_MF: Tensor, label_NA: Tensor, code_ML: Tensor, ranks: Ranks = ALONE
) -> float:
    """The figure. All ranks call this together; attributes are dealt out over them.

    Labels are 0 or 1; real images whose labels are NaN are left out.
    """
    has_N = label_NA.isfinite().all(1)
    real_NF, label_NA = real_NF[has_N.to(real_NF.device)], label_NA[has_N]
    entropy_A = torch.zeros(label_NA.shape[1], dtype=torch.float64)
    mean_F, spread_F = real_NF.double().mean(0), real_NF.double().std(0)
    real_NF, fake_MF = (
        (x.double() - mean_F) / spread_F.clamp(min=1e-12) for x in (real_NF, fake_MF)
    )
    for attribute in ranks.pieces(len(entropy_A)):
        weight_F, offset = logistic_regression(real_NF, label_NA[:, attribute].to(real_NF.device))
        score_M = fake_MF @ weight_F + offset
        sure_M = score_M.abs().argsort(descending=True, stable=True)[: (len(score_M) + 1) // 2]
        label_M = (score_M[sure_M] > 0).double()
        entropy_A[attribute] = unexplained_bits(code_ML[sure_M].double(), label_M)
    return 2 ** float(ranks.total(entropy_A).sum())


def unexplained_bits(code_ML: Tensor, label_M: Tensor) -> float:
    """H(Y | X) in bits: what labels Y keep to themselves once a hyperplane's answer X is known."""
    if not 0 < float(label_M.sum()) < len(label_M):
        return 0.0  # one class: nothing is left to know
    weight_L, offset = support_vectors(code_ML, label_M)
    return conditional_entropy((code_ML @ weight_L + offset > 0), label_M > 0)


def conditional_entropy(given_M: Tensor, label_M: Tensor) -> float:
    """H(label | given) in bits, of two series of truth values."""
    total = 0.0
    for answer in (False, True):
        chosen = label_M[given_M == answer]
        for count in (int(chosen.sum()), int((~chosen).sum())):
            if count:
                total -= count / len(label_M) * math.log2(count / len(chosen))
    return total


def logistic_regression(x_NF: Tensor, label_N: Tensor) -> tuple[Tensor, Tensor]:
    """w and b that minimise ½‖w‖² + Σ ln(1 + exp(−y (w · x + b))), y = ±1."""
    sign_N = 2 * label_N - 1

    def loss(w_F: Tensor, b: Tensor) -> Tensor:
        return w_F.square().sum() / 2 + functional.softplus(-sign_N * (x_NF @ w_F + b)).sum()

    return _minimised(loss, x_NF)


def support_vectors(x_NF: Tensor, label_N: Tensor) -> tuple[Tensor, Tensor]:
    """w and b that minimise ½‖w‖² + ½b² + Σ max(0, 1 − y (w · x + b))², y = ±1."""
    sign_N = 2 * label_N - 1

    def loss(w_F: Tensor, b: Tensor) -> Tensor:
        hinge_N = (1 - sign_N * (x_NF @ w_F + b)).clamp(min=0)
        return (w_F.square().sum() + b.square()) / 2 + hinge_N.square().sum()

    return _minimised(loss, x_NF)


def _minimised(loss: Callable[[Tensor, Tensor], Tensor], x_NF: Tensor) -> tuple[Tensor, Tensor]:
    """The minimum of a convex loss of weights and offset, by L-BFGS in float64 from 0."""
    weight_F = torch.zeros_like(x_NF[0], dtype=torch.float64, requires_grad=True)
    offset = torch.zeros_like(weight_F[0], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight_F, offset],
        max_iter=STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(weight_F, offset)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)
    return weight_F.detach(), offset.detach()


METRIC = FurtherMetric(
    figures=(
        Figure(
            name="separability",
            higher_is_better=False,
            meaning="Linear separability of attributes",
        ),
    ),
    suffix="features",
)
