"""The form that all verbs share."""

import pytest

from ganinv.errors import ConfigError
from launch.options.arguments import parse


@pytest.mark.parametrize(
    "typed", ["recipe --json a=1 b=2", "recipe a=1 --json b=2", "--json recipe a=1 b=2"]
)
def test_options_stand_before_and_after_a_switch(typed: str) -> None:
    found = parse(typed.split(), "verb", "", "", "NAME")
    assert found.as_json
    assert found.names == ("recipe",)
    assert found.options == ("a=1", "b=2")


def test_names_that_are_missing_or_too_many_are_refused() -> None:
    for typed in ("a=1", "one two"):
        with pytest.raises(ConfigError, match="takes NAME and options"):
            parse(typed.split(), "verb", "", "", "NAME")
