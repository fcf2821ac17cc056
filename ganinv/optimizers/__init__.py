"""One file per optimizer; it defines `build`, and `settings`, which may change during training.

Engines assume only that an optimizer keeps tensors for each parameter.
"""

from ganinv.families import Family

_FAMILY = Family(
    package=__name__, path=__path__, shared=frozenset({"base"}), called="a role's optimizer"
)
names = _FAMILY.names
find = _FAMILY.find
