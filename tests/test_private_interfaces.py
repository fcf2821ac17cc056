"""Every non-public interface of Ray, DeepSpeed, torch, s3fs, botocore and OmegaConf in the code.

Upgrading one of these packages starts here: `INTERFACES` is the checklist. The tests prove that the
installed versions still have each interface, that the code uses nothing private beyond the list,
and that no entry is stale.

The scan reads the syntax trees of all sources. It finds imports of private modules and names,
attributes that start with an underscore on objects of other packages, and the names and strings of
`INTERFACES` that do not look private but are. An underscore name counts as the project's own on
`self` or `cls`, on a module of the project, and in the file that defines it; on `super()` it never
does.
"""

import ast
import importlib
import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCANNED = ("ganinv", "cluster", "datasets", "launch", "tests/support", "benchmarks")
OWN_PACKAGES = {"ganinv", "cluster", "datasets", "launch", "tests", "benchmarks"}
# Underscore names that the standard library documents.
PUBLIC = {"_asdict", "_replace", "_fields", "_make", "_exit"}


@dataclass(frozen=True, kw_only=True)
class Interface:
    """One non-public interface.

    `use`: how the code spells it. `a.b.c` is imported or reached from an import, `.name` is an
    attribute of an object, and any other text is a string. `where`: MODULE:ATTRIBUTES of its
    definition. `text`: words that the definition's source must contain, for what only exists at run
    time. `parameters`: those of the signature that the code relies on.
    """

    use: str
    where: str
    files: tuple[str, ...]
    reason: str
    text: str = ""
    parameters: tuple[str, ...] = ()


ENGINE = ("cluster/engine.py",)
FRAGMENT = "deepspeed.utils.tensor_fragment:tensor_fragment"
RAY_EXCEPTIONS = "ray.train.v2._internal.exceptions"
CLEANER = "ray.train.v2._internal.callbacks.placement_group_callback"
WORKER_GROUP = "ray.train.v2._internal.execution.worker_group.worker_group:WorkerGroup"

