"""The boundaries of a model; unless a person says otherwise, they lie in its folder."""

from collections.abc import Callable

from ganinv.boundaries.boundary import Boundary, check_model
from ganinv.boundaries.files import read_boundaries
from ganinv.errors import DataError, StorageMissingError
from ganinv.model import InvertibleGan
from ganinv.saved.format import SUFFIX
from ganinv.saved.identity import identity

BOUNDARIES = "boundaries.safetensors"


def beside(model: str) -> str:
    """The place of the boundaries of a run, an exported folder or an exported file."""
    if not model.endswith(SUFFIX):
        return f"{model.rstrip('/')}/{BOUNDARIES}"
    folder, slash, _ = model.rpartition("/")
    return f"{folder}{slash}{BOUNDARIES}"


def boundaries_of(
    model: InvertibleGan, place: str, file: str | None, endpoint_url: str | None,
    tell: Callable[[str], None],
) -> list[Boundary]:  # fmt: skip
    """Those of the `file` that is named, else those beside the model at `place`.

    `tell` hears why boundaries beside the model are not used: they belong to another one, perhaps
    to an earlier checkpoint. Raises `StorageError` for a file that cannot be read.
    """
    if file is not None:
        return read_boundaries(file, endpoint_url=endpoint_url)
    url = beside(place)
    try:
        found = read_boundaries(url, endpoint_url=endpoint_url)
        check_model(found, identity(model))
    except StorageMissingError:
        return []
    except DataError as error:
        tell(f"{url} is not used: {error}")
        return []
    return found
