"""One file per metric; it defines `METRIC`, an instance of a class in `base`."""

from ganinv.families import Family

_FAMILY = Family(
    package=__name__,
    path=__path__,
    shared=frozenset({"base", "features", "neighbours", "ranks"}),
    called="metric",
)
names = _FAMILY.names
find = _FAMILY.find
