"""Options from plain values: the commands' own way and this one give the same."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from ganinv import networks, objectives
from ganinv.errors import ConfigError
from ganinv.plain import from_plain, member_from_plain
from launch.options.loading import load_config, load_recipe, recipe_names


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_reads_back(recipe: str) -> None:
    config = load_config(load_recipe(recipe), ["storage.run=a", "data.url=b"])
    for section, family in (("objective", objectives), ("network", networks)):
        module, options = member_from_plain(family.find, config.resolved, section)
        assert options == getattr(config, section)
        assert isinstance(options, module.Config)


@dataclass(frozen=True, kw_only=True)
class Inner:
    decay: float = 0.5

    def __post_init__(self) -> None:
        if self.decay >= 1:
            raise ConfigError(f"decay = {self.decay}: must be below 1")


@dataclass(frozen=True, kw_only=True)
class Outer:
    size: int
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    on: bool = False
    inner: Inner = field(default_factory=Inner)


def test_what_is_given_is_taken() -> None:
    expected = Outer(size=3, kind="b", limit=4, on=True, inner=Inner(decay=0))
    assert from_plain(Outer, asdict(expected), "here") == expected
    assert from_plain(Outer, {"size": 3}, "here") == Outer(size=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "here: .*size"),
        ([1], "here = .*group of options"),
        ({"sise": 3}, r"here\.sise = 3: unknown key, did you mean 'size'"),
        ({"size": "3"}, r"here\.size = '3': must be int"),
        ({"size": True}, r"here\.size = True: must be int"),
        ({"size": 3.0}, r"here\.size = 3\.0: must be int"),
        ({"size": 3, "kind": "c"}, r"here\.kind = 'c': must be one of a, b"),
        ({"size": 3, "limit": 1.5}, r"here\.limit = 1\.5: must be int \| None"),
        ({"size": 3, "on": 1}, r"here\.on = 1: must be bool"),
        ({"size": 3, "inner": 2}, r"here\.inner = 2: must be a group"),
        ({"size": 3, "inner": {"decay": 2}}, r"here\.inner\.decay = 2: must be below 1"),
    ],
)
def test_what_does_not_fit_is_named(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_plain(Outer, values, "here")
