"""Small inputs in the exact layout that each source reads, with made images."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from PIL import Image

# Images of each input, and how many of them train.
IMAGES, TRAINING = 19, 13


def photo(number: int, size: tuple[int, int] = (24, 20), kind: str = "PNG") -> bytes:
    """An encoded image, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, lossless=True, quality=95)
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes], tar_format: int = tarfile.PAX_FORMAT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def celeba(folder: Path) -> Path:
    """The aligned images with both lists; images 14 to 16 are for validation."""
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    partition, rows = [], []
    total = IMAGES + 3
    for number in range(1, total + 1):
        name = f"{number:06d}.jpg"
        (images / name).write_bytes(photo(number, (178, 218), "JPEG"))
        part = 0 if number <= TRAINING else 1 if number <= TRAINING + 3 else 2
        partition.append(f"{name} {part}")
        rows.append(f"{name}  {1 if number % 2 else -1} -1")
    (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    (folder / "list_attr_celeba.txt").write_text(
        "\n".join([str(total), "Smiling Young", *rows]) + "\n"
    )
    return folder


def ffhq(folder: Path) -> Path:
    """Numbers around the border between the splits, in sub-folders of thousands."""
    for number in range(60_000 - TRAINING, 60_000 - TRAINING + IMAGES):
        path = folder / f"{number // 1000 * 1000:05d}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(number))
    return folder


def lsun(folder: Path) -> Path:
    for split, numbers in (("train", range(TRAINING)), ("val", range(TRAINING, IMAGES))):
        path = folder / f"bedroom_{split}_lmdb"
        path.mkdir(parents=True)
        with lmdb.open(str(path), map_size=2**20) as database, database.begin(write=True) as view:
            for number in numbers:
                view.put(f"{number * 7919 % 1000:040x}".encode(), photo(number, kind="WEBP"))
    return folder


def webdataset(folder: Path) -> Path:
    """Three tars whose keys repeat, with attributes beside some images."""
    for name, numbers in (
        ("faces/train-0000.tar", range(7)),
        ("faces/train-0001.tar", range(7, TRAINING)),
        ("faces/val-0000.tar", range(TRAINING, IMAGES)),
    ):
        members: dict[str, bytes] = {}
        for place, number in enumerate(numbers):
            members[f"{place:03d}.jpg"] = photo(number, kind="JPEG")
            if place % 2:
                members[f"{place:03d}.json"] = json.dumps({"number": number}).encode()
            members[f"{place:03d}.txt"] = b"aside"
        write_tar(folder / name, members)
    return folder


def parquet(folder: Path) -> Path:
    """The hub's layout, in row groups of five, with a column that is no attribute."""
    for split, numbers in (("train", range(TRAINING)), ("test", range(TRAINING, IMAGES))):
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        images = [{"bytes": photo(number), "path": f"{number}.png"} for number in numbers]
        table = pa.table(
            {
                "image": images,
                "label": list(numbers),
                "score": [float("nan")] * len(numbers),
                "boxes": [[1, 2]] * len(numbers),
            }
        )
        pyarrow.parquet.write_table(table, path, row_group_size=5)
    return folder


def stylegan(folder: Path) -> Path:
    """The layout of StyleGAN's dataset_tool.py, below folders of splits."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = []
    with zipfile.ZipFile(folder / "faces-32x32.zip", "w") as archive:
        for number in range(IMAGES):
            split = "train" if number < TRAINING else "val"
            name = f"{split}/00000/img{number:08d}.png"
            archive.writestr(name, photo(number))
            labels.append([name, number % 3])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return folder


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    """A file in the format of MNIST."""
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes((0, 0, 8, values.ndim)) + sizes + values.tobytes()


def idx(folder: Path) -> Path:
    """The names of MNIST; the images for training are compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 20, 24), np.uint8)
    labels = (np.arange(IMAGES) % 10).astype(np.uint8)
    train = gzip.compress(idx_bytes(images[:TRAINING]))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(train)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels[:TRAINING]))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(images[TRAINING:]))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(labels[TRAINING:]))
    return folder


# A source that reads an input needs one here, for the test that all sources have to pass.
MAKERS: dict[str, Callable[[Path], Path]] = {
    "celeba": celeba,
    "ffhq": ffhq,
    "lsun": lsun,
    "webdataset": webdataset,
    "parquet": parquet,
    "stylegan": stylegan,
    "idx": idx,
}
