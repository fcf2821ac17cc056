"""A plain GAN, without encoder, latent statistics and moments, trains like ours."""

import pytest

from tests.support.method_training import MethodTraining

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


class TestPlainGan(MethodTraining):
    name, stage, encodes = "plain_gan", 0, False
