"""A method of three networks, a frozen one and a chain of two cuts trains and resumes like ours."""

import pytest

from tests.support.method_training import MethodTraining

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


class TestChained(MethodTraining):
    name, stage, encodes = "chained", 1, True
