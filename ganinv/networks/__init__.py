"""One file per network family; it defines `Config` and `build`."""

from ganinv.families import Family

_FAMILY = Family(
    package=__name__,
    path=__path__,
    shared=frozenset(
        {"base", "coupling", "filtering", "heads", "labels", "layers", "piecewise", "recomputing"}
        | {"residual", "resnet_encoder", "styled"}
    ),
    called="network.name",
)
names = _FAMILY.names
find = _FAMILY.find
