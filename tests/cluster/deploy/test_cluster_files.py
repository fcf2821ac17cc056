"""The cluster files against the schemas of those who read them: Ray, EC2, Kubernetes, Docker.

What is not checked here, for nothing offline can: that names of images, instance types and accounts
exist, and KubeRay's own keys beyond the list below (its CRD is in no package registry).
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

ROOT = Path(__file__).parents[3]
LAUNCHER = [ROOT / "ray_cluster.yaml", ROOT / "cluster/deploy/local.yaml"]
MANIFESTS = [ROOT / "cluster/deploy/kuberay-cluster.yaml", ROOT / "cluster/deploy/kuberay-job.yaml"]
KUBERNETES = "1.33"
# Keys of KubeRay's v1 types, from its API reference, that these manifests may use.
CLUSTER_KEYS = {
    "rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec",
    "workerGroupSpecs",
}  # fmt: skip
JOB_KEYS = {
    "entrypoint", "runtimeEnvYAML", "submissionMode", "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec",
}  # fmt: skip
HEAD_KEYS = {"serviceType", "rayStartParams", "template"}
WORKER_KEYS = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
}  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def commands(config: dict[str, Any]) -> str:
    """What starts the nodes, and the scripts of ours that it calls."""
    text = "\n".join(config["head_start_ray_commands"] + config["worker_start_ray_commands"])
    called = re.findall(r"bash ~/ganinv/(\S+\.sh)", text)
    return "\n".join([text, *((ROOT / script).read_text() for script in called)])


@pytest.mark.parametrize("path", LAUNCHER, ids=lambda path: path.stem)
def test_ray_accepts_the_launcher_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = load(path)
    validate_config(prepare_config(config))
    for local in config["file_mounts"].values():
        assert local.startswith("~") or Path(local).exists(), local
    with pytest.raises(Exception, match="setup_comands"):
        validate_config(prepare_config({**config, "setup_comands": []}))


def test_ec2_accepts_every_node() -> None:
    model = botocore.session.get_session().get_service_model("ec2")
    shape = model.operation_model("RunInstances").input_shape

    def problems(node: dict[str, Any]) -> str:
        # Ray puts one of SubnetIds in SubnetId's place, and adds the counts.
        call = {key: value for key, value in node.items() if key != "SubnetIds"}
        report: str = ParamValidator().validate(call | {"MinCount": 1, "MaxCount": 1}, shape)
        return report.generate_report()  # type: ignore[attr-defined]  # botocore has no types

    types = load(LAUNCHER[0])["available_node_types"]
    for name, kind in types.items():
        assert not problems(kind["node_config"]), name
    assert "IamProfile" in problems({**types["head"]["node_config"], "IamProfile": {}})


def test_the_head_trains_nothing_and_workers_come_as_two_kinds() -> None:
    config = load(LAUNCHER[0])
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert "--num-cpus=0" in load(LAUNCHER[1])["head_start_ray_commands"][1]
    spot, on_demand = types["worker_spot"], types["worker_on_demand"]
    market = spot["node_config"].pop("InstanceMarketOptions")
    assert market["MarketType"] == "spot"
    assert spot["node_config"] == on_demand["node_config"]
    for kind in (spot, on_demand):
        assert kind["resources"]["GPU"] > 0
        assert kind["min_workers"] <= kind["max_workers"] <= config["max_workers"]


def test_nothing_is_left_to_ray_that_would_open_it_to_the_world() -> None:
    for name, kind in load(LAUNCHER[0])["available_node_types"].items():
        node = kind["node_config"]
        groups = [*node.get("SecurityGroupIds", ())]
        groups += [g for card in node.get("NetworkInterfaces", ()) for g in card["Groups"]]
        assert groups, f"{name}: Ray would make a group that admits SSH from everywhere"
        assert node["IamInstanceProfile"], f"{name}: Ray would make a role that may do anything"
    for path in LAUNCHER:
        text = commands(load(path))
        assert "--dashboard-host=127.0.0.1" in text
        assert "monitor.host=127.0.0.1" in text
        assert "RAY_AUTH_MODE=token" in (ROOT / "cluster/deploy/setup_node.sh").read_text()
        assert "~/.ray/auth_token" in load(path)["file_mounts"]


@pytest.mark.parametrize("path", LAUNCHER, ids=lambda path: path.stem)
def test_every_port_is_fixed_and_explained(path: Path) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    text = commands(load(path))
    for start_command in re.findall(r"ray start .*", text):
        assert set(re.findall(r"--[a-z-]+", start_command)) <= known
    explained = (ROOT / "docs/cluster.md").read_text()
    for port in re.findall(r"port=(\d+)", text):
        assert port in explained, f"{path.name} opens {port}, docs/cluster.md does not say why"


def test_a_lost_node_is_detected_within_ten_seconds() -> None:
    for path in [*LAUNCHER, *MANIFESTS]:
        text = path.read_text()
        value = {
            key: int(re.findall(rf'RAY_health_check_{key}(?:=|, value: ")(\d+)', text)[0])
            for key in ("period_ms", "timeout_ms", "failure_threshold")
        }
        wait_ms = value["failure_threshold"] * (value["period_ms"] + value["timeout_ms"])
        assert wait_ms <= 10_000, path.name


def test_nodes_of_own_machines_end_with_their_head() -> None:
    """`ray down` contacts only the head; tests/lab shows that this is enough."""
    worker = load(LAUNCHER[1])["worker_start_ray_commands"][1]
    assert "--block" in worker
    assert int(re.findall(r"RAY_gcs_rpc_server_reconnect_timeout_s=(\d+)", worker)[0]) <= 30


def test_versions_are_those_of_the_constraints() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    for path in MANIFESTS:
        for version in re.findall(r"rayVersion: (\S+)", path.read_text()):
            assert version == pinned["ray"], path.name
    script = (ROOT / "cluster/deploy/setup_node.sh").read_text()
    image = (ROOT / "cluster/deploy/Dockerfile").read_text()
    uv = re.findall(r"uv_version=(\S+)", script)[0]
    python = re.findall(r"python=\$\{1:-(\S+)\}", script)[0]
    assert f"uv:{uv}" in image
    assert f"--python {python}" in image


def manifests() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text())


def test_kubernetes_accepts_every_pod_strictly() -> None:
    import kubernetes_validate

    def check(template: dict[str, Any]) -> None:
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}}
        kubernetes_validate.validate({**pod, "template": template}, KUBERNETES, strict=True)

    templates = [t for m in manifests() if m["kind"] != "ServiceAccount" for t in pods(m)]
    assert len(templates) == 4
    for template in templates:
        check(template)
        assert template["spec"]["securityContext"]["runAsNonRoot"]
    templates[0]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePulPolicy"):
        check(templates[0])
    for manifest in manifests():
        if manifest["kind"] == "ServiceAccount":
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod templates of a cluster or a job, whose other keys are checked on the way."""
    spec = manifest["spec"]
    if manifest["kind"] == "RayJob":
        assert spec.keys() <= JOB_KEYS
        assert yaml.safe_load(spec["runtimeEnvYAML"]).keys() == {"working_dir", "env_vars"}
        spec = spec["rayClusterSpec"]
    assert spec.keys() <= CLUSTER_KEYS
    assert spec["authOptions"] == {"mode": "token"}
    head, workers = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head.keys() <= HEAD_KEYS
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert head["serviceType"] == "ClusterIP"
    for group in workers:
        assert group.keys() <= WORKER_KEYS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    return [head["template"], *(group["template"] for group in workers)]


def test_the_image_is_linted_pinned_and_without_root_or_secrets() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [linter, "cluster/deploy/Dockerfile"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    text = (ROOT / "cluster/deploy/Dockerfile").read_text()
    for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        assert re.fullmatch(r"\S+:\d+\.\d+\.\d+\S*", image), f"{image}: not an exact version"
    assert re.findall(r"^USER (.*)", text, re.MULTILINE)[-1] == "1000:1100"
    context = (ROOT / "cluster/deploy/Dockerfile.dockerignore").read_text().split("\n")
    assert [line for line in context if line.startswith("!")] == [
        "!constraints.txt",
        "!pyproject.toml",
    ]
