"""Credentials inside URLs: recognised, and kept out of messages. Imports nothing heavy."""

import re

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s'\"]+)")
# A user's name alone is no secret where people log in by name; with http and s3 it may be a token.
_NAMES_ARE_SECRET = ("http", "https", "s3")
# Parameters of signed URLs.
_PARAMETER = re.compile(
    r"([?&](?:[^=&\s]*(?:token|secret|password|signature|credential|key)|sig)=)[^&\s'\"]+",
    re.IGNORECASE,
)
HIDDEN = "***"


def masked(text: str) -> str:
    """`text` with `***` in place of credentials inside its URLs."""

    def hide(url: re.Match[str]) -> str:
        rest = url["rest"]
        end = _end_of_credentials(url["scheme"].lower(), rest)
        return f"{url['scheme']}://{HIDDEN if end else ''}{rest[end:]}"

    return _PARAMETER.sub(rf"\g<1>{HIDDEN}", _URL.sub(hide, text))


def _end_of_credentials(scheme: str, rest: str) -> int:
    """The position of the @ that ends them; 0 without credentials. `rest`: what follows `://`.

    A password may contain slashes: `user:a/b@host`.
    """
    authority = rest.partition("/")[0]
    user, at, _ = authority.rpartition("@")
    if at and (":" in user or scheme in _NAMES_ARE_SECRET):
        return rest.rindex("@") if ":" in user else len(user)
    # A colon stands before a port, and in brackets.
    if not at and "@" in rest and re.search(r":(?!\d*$)", authority.rpartition("]")[2]):
        return rest.rindex("@")
    return 0
