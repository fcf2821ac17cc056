"""Only methods, latents and networks know which networks there are and what a code looks like."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT

ROOMS = ("ganinv", "datasets", "cluster", "launch", "benchmarks")
# They may know: what DLSGAN's statistics mean is written in `latent_scale`; the benchmarks measure
# steps of PVDGAN.
METHODS = (
    "ganinv/objectives/",
    "ganinv/latents/",
    "ganinv/networks/",
    "ganinv/latent_scale.py",
    "benchmarks/first_order.py",
    "benchmarks/precision.py",
    "benchmarks/speed/",
    "benchmarks/claims/",
    "benchmarks/systems/",
    "benchmarks/trace_start.py",
    "benchmarks/small_training.py",
)
NETWORKS = ("g", "d")
KEYS = ("fake", *NETWORKS)  # networks, and the trace of generated images
# Modules that say what a code is: it may be no Gaussian one, and have no scale.
ABOUT_CODES = ("ganinv.latent_scale", "ganinv.latents.normal", "ganinv.latents.scaled_normal")


def files() -> list[Path]:
    found = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    return [f for f in found if not f.relative_to(ROOT).as_posix().startswith(METHODS)]


def names_a_network(text: str) -> bool:
    """`"g"`, `"d/real"`, `"loss/g"`, `"state/fake"`."""
    return text in KEYS or text.startswith(("g/", "d/")) or text.rpartition("/")[2] in KEYS


def knowledge_in(tree: ast.AST) -> Iterator[str]:
    """What a file knows and must not, each with its line."""
    # The letters of formats, as in f"{x:g}", are constants as well.
    formats = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None
        for part in ast.walk(node.format_spec)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in formats and names_a_network(node.value):
                yield f"{node.lineno}: {node.value!r}"
        elif isinstance(node, ast.Attribute) and node.attr in NETWORKS:
            yield f"{node.lineno}: .{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg in NETWORKS:
            yield f"{node.value.lineno}: {node.arg}="
        elif isinstance(node, ast.ImportFrom) and node.module in ABOUT_CODES:
            yield f"{node.lineno}: from {node.module}"
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module == "ganinv.draws" and "standard_normal" in names:
                yield f"{node.lineno}: standard_normal"


def test_nothing_else_knows_networks_or_codes() -> None:
    assert len(files()) > 200
    found = {
        f"{file.relative_to(ROOT)}:{what}"
        for file in files()
        for what in knowledge_in(ast.parse(file.read_text()))
    }
    assert sorted(found) == []


@pytest.mark.parametrize(
    "code",
    [
        'engines["g"]',
        "session.averages.d",
        'row["loss/d"]',
        'state["fake"]',
        "Engines(g=engine)",
        "from ganinv.latent_scale import latent_scale",
        "from ganinv.draws import standard_normal",
    ],
)
def test_knowledge_would_be_noticed(code: str) -> None:
    assert list(knowledge_in(ast.parse(code)))


@pytest.mark.parametrize("code", ['f"{value:g}"', '"good"', "from ganinv.draws import coin_flips"])
def test_other_letters_are_free(code: str) -> None:
    assert not list(knowledge_in(ast.parse(code)))
