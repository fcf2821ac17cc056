"""Imports point one way: launch → {cluster, datasets} → ganinv, and packages stay light."""

import ast
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
GANINV_MAY_IMPORT_LATE = {"fsspec", "s3fs", "aiohttp", "botocore", "PIL"}


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


def test_decoding_in_parallel_starts_without_torch() -> None:
    """Each of its processes imports these modules, and torch takes a second."""
    code = "import sys, datasets.encode, datasets.photographs; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
