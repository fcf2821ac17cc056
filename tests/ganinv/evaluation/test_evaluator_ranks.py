"""An evaluation gives the same figures on 1, 2 and 3 workers, joined by gloo."""

import pytest
import torch.distributed as dist
from torch import Tensor

from ganinv.evaluation import evaluator as evaluation
from ganinv.evaluation.evaluator import Share
from ganinv.metrics.features import own_features, pixel_features
from tests.support.evaluations import CountedFeatures, KeptFeatures, evaluator, model
from tests.support.gloo import run_ranks

WORLDS = (1, 2, 3)
# Held-out and generated images, in batches of four: none of them divides over the workers, and in
# the last case there are fewer batches than workers.
COUNTS = ((23, 18), (8, 13), (5, 4))
DAMAGED = (1,)
Figures = dict[str, float]


def figures_in_groups() -> dict[tuple[int, tuple[int, int]], list[Figures]]:
    """What this rank gets in groups of the first 1, 2 and 3 ranks, of which it may be no part.

    Three times each: the second time the features of held-out images are known, and the third
    time one of these images is corrupt.
    """
    evaluation.BATCH = 4
    found = {}
    for world in WORLDS:
        group = dist.new_group(list(range(world)))
        if dist.get_rank() >= world:
            continue

        def reduce(total: Tensor, group: dist.ProcessGroup = group) -> Tensor:
            summed = total.clone()
            dist.all_reduce(summed, group=group)
            return summed

        for counts in COUNTS:
            gan, references = model(), KeptFeatures()
            own = own_features(gan, "here")
            assert own is not None
            networks = [CountedFeatures().features(), own, pixel_features()]
            share = Share(rank=dist.get_rank(), world=world)
            found[world, counts] = [
                evaluator(*counts, references, missing, share=share, reduce=reduce).figures(
                    gan, networks
                )
                for missing in ((), (), DAMAGED)
            ]
    return found


@pytest.mark.integration
def test_figures_do_not_depend_on_the_number_of_workers() -> None:
    ranks = run_ranks(figures_in_groups, max(WORLDS))
    for counts in COUNTS:
        expected = ranks[0][1, counts][0]
        assert {"eval/psnr_db_test", "eval/enc", "eval/fd_counted", "eval/recall_own"} < set(
            expected
        )
        for world in WORLDS:
            for rank in range(world):
                first, second, damaged = ranks[rank][world, counts]
                assert first == pytest.approx(expected, rel=1e-6, abs=1e-9)
                assert second == first
                assert first == ranks[0][world, counts][0]
                assert damaged == pytest.approx(ranks[0][1, counts][2], rel=1e-6, abs=1e-9)
                assert damaged["eval/psnr_db_test"] != first["eval/psnr_db_test"]
