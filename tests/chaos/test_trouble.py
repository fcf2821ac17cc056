"""Storage that stays unreachable ends a run in time; everything committed remains intact."""

import pytest

from cluster.seaweed.store import ObjectStore
from ganinv.saved.checkpoints import choose
from ganinv.saved.manifest import committed_names
from tests.support.commands import wait_until
from tests.support.fault_proxy import fault_proxy
from tests.support.real_runs import END_S, MakeRun

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
LIMIT_S = 6
OPTIONS = (
    "train.images=1000000", f"checkpoint.trouble_limit_s={LIMIT_S}", "storage.deadline_s=2"
)  # fmt: skip


def test_a_run_whose_storage_stays_unreachable_ends_with_3_and_one_sentence(
    real_run: MakeRun, object_store: ObjectStore
) -> None:
    run = real_run("trouble", options=OPTIONS)
    with (
        fault_proxy(object_store.endpoint_url) as proxy,
        run.training(AWS_ENDPOINT_URL=proxy.url) as running,
    ):
        wait_until(lambda: len(committed_names(run.store)) >= 3, END_S, "checkpoints")
        proxy.away.set()
        assert running.process.wait(END_S) == 3, run.log
    names = committed_names(run.store)
    assert len(names) >= 3  # retention keeps some and could not delete the others
    chosen = choose(run.store)  # verifies the hash of every tensor file
    assert chosen is not None
    assert chosen[0].name == names[-1]
    assert "training continues" in " ".join(run.log.split())  # lines are wrapped
    assert "Traceback" not in run.log
    sentence = run.log.splitlines()[-1]
    assert sentence.startswith(f"error: no checkpoint could be committed to {run.url} since ")
    assert f"longer than checkpoint.trouble_limit_s = {LIMIT_S}: " in sentence
    assert f"the newest whole one is {names[-1]}; " in sentence
