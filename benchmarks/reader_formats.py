"""The same JPEG files in the format of every reader: tars with our index, MDS, LitData's chunks."""

import importlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import numpy as np
from PIL import Image

from benchmarks.readers import RESOLUTION
from cluster.storage.opening import open_store
from datasets.building.index_existing import index_existing

DISTINCT = 500  # different images; all further images repeat these under other keys
SHARD_SAMPLES = 1000
SHARD_BYTES = 8 * 2**20  # shard size of the other formats; about the same as 1000 samples
URL_LIFETIME_S = 6 * 3600


def jpegs(count: int) -> Iterator[bytes]:
    """JPEG files of about 15 kB, like photographs of this size."""
    made: list[bytes] = []
    for number in range(count):
        if number < DISTINCT:
            random = np.random.default_rng(number)
            coarse = random.integers(0, 256, (24, 24, 3), np.uint8)
            picture = Image.fromarray(coarse).resize((RESOLUTION,) * 2, Image.Resampling.BICUBIC)
            noise = random.integers(-12, 13, (RESOLUTION, RESOLUTION, 3))
            noisy = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(noisy).save(buffer, "JPEG", quality=88)
            made.append(buffer.getvalue())
        yield made[number % DISTINCT]


def write_tars(folder: Path, count: int) -> list[str]:
    """Write WebDataset tars and our index; returns the paths of the tars."""
    (folder / "train").mkdir(parents=True)
    paths: list[str] = []
    tar = None
    for number, data in enumerate(jpegs(count)):
        if number % SHARD_SAMPLES == 0:
            if tar is not None:
                tar.close()
            paths.append(str(folder / "train" / f"{number // SHARD_SAMPLES:05}.tar"))
            tar = tarfile.open(paths[-1], "w")  # noqa: SIM115 (closed before the next tar is opened)
        info = tarfile.TarInfo(f"{number:08}.jpg")
        info.size = len(data)
        assert tar is not None  # noqa: S101
        tar.addfile(info, io.BytesIO(data))
    if tar is not None:
        tar.close()
    index_existing(open_store(str(folder)), checksums=True)
    return paths


def write_mosaic(folder: Path, count: int) -> None:
    """Write MDS shards without compression or hashes."""
    streaming = importlib.import_module("streaming")
    columns = {"jpg": "bytes", "key": "str"}
    with streaming.MDSWriter(out=str(folder), columns=columns, size_limit=SHARD_BYTES) as out:
        for number, data in enumerate(jpegs(count)):
            out.write({"jpg": data, "key": f"{number:08}"})


def write_litdata(folder: Path, count: int) -> None:
    """Write LitData chunks without compression."""
    litdata = importlib.import_module("litdata")
    images = list(jpegs(min(count, DISTINCT)))

    def sample(number: int) -> dict[str, Any]:
        return {"jpg": images[number % DISTINCT], "key": f"{number:08}"}

    litdata.optimize(
        fn=sample,
        inputs=list(range(count)),
        output_dir=str(folder),
        chunk_bytes=SHARD_BYTES,
        num_workers=1,
        start_method="fork",  # the function holds the images
    )


WRITERS: Mapping[str, Callable[[Path, int], Any]] = {
    "ganinv": write_tars,
    "mosaicml-streaming": write_mosaic,
    "litdata": write_litdata,
}


def upload(folder: Path, url: str) -> None:
    """Upload every file below a folder."""
    store = open_store(url)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.write(path.relative_to(folder).as_posix(), path)


def signed_urls(url: str, names: list[str]) -> list[str]:
    """How webdataset reads S3 objects: pipes from curl, with the signature in the URL."""
    client = botocore.session.get_session().create_client("s3")
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return [
        "pipe:curl -s -f '{}'".format(
            client.generate_presigned_url(
                "get_object",
                Params={"Bucket": bucket, "Key": f"{prefix}/{name}"},
                ExpiresIn=URL_LIFETIME_S,
            )
        )
        for name in names
    ]
