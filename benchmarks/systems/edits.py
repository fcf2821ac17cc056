"""How edits by boundaries work on one system: the wanted attribute, the others, the person.

Protocol. Boundaries are fitted on codes of training images. Each held-out image is encoded and
moved to a distance of +t or −t σ, away from what the judge sees in its reconstruction. t is the
first of `DISTANCES` at which 80 % of 256 *training* images change, or the last. Then, on held-out
images:

    changed   share of pictures whose judged attribute is the wanted one
    kept      share of the other attributes whose judgement stays as on the reconstruction
    random    `changed` by random directions, for moves of the same lengths
    person    distance of the judge's features from the reconstruction, over the mean distance
              between reconstructions of different images
    code      ‖E(G(p)) − p‖ / ‖p‖ in the space of the boundary; and the same before the edit
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.systems.classifier import Judge, truth
from benchmarks.systems.photographs import Photographs
from ganinv.boundaries.boundary import Boundary, space_of
from ganinv.boundaries.fitting import fit
from ganinv.editing.edits import Editor, Points
from ganinv.inversion.optimise import Optimisation, RefineConfig
from ganinv.model import InvertibleGan
from ganinv.pictures import to_signed

FITTED, TUNED, HELD_OUT, REFINED = 6_000, 256, 512, 64
DISTANCES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # σ
WANTED = 0.8


def measure(model: InvertibleGan, data: Photographs, judge: Judge, seed: int) -> dict[str, Any]:
    """Figures of every label, and their means; after refinement, too."""
    space, _ = space_of(model, None)
    editor = Editor(model, _boundaries(model, space, data, judge))
    tuning = _points(editor, space, to_signed(data.train_BCHW[-TUNED:]))
    held_out = to_signed(data.test_BCHW[:HELD_OUT])
    encoded = _points(editor, space, held_out)
    refine = Optimisation(model, replace(RefineConfig(), space=space, seed=seed))
    refined = Points(space, refine(held_out[:REFINED]).point)
    rows: list[dict[str, Any]] = []
    for number, boundary in enumerate(editor.boundaries.values()):
        distance = _distance(editor, judge, number, boundary, tuning)
        rows.append(
            {
                "label": boundary.name,
                "boundary_accuracy": boundary.figures["accuracy_validation"],
                "judge_accuracy": float(judge.accuracy_K[number]),
                "distance": distance,
                "encoded": _figures(editor, judge, number, boundary, encoded, distance, seed),
                "refined": _figures(editor, judge, number, boundary, refined, distance, seed),
            }
        )
    return {
        "space": space,
        "labels": rows,
        "mean": {stage: _mean([row[stage] for row in rows]) for stage in ("encoded", "refined")},
    }


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def _boundaries(
    model: InvertibleGan, space: str, data: Photographs, judge: Judge
) -> Sequence[Boundary]:
    editor = Editor(model, [])
    points = _points(editor, space, to_signed(data.train_BCHW[:FITTED]))
    label_BK = truth(judge.labels, data.train_attributes[:FITTED])
    keys = [f"{number:08d}" for number in range(len(label_BK))]
    return [
        fit(label.text, model, editor.identity, space, points.values, label_BK[:, k], keys)
        for k, label in enumerate(judge.labels)
    ]


@torch.no_grad()
def _points(editor: Editor, space: str, image_BCHW: Tensor) -> Points:
    code = editor.encode(image_BCHW).values
    return Points(space, editor.model.codec.spaces[space].of_code(code))


def _moved(boundary: Boundary, points: Points, wanted_B: Tensor, distance: float) -> Points:
    """Each point at `distance` on the side where the label is what is wanted.

    A point that lies further on that side already stays.
    """
    side_B = wanted_B.float() * 2 - 1
    now_B = boundary.distance(points.values) * side_B
    strength_B = (distance - now_B).clamp(min=0) * side_B
    return Points(points.space, boundary.moved(points.values, strength_B))


def _distance(
    editor: Editor, judge: Judge, number: int, boundary: Boundary, points: Points
) -> float:
    wanted_B = ~judge.says(editor.decode(points))[:, number]
    for distance in DISTANCES:
        edited = editor.decode(_moved(boundary, points, wanted_B, distance))
        if (judge.says(edited)[:, number] == wanted_B).float().mean() >= WANTED:
            return distance
    return DISTANCES[-1]


def _figures(
    editor: Editor, judge: Judge, number: int, boundary: Boundary, points: Points,
    distance: float, seed: int,
) -> dict[str, float]:  # fmt: skip
    before_BCHW = editor.decode(points)
    said_BK = judge.says(before_BCHW)
    wanted_B = ~said_BK[:, number]
    moved = _moved(boundary, points, wanted_B, distance)
    after_BCHW = editor.decode(moved)
    says_BK = judge.says(after_BCHW)
    others = [k for k in range(said_BK.shape[1]) if k != number]
    lengths_B = (moved.values - points.values).flatten(1).norm(dim=1)
    random_BK = judge.says(editor.decode(_randomly_moved(points, lengths_B, seed)))
    features = judge.features(before_BCHW)
    apart = torch.cdist(features, features).sum() / (len(features) * (len(features) - 1))
    person_B = (judge.features(after_BCHW) - features).norm(dim=1) / apart
    return {
        "changed": float((says_BK[:, number] == wanted_B).float().mean()),
        "kept": float((says_BK[:, others] == said_BK[:, others]).float().mean()),
        "random_changed": float((random_BK[:, number] == wanted_B).float().mean()),
        "random_kept": float((random_BK[:, others] == said_BK[:, others]).float().mean()),
        "person": float(person_B.mean()),
        "code": _code_error(editor, moved),
        "code_before": _code_error(editor, points),
    }


def _randomly_moved(points: Points, length_B: Tensor, seed: int) -> Points:
    generator = torch.Generator().manual_seed(seed)
    direction_BP = torch.randn(points.values.shape, generator=generator).flatten(1)
    step_BP = direction_BP / direction_BP.norm(dim=1, keepdim=True) * length_B[:, None]
    return Points(points.space, points.values + step_BP.view_as(points.values))


def _code_error(editor: Editor, points: Points) -> float:
    again = _points(editor, points.space, editor.decode(points))
    error_B = (again.values - points.values).flatten(1).norm(dim=1)
    return float((error_B / points.values.flatten(1).norm(dim=1)).mean())
