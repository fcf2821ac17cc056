"""Nodes have what every recipe needs: packages, and room for its workers.

The needs are derived: from the imports of the code, from what a recipe imports when it is prepared,
and from its options.
"""

import ast
import builtins
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cluster.storage.opening import open_store
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.find import find_source
from launch.evaluation.feature_networks import FeatureNetworks
from launch.options.loading import load_config, load_recipe, recipe_names
from launch.options.schema import RunConfig
from launch.options.words import leaves

ROOT = Path(__file__).parents[3]
INSTALLERS = {
    "script": "cluster/deploy/setup_node.sh",
    "image": "cluster/deploy/Dockerfile",
}
OURS = ("cluster", "datasets", "ganinv", "launch")
# A developer's tool, and a page on the machine of the person who looks at it.
NOT_ON_NODES = ("cluster/monitoring/boards/generate.py", "launch/studio/")
INPUTS = Inputs(open_store=open_store, show_progress=lambda _: pytest.fail("nothing is built"))
installers = pytest.mark.parametrize("file", INSTALLERS.values(), ids=INSTALLERS.keys())


@cache
def config_of(recipe: str) -> RunConfig:
    return load_config(load_recipe(recipe), ["storage.run=r", "data.url=d"])


@cache
def installed_by(file: str) -> frozenset[str]:
    """The distributions that a node gets, with their dependencies."""
    extras = re.findall(r"--extra (\w+)", (ROOT / file).read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    wanted = project["dependencies"] + [line for extra in extras for line in optional[extra]]
    found: set[str] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        name = canonicalize_name(requirement.name)
        found.add(name)
        try:
            further = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for nodes only, like boto3
        for line in further:
            marker = Requirement(line).marker
            contexts = [{"extra": extra} for extra in ("", *requirement.extras)]
            applies = marker is None or any(marker.evaluate(context) for context in contexts)
            if applies and canonicalize_name(Requirement(line).name) not in found:
                wanted.append(line)
    return frozenset(found)


@cache
def distributions() -> dict[str, set[str]]:
    """Module → the distributions that hold it."""
    found = metadata.packages_distributions()
    return {module: set(map(canonicalize_name, names)) for module, names in found.items()}


def missing(modules: set[str], file: str) -> set[str]:
    """The modules of other projects that a node lacks."""
    foreign = {m for m in modules if m not in sys.stdlib_module_names and m not in OURS}
    return {m for m in foreign if not distributions()[m] & installed_by(file)}


def imported_at_the_top() -> Iterator[tuple[str, set[str]]]:
    for path in sorted(path for folder in OURS for path in (ROOT / folder).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if not name.startswith(NOT_ON_NODES):
            body = ast.parse(path.read_text()).body
            yield (
                name,
                {
                    module.partition(".")[0]
                    for node in body
                    for module in (
                        [alias.name for alias in node.names]
                        if isinstance(node, ast.Import)
                        else [node.module or ""]
                        if isinstance(node, ast.ImportFrom)
                        else []
                    )
                },
            )


@installers
def test_nodes_have_all_that_the_code_imports(file: str) -> None:
    lacking = {name: found for name, top in imported_at_the_top() if (found := missing(top, file))}
    assert not lacking


@cache
def imported_for(recipe: str) -> frozenset[str]:
    """The modules that are imported when the feature networks and the source are made."""
    config, seen, real = config_of(recipe), set[str](), builtins.__import__

    def recording(name: str, *rest: Any, **more: Any) -> Any:
        caller = str((rest[0] if rest else more.get("globals") or {}).get("__name__", ""))
        if caller.partition(".")[0] in OURS:
            seen.add(name.partition(".")[0])
        return real(name, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "__import__", recording)
        FeatureNetworks(config.evaluate, torch.device("cpu"))
        if config.data.source is not None:
            options = BuildOptions(images=1, resolution=16, seed=0)
            find_source(config.data.source, options, INPUTS)
    return frozenset(seen)


@installers
@pytest.mark.parametrize("recipe", recipe_names())
def test_nodes_have_all_that_a_recipe_imports(recipe: str, file: str) -> None:
    if config_of(recipe).cluster.use_gpu:
        assert "efficientnet_lite_pytorch" in imported_for(recipe), "nothing was derived"
    assert not missing(set(imported_for(recipe)), file)


def rooms() -> dict[str, tuple[int, float, float]]:
    """Each kind of GPU node: how many there may be, its CPUs and its GPUs."""
    found = {}
    aws = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    for name, kind in aws["available_node_types"].items():
        has = kind["resources"]
        if has.get("GPU"):
            found[name] = (kind["max_workers"], has["CPU"], has["GPU"])
    for file in ("kuberay-cluster", "kuberay-job"):
        for manifest in yaml.safe_load_all((ROOT / f"cluster/deploy/{file}.yaml").read_text()):
            spec = manifest.get("spec", {})
            for group in spec.get("rayClusterSpec", spec).get("workerGroupSpecs", ()):
                (container,) = group["template"]["spec"]["containers"]
                has = container["resources"]["requests"]
                gpus = float(has["nvidia.com/gpu"])
                found[file] = (group["maxReplicas"], float(has["cpu"]), gpus)
    return found


@pytest.mark.parametrize("node", rooms())
def test_nodes_have_room_for_the_workers_of_every_recipe(node: str) -> None:
    most, cpus, gpus = rooms()[node]
    needs = {recipe: config_of(recipe).cluster for recipe in recipe_names()}
    needs = {recipe: workers for recipe, workers in needs.items() if workers.use_gpu}
    assert needs
    for recipe, workers in needs.items():
        on_each = min(gpus, cpus // workers.cpus_per_worker)
        assert on_each == gpus, f"{recipe}: a GPU would be idle for lack of CPUs"
        assert most * on_each >= workers.sizes[0], recipe


def test_the_command_of_the_job_is_accepted() -> None:
    manifest = yaml.safe_load((ROOT / "cluster/deploy/kuberay-job.yaml").read_text())
    config = of_command(manifest["spec"]["entrypoint"])
    (group,) = manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert config.cluster.sizes[0] == group["minReplicas"]
    assert config.cluster.sizes[-1] == group["maxReplicas"]


@pytest.mark.parametrize("page", ["README.md", "docs/cluster.md"])
def test_the_commands_of_the_pages_are_accepted(page: str) -> None:
    text = (ROOT / page).read_text().replace("\\\n", " ")
    submitted = re.findall(r"ganinv submit (.*)", text)
    assert submitted
    for words in submitted:
        of_command(f"python -m launch train {words}")


def of_command(line: str) -> RunConfig:
    words = shlex.split(line, comments=True)
    recipe, *options = words[words.index("train") + 1 :]
    config = load_config(load_recipe(recipe), options)
    assert dict(leaves(config.resolved))["train.global_batch"] % config.cluster.sizes[-1] == 0
    return config