INTERFACES = (
    # --- Ray ---------------------------------------------------------------------------------
    Interface(
        use="ray._private.ray_constants.get_runtime_env_default_excludes",
        where="ray._private.ray_constants:get_runtime_env_default_excludes",
        files=("cluster/jobs/shipping.py",),
        reason="Ray's default excludes, to know what a package holds before it is uploaded",
    ),
    Interface(
        use="ray._private.runtime_env.packaging._dir_travel",
        where="ray._private.runtime_env.packaging:_dir_travel",
        files=("cluster/jobs/shipping.py",),
        reason="lists what Ray packs, to refuse too large a checkout with the largest files named",
        parameters=("path", "excludes", "handler", "include_gitignore", "logger"),
    ),
    Interface(
        use="ray._private.runtime_env.packaging._get_excludes",
        where="ray._private.runtime_env.packaging:_get_excludes",
        files=("cluster/jobs/shipping.py",),
        reason="the exclude patterns of `_dir_travel`",
        parameters=("path", "excludes"),
    ),
    Interface(
        use="ray._private.services.canonicalize_bootstrap_address",
        where="ray._private.services:canonicalize_bootstrap_address",
        files=("cluster/machines/ray_checks.py",),
        reason="the cluster that RAY_ADDRESS=auto means, before Ray waits for it for minutes",
        parameters=("addr",),
    ),
    Interface(
        use="RAY_gcs_server_port_wait_time_s",
        where="ray._private.node:Node.start_gcs_server",
        files=("cluster/workers/starting.py",),
        reason="how long Ray's first server may take to listen, on the second attempt",
        text="RAY_gcs_server_port_wait_time_s",
    ),
    Interface(
        use="ray._private.state.state.get_draining_nodes",
        where="ray._private.state:state.get_draining_nodes",
        files=("cluster/workers/reservations.py",),
        reason="nodes that are about to be removed; Ray Train's own watcher calls it",
    ),
    Interface(
        use="ray._private.state.state._connect_and_get_accessor",
        where="ray._private.state:state._connect_and_get_accessor",
        files=("cluster/workers/reservations.py",),
        reason="the table of placement groups with their creators; the public table lacks them",
    ),
    Interface(
        use=".get_placement_group_table",
        where="ray._raylet:GlobalStateAccessor.get_placement_group_table",
        files=("cluster/workers/reservations.py",),
        reason="the table of placement groups, one serialised message per group",
    ),
    Interface(
        use="ray.core.generated.gcs_pb2.PlacementGroupTableData",
        where="ray.core.generated.gcs_pb2:PlacementGroupTableData",
        files=("cluster/workers/reservations.py",),
        reason="parses a row of that table: state, creator_job_id, creator_actor_dead",
    ),
    Interface(
        use="ray.train.torch.config._TorchBackend",
        where="ray.train.torch.config:_TorchBackend",
        files=("cluster/workers/backend.py",),
        reason="base class whose hooks run on a worker's main thread, where SIGTERM is received",
    ),
    Interface(
        use="ray.train.v2._internal.callbacks.datasets.DatasetsCallback",
        where="ray.train.v2._internal.callbacks.datasets:DatasetsCallback",
        files=("cluster/workers/trainer.py",),
        reason="left out: it starts a process for data sets of Ray Data, of which there are none",
    ),
    Interface(
        use=f"{CLEANER}.PlacementGroupCleanerCallback",
        where=f"{CLEANER}:PlacementGroupCleanerCallback",
        files=("cluster/workers/trainer.py",),
        reason="left out: it starts a process for what `clear_abandoned` does",
    ),
    Interface(
        use="._create_default_callbacks",
        where="ray.train.torch:TorchTrainer._create_default_callbacks",
        files=("cluster/workers/trainer.py",),
        reason="the callbacks of a trainer, to leave out those two",
    ),
    Interface(
        use=".execute_async",
        where=f"{WORKER_GROUP}.execute_async",
        files=("cluster/workers/backend.py",),
        reason="a backend hook asks all workers for an answer, to find those that hang",
    ),
    Interface(
        use=".get_workers",
        where=f"{WORKER_GROUP}.get_workers",
        files=("cluster/workers/backend.py",),
        reason="the workers of a group, whose `actor` is killed if the worker hangs",
    ),
    Interface(
        use=f"{RAY_EXCEPTIONS}.WorkerGroupStartupTimeoutError",
        where=f"{RAY_EXCEPTIONS}:WorkerGroupStartupTimeoutError",
        files=("cluster/workers/endings.py",),
        reason="tells a lack of room from a failure at the start",
    ),
    Interface(
        use=f"{RAY_EXCEPTIONS}.WorkerHealthCheckFailedError",
        where=f"{RAY_EXCEPTIONS}:WorkerHealthCheckFailedError",
        files=("cluster/workers/endings.py",),
        reason="a worker process died",
    ),
    Interface(
        use=f"{RAY_EXCEPTIONS}.WorkerHealthCheckTimeoutError",
        where=f"{RAY_EXCEPTIONS}:WorkerHealthCheckTimeoutError",
        files=("cluster/workers/endings.py",),
        reason="a worker does not answer",
    ),
    Interface(
        use="._do_request",
        where="ray.job_submission:JobSubmissionClient._do_request",
        files=("cluster/jobs/client.py",),
        reason="gives every HTTP request of Ray's client a timeout; without, it waits forever",
        parameters=("method", "endpoint"),
    ),
    Interface(
        use="No available agent",
        where="ray.dashboard.modules.job.job_head",
        text="No available agent to submit job",
        files=("cluster/jobs/client.py",),
        reason="the only sign that a new head cannot start jobs yet; submitting is retried",
    ),
    Interface(
        use="RayTrainWorker",
        where="ray.train.v2._internal.execution.worker_group.worker:RayTrainWorker",
        files=("cluster/jobs/server.py", "tests/support/faults.py"),
        reason="class name of a rank's actor, by which `status --cluster` counts workers",
    ),
    Interface(
        use="RAY_JOB_CONFIG_JSON_ENV_VAR",
        where="ray._private.runtime_env.constants:RAY_JOB_CONFIG_JSON_ENV_VAR",
        files=("cluster/run_folder/lease.py", "cluster/workers/starting.py"),
        reason="variable that Ray sets for a job's command; holds the job's id",
    ),
    Interface(
        use="node:__internal_head__",
        where="ray.autoscaler.v2.utils",
        text="node:__internal_head__",
        files=("cluster/machines/nodes.py",),
        reason="resource that only the head node has",
    ),
    # --- DeepSpeed ---------------------------------------------------------------------------
    Interface(
        use="._hp_mapping",
        where="deepspeed.utils.mixed_precision_linkage",
        text="._hp_mapping = ",
        files=ENGINE,
        reason="which fragment of a parameter's optimizer state this rank has under ZeRO",
    ),
    Interface(
        use=".lp_fragment_address",
        where=FRAGMENT,
        text="lp_fragment_address: fragment_address",
        files=ENGINE,
        reason="start and length of that fragment within the parameter",
    ),
    Interface(
        use=".hp_fragment",
        where=FRAGMENT,
        text="hp_fragment: torch.Tensor",
        files=ENGINE,
        reason="ZeRO's own copy of the weights, which loaded weights are written to",
    ),
    Interface(
        use=".get_hp_fragment",
        where=f"{FRAGMENT}.get_hp_fragment",
        files=ENGINE,
        reason="the fragment of an optimizer moment, for checkpoints that load at any world size",
        parameters=("optim_state_key",),
    ),
    Interface(
        use="._lazy_init_hp_params_optimizer_state",
        where="deepspeed.runtime.zero.stage_1_and_2:DeepSpeedZeroOptimizer"
        "._lazy_init_hp_params_optimizer_state",
        files=ENGINE,
        reason="links loaded moments to their fragments before the first step",
    ),
    Interface(
        use=".averaged_gradients",
        where="deepspeed.runtime.zero.stage_1_and_2:DeepSpeedZeroOptimizer",
        text="self.averaged_gradients = {}",
        files=ENGINE,
        reason="reduced gradients under ZeRO, checked for non-finite values before the step",
    ),
    Interface(
        use=".build_shm_op",
        where="deepspeed.comm.torch:build_shm_op",
        files=ENGINE,
        reason="replaced, because it compiles a C++ extension that only inference on a CPU needs",
    ),
    Interface(
        use="deepspeed.comm.torch",
        where="deepspeed.comm.torch:",
        files=ENGINE,
        reason="the module by its name in `sys.modules`; `import` would give the real torch",
    ),
    # --- torch -------------------------------------------------------------------------------
    *(
        Interface(
            use=f"torch.{name}",
            where=f"torch:{name}",
            files=("ganinv/training/averages.py",),
            reason="updates all weight averages with one kernel",
        )
        for name in ("_foreach_lerp_", "_foreach_sub", "_foreach_mul_", "_foreach_add_")
    ),
    Interface(
        use="._step_supports_amp_scaling",
        where="torch.optim:Adam.__init__",
        text="self._step_supports_amp_scaling = True",
        files=("ganinv/optimizers/base.py",),
        reason="whether an optimizer leaves out a step by a flag on the device, as GradScaler asks",
    ),
    Interface(
        use=".found_inf",
        where="torch.optim:Adam.step",
        text='getattr(self, "found_inf", None)',
        files=("ganinv/optimizers/base.py",),
        reason="that flag",
    ),
    Interface(
        use="torch.utils._python_dispatch.TorchDispatchMode",
        where="torch.utils._python_dispatch:TorchDispatchMode",
        files=(
            "benchmarks/precision.py",
            "benchmarks/scaling_measure.py",
            "benchmarks/speed/live_bytes.py",
            "ganinv/profiling/counting.py",
        ),
        reason="counts the operations of a step and what they allocate, or rounds their operands",
    ),
    Interface(
        use="torch.utils._pytree.tree_leaves",
        where="torch.utils._pytree:tree_leaves",
        files=("benchmarks/speed/live_bytes.py",),
        reason="the tensors in an operation's results",
    ),
    Interface(
        use="._overloadpacket",
        where="torch:ops.aten.add.Tensor._overloadpacket",
        files=("benchmarks/scaling_measure.py",),
        reason="key of the table of operation counts",
    ),
    # --- s3fs and botocore -------------------------------------------------------------------
    Interface(
        use="._cat_file",
        where="s3fs:S3FileSystem._cat_file",
        files=("cluster/storage/s3.py",),
        reason="reads on the client's event loop, to run and hedge many ranges at a time",
        parameters=("path", "start", "end", "max_concurrency"),
    ),
    Interface(
        use="._pipe_file",
        where="s3fs:S3FileSystem._pipe_file",
        files=("cluster/storage/s3.py",),
        reason="conditional write (`mode='create'`) with metadata that sign the object",
        parameters=("path", "data", "mode", "kwargs"),
    ),
    Interface(
        use="._call_s3",
        where="s3fs:S3FileSystem._call_s3",
        files=("cluster/storage/s3.py",),
        reason="requests without a method of their own: head, delete, multipart upload",
        parameters=("method", "kwargs"),
    ),
    Interface(
        use="botocore.handlers.add_expect_header",
        where="botocore.handlers:add_expect_header",
        files=("cluster/storage/s3_client.py",),
        reason="unregistered, because waiting for `100 Continue` has no timeout",
    ),
    Interface(
        use="botocore.parsers.ResponseParserError",
        where="botocore.parsers:ResponseParserError",
        files=("cluster/storage/s3_errors.py",),
        reason="raised for an answer that is not S3's; botocore exports it nowhere else",
    ),
    # --- OmegaConf ---------------------------------------------------------------------------
    Interface(
        use="._get_node",
        where="omegaconf:DictConfig._get_node",
        files=("launch/options/text.py", "launch/options/words.py"),
        reason="a node without resolving or validating its value, which may be missing",
        parameters=("key",),
    ),
    Interface(
        use="._metadata",
        where="omegaconf.base:Node",
        text="_metadata",
        files=("launch/options/text.py", "launch/options/words.py"),
        reason="the declared type of an option: how to read its value, and which values to offer",
    ),
)
# What the scan looks for although it has no underscore.
LISTED_MODULES = {"ray.core.generated.gcs_pb2", "botocore.handlers", "botocore.parsers"}
LISTED_ATTRIBUTES = {i.use for i in INTERFACES if i.use.startswith(".") and i.use[1] != "_"}
LISTED_STRINGS = {
    "No available agent",
    "RayTrainWorker",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
    "RAY_gcs_server_port_wait_time_s",
    "node:__internal_head__",
    "deepspeed.comm.torch",
}


