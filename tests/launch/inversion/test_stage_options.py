"""How the stages of an inversion are asked for."""

import pytest

from ganinv.errors import ConfigError
from launch.inversion.options import search_in, spelled_out


@pytest.mark.parametrize(
    ("words", "switches", "left", "asked"),
    [
        (["a.b=c"], [], ["a.b=c"], set()),
        (["refine=200", "a=1"], [], ["refine.steps=200", "a=1"], {"refine"}),
        (["refine=true"], ["--tune"], [], {"refine", "tune"}),
        (["refine=false"], [], [], set()),
        (["optimise.space=y"], ["--optimise"], ["optimise.space=y"], {"optimise"}),
        (["tune.steps=9"], [], ["tune.steps=9"], {"tune", "refine"}),
        (["optimise={steps: 2}"], [], ["optimise={steps: 2}"], {"optimise"}),
    ],
)
def test_a_stage_runs_if_it_or_one_of_its_options_is_named(
    words: list[str], switches: list[str], left: list[str], asked: set[str]
) -> None:
    assert spelled_out(words, switches) == (left, asked)
    assert search_in(asked) == next(iter(asked - {"tune"}), None)


def test_two_searches_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="both search the code"):
        spelled_out(["refine.steps=1"], ["--optimise"])
