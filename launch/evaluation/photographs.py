"""The photographs that a command about a model works on: which they are, and how they are read."""

from pathlib import Path

from datasets.inputs.left_out import LeftOut
from datasets.inputs.listing import Listing, list_images, refuse_no_images
from datasets.sources.photographs import Photographs
from ganinv.alignment.aligning import alignment_of, check_kind
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.sizes import Size


def list_photographs(
    images: str, to: str | None, section: str, max_unreadable: float
) -> tuple[Path, Listing]:
    """The folder, and the images in it, of `SECTION.images`; one image may be named, too.

    Raises `ConfigError` for a place that is unusable or holds the results, `SECTION.to`, and
    `DataError` if more is left out than `SECTION.max_unreadable`.
    """
    source = Path(images)
    if not source.exists():
        raise ConfigError(
            f"{section}.images = {source}: there is no such folder or image; name another one"
        )
    if to is not None and Path(to).resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"{section}.to = {to}: lies in {section}.images, so that results would count as "
            f"images; choose a folder outside of {section}.images"
        )
    if source.is_file():
        return source.parent, Listing(names=[source.name], left_out=LeftOut())
    found = list_images(source)
    if not found.names:
        raise refuse_no_images(f"{section}.images = {source}", found.left_out)
    found.left_out.check(max_unreadable, f"{section}.max_unreadable")
    return source, found


def photographs_of(
    model: InvertibleGan, folder: Path, listing: Listing, section: str, *,
    align: str | None, max_unreadable: float, max_pixels: int,
) -> Photographs:  # fmt: skip
    """Reads what `list_photographs` has found, in the size and kind of the model's images.

    `align`: the option `SECTION.align`; None: as the model's data. Raises as `alignment_of`.
    """
    _, height, width = model.image_shape
    alignment = alignment_of(align, model.alignment, f"{section}.align")
    check_kind(alignment, model.kind)
    return Photographs(
        folder=folder,
        names=listing.names,
        size=Size(width=width, height=height),
        kind=model.kind,
        max_unreadable=max_unreadable,
        max_pixels=max_pixels,
        options=section,
        alignment=alignment,
        left_out=listing.left_out,
    )
