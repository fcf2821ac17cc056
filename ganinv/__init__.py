"""GANs that can invert themselves: networks, objectives, latent statistics, the training loop.

`load` gives a trained model; `to_pictures` makes Pillow images of what it generates.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ganinv.model import InvertibleGan


def load(
    place: "str | os.PathLike[str]",
    *,
    device: "torch.device | str | None" = None,
    endpoint_url: str | None = None,
) -> "InvertibleGan":
    """A trained model from a run or an export: a directory, file:// or s3://, or a .safetensors.

    Of a run it is the newest checkpoint whose SHA-256 fits; damaged ones are named in the log.
    `device`: None takes a GPU if there is one. `endpoint_url`: of an S3 server other than AWS
    (else AWS_ENDPOINT_URL counts); credentials come from the environment. Raises `StorageError`
    where there is no model that can be loaded, and `ConfigError` for places and options that
    cannot be right.
    """
    # Imported here, so that `import ganinv` stays light.
    from ganinv.saved.loading import load as load_place

    return load_place(place, device=device, endpoint_url=endpoint_url)


def to_pictures(image_BCHW: "torch.Tensor") -> "list[Image]":
    """Pillow images of a batch B × C × H × W in [−1, 1], C = 1 or 3; see `ganinv.pictures`."""
    from ganinv.pictures import to_pictures as pictures_of

    return pictures_of(image_BCHW)
