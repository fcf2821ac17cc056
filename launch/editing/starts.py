"""The pictures that `ganinv edit` starts from: photographs, samples, data, a settings file.

Shapes: B pictures, C × H × W pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from torch import Tensor

from datasets.shards.index import Index
from datasets.shards.splits import Split
from datasets.sources.photographs import Photographs
from datasets.streaming.decoding import stack_images
from datasets.streaming.samples import read_samples
from ganinv.editing.edits import Editor, Points
from ganinv.editing.settings import Settings, start_of
from ganinv.errors import ConfigError, DataError
from ganinv.inversion.optimise import Optimisation, RefineConfig
from ganinv.model import InvertibleGan
from ganinv.pictures import shown, to_signed
from ganinv.seams.stores import Store
from launch.evaluation.inversion import picture_names

Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Start:
    """One picture: its point, 1 × …, before any edit of this call."""

    name: str  # of its files, perhaps with folders, without suffix; all differ
    origin: str  # in words
    points: Points
    image_CHW: Tensor | None = None  # uint8, the photograph if there is one
    strengths: Mapping[str, float] = field(default_factory=dict)  # of its settings file


class Encoding:
    """Images to points: E(x), refined if asked. `editor` encodes one image at a time.

    Raises `ConfigError` for a model without an encoder, and for impossible refinements.
    """

    def __init__(self, model: InvertibleGan, editor: Editor, refine: RefineConfig | None) -> None:
        if not model.encodes and refine is None:
            raise ConfigError(
                "edit: this model's method has no encoder; give edit.samples=N, or "
                "refine.starts=[mean,random]"
            )
        self._editor = editor
        try:
            self._refine = None if refine is None else Optimisation(model, refine)
        except ConfigError as error:
            raise ConfigError(f"refine.{error}") from error

    @property
    def passes(self) -> int:
        """How often a call tells `advance` of an image, at most."""
        return 0 if self._refine is None else self._refine.evaluations

    def __call__(self, image_BCHW: Tensor, advance: Advance) -> list[Points]:
        """The points of images as `Batch` holds them, each 1 × …"""
        real_BCHW = to_signed(image_BCHW)
        if self._refine is None:
            found = self._editor.encode(real_BCHW)
        else:
            refined = self._refine(real_BCHW, progress=advance)
            found = Points(refined.space, refined.point)
        return [Points(found.space, value[None]) for value in found.values]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where pictures come from. `begin` gives them in order, and holds one batch of them."""

    count: int
    begin: Callable[[Advance], Iterator[Start]]
    passes: int = 0  # how often `begin` tells of an image, at most
    photographs: Photographs | None = None


def of_photographs(photographs: Photographs, encoding: Encoding, batch_size: int) -> Source:
    """The photographs that can be read."""
    places = picture_names(photographs.names)

    def begin(advance: Advance) -> Iterator[Start]:
        read = photographs.read()
        while batch := list(islice(read, batch_size)):
            image_BCHW = stack_images([image for _, image in batch])
            points = encoding(image_BCHW, advance)
            for (name, _), image_CHW, one in zip(batch, shown(image_BCHW), points, strict=True):
                yield Start(
                    name=places[name].removesuffix(".png"),
                    origin=name,
                    points=one,
                    image_CHW=image_CHW,
                )

    return Source(
        count=len(photographs.names),
        begin=begin,
        passes=encoding.passes,
        photographs=photographs,
    )


def of_data(
    data: tuple[Store, Index], split: Split, count: int, encoding: Encoding, batch_size: int
) -> Source:
    """The first images of a split. Raises `DataError` if it has fewer."""
    store, index = data
    if count > index.samples(split):
        raise DataError(
            f"edit.data = {count}: the split {split!r} has {index.samples(split)} images; give a "
            "smaller number"
        )

    def begin(advance: Advance) -> Iterator[Start]:
        for first in range(0, count, batch_size):
            size = min(batch_size, count - first)
            image_BCHW, keys, _ = read_samples(store, index, split, first, size)
            points = encoding(image_BCHW, advance)
            for key, image_CHW, one in zip(keys, shown(image_BCHW), points, strict=True):
                name = key.replace("..", "--").strip("/")  # other programs make keys, too
                yield Start(name=name, origin=key, points=one, image_CHW=image_CHW)

    return Source(count=count, begin=begin, passes=encoding.passes)


def of_samples(editor: Editor, count: int, seed: int) -> Source:
    """Generated pictures; seed and number determine each."""

    def begin(_: Advance) -> Iterator[Start]:
        for number in range(count):
            yield Start(
                name=f"seed-{seed}-{number:04d}",
                origin=f"seed {seed}, number {number}",
                points=editor.sample([number], seed),
            )

    return Source(count=count, begin=begin)


def of_settings(editor: Editor, path: Path, settings: Settings) -> Source:
    """The picture of a settings file. Raises as `start_of`."""
    start = Start(
        name=path.stem,
        origin=settings.origin,
        points=start_of(editor, settings),
        strengths=settings.strengths,
    )
    return Source(count=1, begin=lambda _: iter([start]))


def read_settings(path: Path) -> Settings:
    """Raises `ConfigError` for a file that cannot be read, else as `Settings.from_json`."""
    try:
        return Settings.from_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"edit.settings = {path}: {error.strerror or error}; name a file that ganinv edit or "
            "ganinv studio saved"
        ) from error
