"""One run on 1, 2, 4, 2 and 1 workers: any number resumes what any other number has saved.

At every change the run trains one step and is compared with a copy that kept its workers.
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


def test_any_number_of_workers_resumes_the_run_of_any_other(real_run: MakeRun) -> None:
    run = real_run("first-on-1")
    run.train("cluster.workers=1", f"train.images={BEFORE * BATCH}")
    for steps, (old, new) in enumerate(pairwise(SIZES), BEFORE + 1):
        saved = whole_state(run.store)
        same = real_run(f"{steps}-still-on-{old}")
        changed = real_run(f"{steps}-from-{old}-to-{new}")
        one_step(run, same, old, steps)
        one_step(run, changed, new, steps)
        for resumed in (same, changed):
            equal(whole_state(open_store(loaded(resumed))), saved)
        samples, noise = read_trace(changed.folder), read_noise(changed.folder)
        assert samples == read_trace(same.folder)
        assert noise == read_noise(same.folder)
        assert [len(slots) for slots in samples.values()] == [BATCH]
        assert {number // BATCH for _, number in noise} == {steps - 1}
        assert all(len(digests) == 1 for digests in noise.values())
        difference = largest_relative_difference(
            whole_state(changed.store), whole_state(same.store)
        )
        assert difference <= 1e-6, (old, new, difference)
        run = changed


def one_step(run: RealRun, copy: RealRun, workers: int, steps: int) -> None:
    """Copy `run` to `copy`; train `copy` until it has done `steps` steps."""
    for entry in run.store.list():
        copy.store.write(entry.name, run.store.read(entry.name))
    options = (f"cluster.workers={workers}", f"train.images={steps * BATCH}")
    copy.train(*options, GANINV_LOADED=loaded(copy))


def loaded(run: RealRun) -> str:
    """Where a resumed run saves the state that it has loaded."""
    return f"{run.url}-loaded"
