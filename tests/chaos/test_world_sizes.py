"""One run on 1, 2, 4, 2 and 1 workers: each loads what the others saved, and goes on as they would.

At every change the run is compared with a copy of itself that did not change, over one step.
"""

from itertools import pairwise

import pytest

from cluster.storage.opening import open_store
from tests.support.real_runs import BATCH, MakeRun, RealRun
from tests.support.states import equal, largest_relative_difference, whole_state
from tests.support.traced_train import read_noise, read_trace

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
BEFORE = 20  # steps
SIZES = (1, 2, 4, 2, 1)


def test_any_number_of_workers_goes_on_from_any_other(real_run: MakeRun) -> None:
    run = real_run("begins-on-1")
    run.train("cluster.workers=1", f"train.images={BEFORE * BATCH}")
    for steps, (old, new) in enumerate(pairwise(SIZES), BEFORE + 1):
        saved = whole_state(run.store)
        stays, goes = real_run(f"{steps}-stays-{old}"), real_run(f"{steps}-goes-{old}-{new}")
        one_step(run, stays, old, steps)
        one_step(run, goes, new, steps)
        for taken in (stays, goes):
            equal(whole_state(open_store(loaded(taken))), saved)
        samples, noise = read_trace(goes.folder), read_noise(goes.folder)
        assert samples == read_trace(stays.folder)
        assert noise == read_noise(stays.folder)
        assert [len(slots) for slots in samples.values()] == [BATCH]
        assert {number // BATCH for _, number in noise} == {steps - 1}
        assert all(len(digests) == 1 for digests in noise.values())
        difference = largest_relative_difference(whole_state(goes.store), whole_state(stays.store))
        assert difference <= 1e-6, (old, new, difference)
        run = goes


def one_step(run: RealRun, copy: RealRun, workers: int, steps: int) -> None:
    """`copy` becomes what `run` is, and goes on to so many steps."""
    for entry in run.store.list():
        copy.store.write(entry.name, run.store.read(entry.name))
    options = (f"cluster.workers={workers}", f"train.images={steps * BATCH}")
    copy.train(*options, GANINV_LOADED=loaded(copy))


def loaded(run: RealRun) -> str:
    """Where a run saves again what it has loaded."""
    return f"{run.url}-loaded"
