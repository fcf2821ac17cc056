"""Edits that move images to given distances from boundaries, instead of by given strengths.

Shapes: B samples, K boundaries with a target, P elements of a point.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ganinv.editing.edits import Editor, Points, Strength
from ganinv.errors import ConfigError

LEAST = 1e-3  # singular value of the changes of distances by strengths


@torch.no_grad()
def strengths_to(
    editor: Editor, points: Points, targets: Mapping[str, float], others: Mapping[str, Strength]
) -> dict[str, Strength]:
    """Strengths in σ after which points lie at the target distances in σ, all at once.

    `others`: further strengths of the same edit; they are part of the result. The distances are
    reached exactly if none of `others` lies in a later space than the targets. Raises
    `ConfigError` for unknown boundaries, targets in several spaces, and normals that are so nearly
    combinations of each other that not all targets can be reached.
    """
    found: dict[str, Strength] = dict(others)
    if not targets:
        return found
    moved = editor.edited(points, {**dict.fromkeys(targets, 0.0), **others})
    boundaries = [editor.boundaries[name] for name in targets]
    spaces = {boundary.space for boundary in boundaries}
    if len(spaces) > 1:
        raise ConfigError(
            f"distances from {', '.join(targets)}: these boundaries lie in the spaces "
            f"{', '.join(sorted(spaces))}; give targets in one space, and strengths for the others"
        )
    values = editor.in_space(moved, spaces.pop()).values
    # Strength α along boundary j changes the distance from boundary k by α n_k·step_j / σ_k.
    step_PK = torch.stack([boundary.step.double() for boundary in boundaries], 1)
    normal_KP = torch.stack([b.normal_P.double() / b.spread for b in boundaries])
    change_KK = normal_KP @ step_PK
    if float(torch.linalg.svdvals(change_KK).min()) < LEAST:
        raise ConfigError(
            f"distances from {', '.join(targets)}: the normal of one is a combination of the "
            "others', so that not all distances can be chosen; give fewer targets"
        )
    missing_KB = torch.stack(
        [
            target - boundary.distance(values).double().cpu()
            for boundary, target in zip(boundaries, targets.values(), strict=True)
        ]
    )
    for name, strength_B in zip(targets, torch.linalg.solve(change_KK, missing_KB), strict=True):
        found[name] = _sum(found.get(name, 0.0), strength_B)
    return found


def _sum(strength: Strength, more_B: Tensor) -> Tensor:
    given = strength.double().cpu() if isinstance(strength, Tensor) else strength
    return more_B + given
