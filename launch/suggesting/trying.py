"""Options to compare in short trainings, for `ganinv sweep`: γ first."""

from collections.abc import Mapping

from launch.suggesting.plan import Plan
from launch.suggesting.published import TO_TRY

PENALTIES = ("objective.lambda_r1", "objective.lambda_r2")
SHARE = 10  # the part of the images that a training sees here


def words_to_try(plan: Plan) -> list[str]:
    """Words for `ganinv sweep`, after the recipe; empty if the plan gives γ no value.

    All penalties of one weight take the same value. In place of a schedule stands its start, where
    short trainings are. Of a recipe with stages, the first one with γ is trained.
    """
    for stage in plan.stages:
        values = {row.key: row.value for row in plan.options(stage)}
        if PENALTIES[0] not in values:
            continue
        weight = values[PENALTIES[0]]
        keys = [key for key in PENALTIES if values.get(key) == weight]
        start = float(weight["start"] if isinstance(weight, Mapping) else weight)
        tried = ",".join(f"{factor * start:.4g}" for factor in TO_TRY)
        words = [f"{','.join(keys)}={tried}", f"train.images={values['train.images'] // SHARE}"]
        # The stage before the last one has no encoder, so no reconstructions can judge it.
        is_last = stage == list(plan.stages)[-1]
        return words if is_last else [*words, f"stage={stage}", "sweep.judge=fd_pixels"]
    return []
