"""What may be typed after `ganinv data VERB`, and what its help says."""

from dataclasses import dataclass

from datasets.sources.base import BuildOptions
from datasets.sources.find import source_names


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildWords(BuildOptions):
    """Options of `data build`."""

    url: str  # directory, file://, s3://BUCKET/PREFIX, gs://, az:// …


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexWords:
    """Options of `data index`."""

    url: str
    checksums: bool = False  # read every byte, for a SHA-256 of each tar


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyWords:
    """Options of `data verify`."""

    url: str
    quarantine: bool = False  # list the damaged samples beside the index
    workers: int | None = None  # threads; one a core


@dataclass(frozen=True, kw_only=True, slots=True)
class ListWords:
    """Options of `data ls`."""

    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointOptions:
    """Where S3 is, if not at AWS; credentials come from the environment."""

    endpoint_url: str | None = None


SECTIONS: dict[str, type] = {
    "build": BuildWords,
    "index": IndexWords,
    "verify": VerifyWords,
    "ls": ListWords,
}
DESCRIPTIONS = {
    "build": "Make WebDataset shards and their index from images.",
    "index": "Index WebDataset tars that are already there, without rewriting them.",
    "verify": "Read every byte again, compare it with the index, and decode every image.",
    "ls": "Say what a data set holds.",
}
EXAMPLES = {
    "build": f"""\
SOURCE is a folder of photographs (jpg, png, webp), or one of {", ".join(source_names())}.
All but avatars, which are drawn, read data.input=DIRECTORY; webdataset (tars) and parquet (Parquet
and Arrow files) also take a URL there. docs/data.md says where people get the others.

The same command goes on where an interrupted one stopped, and leaves finished shards alone.

options:
  data.url=URL              where the shards go: a directory, file://, s3://, gs://, az:// …
  data.images=N             so many, spread evenly; without it all of them (avatars: 8192)
  data.resolution=PX        pixels a side, or WIDTHxHEIGHT (the networks take squares)
  data.resize=crop|stretch  the centre of each photograph, or all of it out of shape
  data.seed=N               of the drawn faces
  data.shard_bytes=N        size of a shard; 64 MiB
  data.attributes=FILE      for folders: CSV or JSONL with a column 'file'
  data.image_column=NAME    for Parquet and Arrow files with several columns of images
  data.max_unreadable=RATIO of images that may be skipped; 0.01
  data.drop_duplicates=true leaves out images whose pixels came before; they are listed anyway
  data.workers=N            processes; one a core
  storage.endpoint_url=URL  of an S3 server other than AWS

examples:
  ganinv data build avatars data.url=s3://ganinv/avatars32 data.images=8192
  ganinv data build ~/photos data.url=runs/photos64 data.resolution=64
  ganinv data build celeba data.input=~/celeba data.url=s3://ganinv/celeba128 \\
      data.resolution=128 data.resize=stretch
  ganinv data build parquet data.input=~/hub/data data.url=runs/hub64 data.resolution=64
""",
    "index": """\
Headers alone are read, by ranged reads; data.checksums=true reads every byte, for a SHA-256 of each
tar, so that data verify can compare with it.

examples:
  ganinv data index data.url=s3://bucket/existing-webdataset
  ganinv data index data.url=s3://bucket/existing-webdataset data.checksums=true
""",
    "verify": """\
Exit status 0 if all is well, else 3. data.quarantine=true lists damaged samples in quarantine.json
beside the index, for training to leave out, and ends with 0 if nothing else is wrong.
data.workers=N sets the number of threads.

examples:
  ganinv data verify data.url=s3://ganinv/avatars32
  ganinv data verify data.url=s3://ganinv/avatars32 data.quarantine=true --json
""",
    "ls": "example:\n  ganinv data ls data.url=s3://ganinv/avatars32 --json\n",
}
