"""A run for the verbs of trained models."""

import pytest

from tests.support.made_runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run that has just begun, with a checkpoint."""
    return make_run(tmp_path_factory.mktemp("run"), 160).save()
