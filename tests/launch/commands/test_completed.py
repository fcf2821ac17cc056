"""A run that is done is done, though storage be away at that moment."""

import threading

import pytest

from cluster.seaweed.store import ObjectStore
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from launch.commands.train import completed
from tests.support.fault_proxy import fault_proxy
from tests.support.runs import train_locally
from tests.support.saves import save


@pytest.mark.integration
def test_an_outage_at_the_end_of_a_run_is_waited_for_and_no_failure(
    object_store: ObjectStore, s3_store_url: str
) -> None:
    name = save(train_locally("dlsgan", 16), open_store(s3_store_url))
    with fault_proxy(object_store.endpoint_url) as proxy:

        def seen(deadline_s: float) -> str:
            retries = RetryPolicy(deadline_s=deadline_s, option="storage.deadline_s")
            return completed(open_store(s3_store_url, endpoint_url=proxy.url, retries=retries))

        proxy.away.set()
        away = seen(0.5)
        assert "the last checkpoint is saved" in away
        assert "storage.deadline_s sets how long to try" in away
        threading.Timer(1.0, proxy.away.clear).start()
        assert seen(30) == f"trained 16 images; checkpoint {name} in {s3_store_url}"
