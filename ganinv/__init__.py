"""GANs that can invert themselves: networks, objectives, latent statistics, the training loop.

`load` returns a trained model; `to_pictures` turns the images that it generates into Pillow images.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ganinv.inputs import Floats
    from ganinv.model import InvertibleGan


def load(
    place: "str | os.PathLike[str]",
    *,
    device: "torch.device | str | int | None" = None,
    delta: "str | os.PathLike[str] | None" = None,
    endpoint_url: str | None = None,
) -> "InvertibleGan":
    """A trained model from a run or an export: a directory, file:// or s3://, or a .safetensors.

    For a run, loads the newest checkpoint whose SHA-256 hashes match; the log names corrupt
    checkpoints. `device`: a name, or the number of a GPU; None chooses a GPU if there is one. The
    weights keep their type, whatever torch's default type and device are. `delta`: a file of
    `ganinv invert`, with weights tuned to one image; applied to the model in memory only.
    `endpoint_url`: the endpoint of an S3 server other than AWS (default: AWS_ENDPOINT_URL);
    credentials come from the environment.
    Raises `StorageError` if the place holds no model that can be loaded, and `ConfigError` for an
    invalid place, device or option, or a delta of another model.
    """
    # Imported here, so that `import ganinv` does not import torch.
    from ganinv.saved.loading import load as load_place

    return load_place(place, device=device, delta=delta, endpoint_url=endpoint_url)


def to_pictures(image_BCHW: "Floats") -> "list[Image]":
    """Pillow images of a batch B × C × H × W in [−1, 1], C = 1 to 4; see `ganinv.pictures`.

    Raises `DataError` for other shapes, types and values, and `ConfigError` if Pillow is missing.
    """
    from ganinv.pictures import to_pictures as pictures_of

    return pictures_of(image_BCHW)
