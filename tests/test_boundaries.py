"""Imports point one way: launch → {cluster, datasets} → ganinv, and packages stay light."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "ganinv": set(),
    "datasets": {"ganinv"},
    "cluster": {"ganinv"},
    "launch": {"ganinv", "datasets", "cluster"},
}
GANINV_MAY_IMPORT = {"torch", "numpy", "safetensors", "ganinv"} | set(sys.stdlib_module_names)
# Only inside of functions that cannot do without, or for type checkers: fsspec comes with torch,
# the others with extras of the wheel.
GANINV_MAY_IMPORT_LATE = {
    *("fsspec", "s3fs", "aiohttp", "botocore", "PIL", "sklearn"),
    *("dlib", "face_recognition_models"),
    *("onnx", "onnxscript"),
    "imagecodecs",
}


def imported(file: Path, *, at_once: bool = False) -> set[str]:
    """Top-level names of everything that a file imports, wherever in it, or as it is imported."""
    tree = ast.parse(file.read_text())
    names: set[str] = set()
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_lies_below_them(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        other_rooms = imported(file) & (set(ROOMS) | {"tests"}) - {room}
        assert other_rooms <= ROOMS[room], file


def test_the_science_imports_no_cluster_storage_or_configuration() -> None:
    for file in (ROOT / "ganinv").rglob("*.py"):
        assert imported(file, at_once=True) <= GANINV_MAY_IMPORT, file
        assert imported(file) <= GANINV_MAY_IMPORT | GANINV_MAY_IMPORT_LATE, file


def test_only_the_console_script_loads_commands_by_name() -> None:
    """A module that is named in a string escapes the tests above."""
    rooms = re.compile(r"(launch|cluster|datasets)(\.\w+)*")
    naming = {
        (str(file.relative_to(ROOT)), node.value)
        for file in (ROOT / "ganinv").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and rooms.fullmatch(node.value)
    }
    assert naming == {("ganinv/command.py", "launch.__main__")}


def test_no_command_imports_another_one() -> None:
    for file in (ROOT / "launch" / "commands").rglob("*.py"):
        found = {
            node.module or ""
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom)
        }
        others = {name for name in found if name.startswith("launch.commands")}
        assert not others or file.stem == "demo", f"{file}: {others}"  # it is all in one go


def unit(dotted: str) -> str:
    """The folder of a module; modules at the root of a room stand for themselves."""
    parts = dotted.split(".")
    while not (ROOT.joinpath(*parts).is_dir() or ROOT.joinpath(*parts).with_suffix(".py").exists()):
        parts.pop()  # a name inside of a module
    if ROOT.joinpath(*parts).is_dir() or len(parts) == 2:
        return ".".join(parts)
    return ".".join(parts[:-1])


def unit_imports(room: str) -> dict[str, set[str]]:
    """For every folder (and root module) of a room, what it imports of the same room."""
    graph: dict[str, set[str]] = {}
    for file in sorted((ROOT / room).rglob("*.py")):
        importer = unit(".".join(file.relative_to(ROOT).with_suffix("").parts))
        found = graph.setdefault(importer, set())
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                found |= {
                    unit(f"{node.module}.{alias.name}")
                    for alias in node.names
                    if node.module and node.module.partition(".")[0] == room
                }
            elif isinstance(node, ast.Import):
                found |= {unit(a.name) for a in node.names if a.name.partition(".")[0] == room}
        found -= {importer, room}  # the package itself holds no more than lazy imports
    return graph


@pytest.mark.parametrize("room", ROOMS)
def test_imports_between_folders_of_a_room_run_one_way(room: str) -> None:
    graph = unit_imports(room)
    graph.pop(room, None)  # `ganinv/__init__.py` imports late, for users of the library
    assert len(graph) > 1
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_a_circle_between_folders_would_be_noticed() -> None:
    graph = unit_imports("cluster")
    graph["cluster.storage"].add("cluster.workers")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


def test_no_folder_holds_more_than_twenty_modules() -> None:
    folders = [f for room in ROOMS for f in (ROOT / room, *(ROOT / room).rglob("*")) if f.is_dir()]
    counts = {folder: len({*folder.glob("*.py")} - {folder / "__init__.py"}) for folder in folders}
    assert max(counts.values()) > 5
    assert {folder: count for folder, count in counts.items() if count > 20} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_packages_are_light_to_import(room: str) -> None:
    heavy = [
        "torch",
        "ray",
        "deepspeed",
        "numpy",
        "omegaconf",
        "fsspec",
        "webdataset",
        "prometheus_client",
    ]
    code = f"import sys, {room}; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.integration
def test_decoding_in_parallel_starts_without_torch() -> None:
    """Each of its processes imports these modules, and torch takes a second."""
    modules = "datasets.building.encode, datasets.sources.photographs"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("work", "absent"),
    [
        # The driver of a training leaves these to the processes that it starts.
        (
            "import launch.commands.train, torch; from ganinv.networks import conv\n"
            "with torch.device('meta'):\n"
            "    conv.build(conv.Config(), resolution=16, image_channels=3, seed=0)",
            ["ray.train", "deepspeed", "sympy", "torch._dynamo"],
        ),
        # People wait for these.
        (
            "from launch.commands import attach, checkpoints, monitor, status",
            ["torch", "numpy", "ray.train", "deepspeed"],
        ),
        # Every start of a training waits for this process.
        ("import cluster.workers.directory", ["torch", "ray.train"]),
    ],
    ids=["driver", "looking", "directory"],
)
def test_processes_start_without_what_only_workers_need(work: str, absent: list[str]) -> None:
    code = f"{work}\nimport sys; print([m for m in {absent} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
