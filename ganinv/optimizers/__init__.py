"""One file per optimizer, holding its `build` and the `settings` that may change during training.

Engines know nothing of an optimizer but that it keeps tensors for each parameter.
"""

from ganinv.families import Family

_FAMILY = Family(
    package=__name__, path=__path__, shared=frozenset({"base"}), called="a role's optimizer"
)
names = _FAMILY.names
find = _FAMILY.find
