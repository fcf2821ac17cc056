"""An S3 prefix for modules whose tests share runs."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest


@pytest.fixture(scope="module")
def s3(object_store: Any) -> Iterator[str]:
    """A prefix of this module's own, with the environment set for all of its tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.environment().items():
            patch.setenv(name, value)
        yield f"s3://tests/{uuid4().hex}"
