"""Where the boundaries of a model lie unless a person says otherwise: in its folder."""

from ganinv.saved.format import SUFFIX

BOUNDARIES = "boundaries.safetensors"


def beside(model: str) -> str:
    """The place of the boundaries of a run, an exported folder or an exported file."""
    if not model.endswith(SUFFIX):
        return f"{model.rstrip('/')}/{BOUNDARIES}"
    folder, slash, _ = model.rpartition("/")
    return f"{folder}{slash}{BOUNDARIES}"