def is_private(name: str) -> bool:
    """Whether a dotted name has a component with a leading underscore, dunders excepted."""
    return any(
        part.startswith("_") and not part.endswith("__") and part not in PUBLIC
        for part in name.split(".")
    )


class Scan(ast.NodeVisitor):
    """Collects the uses of non-public interfaces in one source, spelt as in `Interface.use`."""

    def __init__(self, source: str) -> None:
        self.uses: set[str] = set()
        tree = ast.parse(source)
        self._modules = dict(_imported(tree))  # name in the source → dotted name of its import
        self._defined = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        } | {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        }
        self._defined |= {  # fields of dataclasses
            node.target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        self.visit(tree)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._note_dotted(f"{node.module}.{alias.name}")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._note_dotted(alias.name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """`node` is the whole chain `root.a.b`; its inner attributes are not visited again."""
        names: list[str] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            names.insert(0, root.attr)
            root = root.value
        module = self._modules.get(root.id) if isinstance(root, ast.Name) else None
        if module is not None and is_foreign(module):
            self._note_dotted(".".join([module, *names]))
        elif module is None:
            own = isinstance(root, ast.Name) and root.id in ("self", "cls")
            for name in names[own:]:
                self._note_attribute(name, defined=ast.unparse(root) != "super()")
        for name in names:
            if f".{name}" in LISTED_ATTRIBUTES:
                self.uses.add(f".{name}")
        if not isinstance(root, ast.Name):
            self.visit(root)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        if called in ("getattr", "setattr", "hasattr", "delattr") and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                self._note_attribute(name.value)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value in LISTED_STRINGS:
            self.uses.add(node.value)

    def _note_dotted(self, name: str) -> None:
        for module in LISTED_MODULES:
            if name.startswith(f"{module}."):  # what follows belongs to the imported object
                member = name.removeprefix(f"{module}.").partition(".")[0]
                self.uses.add(f"{module}.{member}")
                return
        if is_foreign(name) and is_private(name):
            self.uses.add(name)

    def _note_attribute(self, name: str, *, defined: bool = True) -> None:
        """`defined`: a name that this file defines is the project's own."""
        if is_private(name) and not (defined and name in self._defined):
            self.uses.add(f".{name}")


def is_foreign(dotted: str) -> bool:
    return dotted.partition(".")[0] not in OWN_PACKAGES


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def uses_by_file(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Use → files, over `sources` (file → text)."""
    found: dict[str, set[str]] = defaultdict(set)
    for file, source in sources.items():
        for use in Scan(source).uses:
            found[use].add(file)
    return dict(found)


def compare(found: Mapping[str, set[str]]) -> list[str]:
    """One sentence for every difference between the code and `INTERFACES`."""
    listed = {interface.use: set(interface.files) for interface in INTERFACES}
    return (
        [f"{use} in {sorted(found[use])} is not listed" for use in sorted(found.keys() - listed)]
        + [f"{use} is listed, but not used" for use in sorted(listed.keys() - found)]
        + [
            f"{use} is used in {sorted(found[use])}, but listed for {sorted(listed[use])}"
            for use in sorted(found.keys() & listed)
            if found[use] != listed[use]
        ]
    )


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """Use → files, over the project's code."""
    paths = [path for folder in SCANNED for path in (ROOT / folder).rglob("*.py")]
    return uses_by_file({str(path.relative_to(ROOT)): path.read_text() for path in paths})


def test_the_code_uses_exactly_the_listed_interfaces(found: dict[str, set[str]]) -> None:
    assert compare(found) == []


def test_no_interface_is_listed_twice() -> None:
    uses = [interface.use for interface in INTERFACES]
    assert len(uses) == len(set(uses))


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.use)
def test_the_installed_version_has_it(interface: Interface) -> None:
    module, _, attributes = interface.where.partition(":")
    found: Any = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        found = getattr(found, name)
    if interface.text:
        assert interface.text in inspect.getsource(found)
    missing = set(interface.parameters) - (
        set(inspect.signature(found).parameters) if interface.parameters else set()
    )
    assert not missing


# --- the scan can fail -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("from ray._private.worker import global_worker", "ray._private.worker.global_worker"),
        ("import torch._dynamo", "torch._dynamo"),
        (
            "import torch\ntorch._C._jit_set_emit_hooks(f)",
            "torch._C._jit_set_emit_hooks",
        ),
        ("import ray as r\nr._private.state.jobs()", "ray._private.state.jobs"),
        ("def f(p):\n    return p._grad_fn", "._grad_fn"),
        ("class A:\n    def f(self):\n        self.engine._config.x()", "._config"),
        ("class A(Base):\n    def _send(self):\n        return super()._send()", "._send"),
        ("def f(p):\n    return getattr(p, '_version', 0)", "._version"),
        ("def f(p):\n    return [x._storage() for x in p.parts()]", "._storage"),
        ("def f(p):\n    return p()._inner.public", "._inner"),
        ("from botocore.handlers import disable_signing", "botocore.handlers.disable_signing"),
    ],
)
def test_an_unlisted_use_is_found(source: str, use: str, found: dict[str, set[str]]) -> None:
    new = uses_by_file({"cluster/new.py": source})
    assert new == {use: {"cluster/new.py"}}
    assert compare({**found, **new}) == [f"{use} in ['cluster/new.py'] is not listed"]


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def f(self):\n        return self._own",
        "class A:\n    def _f(self):\n        pass\n\ndef g(a):\n    a._f()",
        "from launch.wiring import worker\nworker._source()",
        "def f(row):\n    return row._asdict(), f.__name__",
        "import os\nos._exit(1)",
    ],
)
def test_own_and_documented_names_are_no_uses(source: str) -> None:
    assert Scan(source).uses == set()


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.use)
def test_a_stale_entry_is_found(interface: Interface, found: dict[str, set[str]]) -> None:
    rest = {use: files for use, files in found.items() if use != interface.use}
    assert compare(rest) == [f"{interface.use} is listed, but not used"]


def test_a_use_in_another_file_is_found(found: dict[str, set[str]]) -> None:
    use, here = "._hp_mapping", "cluster/new.py"
    assert Scan("def f(parameter):\n    return parameter._hp_mapping").uses == {use}
    (problem,) = compare({**found, use: found[use] | {here}})
    assert problem == f"{use} is used in {sorted(found[use] | {here})}, but listed for {[*ENGINE]}"
