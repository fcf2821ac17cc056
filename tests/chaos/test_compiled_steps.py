"""Steps compiled for this machine's processor, which takes a minute."""

import shutil

import pytest

from tests.support.accelerated import assert_compiled_step_equals_plain


@pytest.mark.chaos
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler: g++")
def test_steps_compiled_for_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    assert_compiled_step_equals_plain("conv", "pvdgan", "inductor", resolution=8)
