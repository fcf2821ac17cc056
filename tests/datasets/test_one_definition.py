"""Building, indexing, verifying, training, evaluating and inverting agree on what pixels are."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.building.build import build
from datasets.building.index_existing import index_existing
from datasets.parallel import no_progress
from datasets.shards.index import Index
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import write_table
from datasets.shards.tables import Member
from datasets.shards.verify import verify
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.find import find_source
from datasets.sources.photographs import Photographs
from datasets.streaming.config import LoaderConfig
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from datasets.streaming.samples import read_good_images, read_samples
from ganinv.errors import DataError
from ganinv.pictures import to_bytes, to_images
from ganinv.seams.batches import Position
from ganinv.sizes import Size
from tests.support.photo_inputs import write_tar
from tests.support.picture_kinds import KINDS, SIDE

MakeStore = Callable[[str], Any]
READ = [kind for kind in KINDS if KINDS[kind].pixels_HWC is not None]
REFUSED = [kind for kind in KINDS if KINDS[kind].pixels_HWC is None]


def _build(source: str, tars: Any, store: Any) -> Index:
    """`source`: a folder of images, or "webdataset" for the `tars`."""
    options = BuildOptions(resolution=SIDE, input=str(tars.folder) if tars else None)
    inputs = Inputs(open_store=lambda _: tars, show_progress=lambda _: no_progress)
    return build(find_source(source, options, inputs), store, options)


def _trained(store: Any, index: Index) -> Any:
    """The image as the loader gives it to training, H × W × 3."""
    data_set = DataSet(store=store, index=index)
    batches = ShardBatches(
        [data_set], "train", seed=0, global_batch=1, config=LoaderConfig(workers=0)
    ).batches(Position(epoch=0, images=0))
    image_CHW = next(batches).images_BCHW[0]
    batches.close()
    return image_CHW.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", READ)
def test_a_kind_has_the_same_pixels_everywhere(kind: str, make_store: MakeStore) -> None:
    data, extension, expected_HWC = KINDS[kind]
    indexed, built, rebuilt = make_store("indexed"), make_store("built"), make_store("rebuilt")
    write_tar(indexed.folder / "a.tar", {f"x.{extension}": data})
    images = make_store("images").folder
    (images / f"x.{extension}").write_bytes(data)
    found = {}

    index = index_existing(indexed)
    assert verify(index, indexed) == []
    found["loader"] = _trained(indexed, index)
    found["evaluation"] = (
        read_good_images(indexed, index, "train", range(1), Quarantine(0))[1][0]
        .permute(1, 2, 0)
        .numpy()
    )
    found["build of a folder"] = _trained(built, _build(str(images), None, built))
    found["build of tars"] = _trained(rebuilt, _build("webdataset", indexed, rebuilt))
    photographs = Photographs(
        folder=images,
        names=[f"x.{extension}"],
        size=Size(SIDE, SIDE),
        max_unreadable=0,
        max_pixels=SIDE**2,
        options="invert",
    )
    found["invert"] = dict(photographs.read())[f"x.{extension}"]
    with Image.open(io.BytesIO(data)) as picture:
        image_BCHW = to_images(picture, channels=3, size=Size(SIDE, SIDE))
    found["model"] = to_bytes(image_BCHW)[0].permute(1, 2, 0).numpy()

    assert [where for where in found if not np.array_equal(found[where], expected_HWC)] == []


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_kind_is_named_everywhere(kind: str, make_store: MakeStore) -> None:
    data, extension, _ = KINDS[kind]
    store = make_store("tars")
    write_tar(store.folder / "a.tar", {f"x.{extension}": data})
    with pytest.raises(DataError, match=r"a\.tar: x: .*convert it before"):
        index_existing(store)
    with pytest.raises(DataError, match="convert it before"):
        _build("webdataset", store, make_store("built"))

    # An index of a version that did not look.
    member = Member("x", extension, 512, len(data), 0, 0)
    shard = write_table(store, "a.tar", (store.folder / "a.tar").stat().st_size, None, [member])
    index = Index(description={}, width=SIDE, height=SIDE, splits={"train": (shard,), "test": ()})
    (problem,) = verify(index, store)
    assert problem[:2] == ("a.tar", "x")
    assert "convert it before" in problem.reason
    with pytest.raises(DataError, match=r"'x' in a\.tar.*convert it before"):
        read_good_images(store, index, "train", range(1), Quarantine(0))
    with (
        Image.open(io.BytesIO(data)) as picture,
        pytest.raises(DataError, match="convert it before"),
    ):
        to_images(picture, channels=3, size=Size(SIDE, SIDE))


def test_all_kinds_may_be_mixed_in_one_tar(make_store: MakeStore) -> None:
    """Greyscale among colour, too: all images of a batch have three channels."""
    store = make_store("tars")
    members = {f"{n:02}.{KINDS[kind].extension}": KINDS[kind].data for n, kind in enumerate(READ)}
    write_tar(store.folder / "a.tar", members)
    index = index_existing(store)
    assert verify(index, store) == []
    images_BCHW, keys, _ = read_samples(store, index, "train", 0, len(READ))
    for key, image_CHW in zip(keys, images_BCHW, strict=True):
        expected_HWC = KINDS[READ[int(key)]].pixels_HWC
        assert np.array_equal(image_CHW.permute(1, 2, 0).numpy(), expected_HWC)
