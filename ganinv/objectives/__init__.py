"""One file per method, holding its `Config` and its `Objective`."""

from ganinv.families import Family

_FAMILY = Family(
    package=__name__,
    path=__path__,
    shared=frozenset(
        {"base", "adversarial", "augmented", "conditional", "latent", "losses", "posterior"}
        | {"traced", "traced_codec"}
    ),
    called="objective.name",
)
names = _FAMILY.names
find = _FAMILY.find
