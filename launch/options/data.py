"""Options and help texts of `ganinv data VERB`."""

from dataclasses import dataclass

from datasets.sources.base import DEFAULT_MAX_PIXELS, BuildOptions
from datasets.sources.find import source_names
from ganinv.errors import ConfigError
from ganinv.kinds.kind import DEEP, RGB8, Kind
from ganinv.kinds.png import need_deep


@dataclass(frozen=True, kw_only=True, slots=True)
class DataBuildOptions(BuildOptions):
    """Options of `data build`."""

    url: str  # directory, file://, s3://BUCKET/PREFIX, gs://, az:// …


@dataclass(frozen=True, kw_only=True, slots=True)
class DataIndexOptions:
    """Options of `data index`."""

    url: str
    checksums: bool = False  # read every byte, and store a SHA-256 per tar and a CRC-32 per image
    split_by_name: bool = True  # False: all tars are for training, whatever their names
    # Training samples to reserve for tests: a number, or a share in (0, 1); None: as before.
    test_images: int | float | None = None
    max_unreadable: float = 0.01  # largest ratio, 0–1, of images that may be left out
    # What images are decoded to, see `data build`; None: as before, or RGB of 8 bits.
    channels: int | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        problems = []
        wanted = self.test_images
        is_share = isinstance(wanted, float) and 0 < wanted < 1
        is_count = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 0
        if wanted is not None and not is_share and not is_count:
            problems.append(
                f"data.test_images={wanted} is neither a number of images nor a share between 0 and"
                " 1; give for example 1000 or 0.01, or 0 to reserve none"
            )
        if not 0 <= self.max_unreadable <= 1:
            problems.append(
                f"data.max_unreadable={self.max_unreadable} is not a ratio; give one within 0–1"
            )
        try:
            kind = self.kind
        except ConfigError as problem:
            problems.append(f"data.{problem}")
        else:
            if kind is not None and kind.bits == DEEP:
                need_deep(f"data.bits={DEEP}")
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def kind(self) -> Kind | None:
        """What images are decoded to; None if it is not chosen."""
        if self.channels is None and self.bits is None:
            return None
        return Kind(
            channels=RGB8.channels if self.channels is None else self.channels,
            bits=RGB8.bits if self.bits is None else self.bits,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DataVerifyOptions:
    """Options of `data verify`."""

    url: str
    quarantine: bool = False  # list the corrupt samples beside the index
    workers: int | None = None  # threads; None: one per core


@dataclass(frozen=True, kw_only=True, slots=True)
class DataListOptions:
    """Options of `data ls`."""

    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointOptions:
    """The S3 server. Credentials come from the environment."""

    endpoint_url: str | None = None  # None: AWS


SECTIONS: dict[str, type] = {
    "build": DataBuildOptions,
    "index": DataIndexOptions,
    "verify": DataVerifyOptions,
    "ls": DataListOptions,
}
DESCRIPTIONS = {
    "build": "Make WebDataset shards and their index from images.",
    "index": "Index existing WebDataset tars, without rewriting them.",
    "verify": "Read every byte, compare it with the index, and decode every image.",
    "ls": "Show what a data set holds.",
}
EXAMPLES = {
    "build": f"""\
SOURCE is a folder of photographs, or one of {", ".join(source_names())}.
All of these except avatars and discs, which are drawn, read data.input=DIRECTORY; webdataset
(tars), parquet (Parquet and Arrow files), stylegan (zip archives) and idx (files in the format of
MNIST) also read a URL. docs/data.md says where to get each data set.

To resume an interrupted build, repeat the command; finished shards are kept.

options:
  data.url=URL              where the shards go: a directory, file://, s3://, gs://, az:// …
  data.images=N             number of images, spread evenly over the input; default: all images
                            (avatars and discs: 8192)
  data.resolution=PX        pixels a side, or WIDTHxHEIGHT, such as 128x96
  data.resize=crop|stretch|pad
                            keep the centre of each photograph, the whole photograph, stretched, or
                            the whole photograph, centred on black and never enlarged
  data.align=faces          cut the largest face out of each photograph, turned and scaled as in
                            FFHQ; needs the extra faces. Photographs without a face are left out
  data.seed=N               seed of the drawn images
  data.shard_bytes=N        size of a shard; default: 64 MiB
  data.attributes=FILE      for folders: CSV or JSONL with a column 'file'
  data.image_column=NAME    for Parquet and Arrow files with several columns of images
  data.max_unreadable=RATIO largest ratio of images or rows that may be left out; default: 0.01
  data.max_pixels=N         images of more pixels are left out; default: {DEFAULT_MAX_PIXELS}
  data.split_by_name=false  names of folders (train, val, test …) do not decide the split
  data.drop_duplicates=true leave out images with the pixels of an earlier image; they are always
                            listed
  data.check=time|content   when a repeated build compares the contents of its input: if a file has
                            another time, size or inode (or ETag), or always
  data.workers=N            processes; default: one per core
  storage.endpoint_url=URL  of an S3 server other than AWS

examples:
  ganinv data build avatars data.url=s3://ganinv/avatars32 data.images=8192
  ganinv data build ~/photos data.url=runs/photos64 data.resolution=64
  ganinv data build ~/photos data.url=runs/faces64 data.resolution=64 data.align=faces \\
      data.max_unreadable=0.2
  ganinv data build celeba data.input=~/celeba data.url=s3://ganinv/celeba128 \\
      data.resolution=128 data.resize=stretch
  ganinv data build parquet data.input=~/hub/data data.url=runs/hub64 data.resolution=64
  ganinv data build idx data.input=/usr/share/datasets/fashion-mnist data.url=runs/fashion32 \\
      data.resolution=32 data.resize=pad
""",
    "index": """\
Reads only headers, by ranged reads. data.checksums=true reads every byte and stores a SHA-256 of
each tar, so that data verify can compare the bytes. Names of folders and tars (train, val, test …)
decide the split; with data.split_by_name=false, all tars are for training.

data.test_images=N reserves N of the training images for tests, or a share such as 0.01, chosen by
their keys. The tars stay as they are. Later calls keep that choice; data.test_images=0 ends it.
Samples that cannot be used are left out and named, up to the ratio data.max_unreadable=0.01:
corrupt images, images of another size, several images or none under one key, attributes that are
not a JSON object.

examples:
  ganinv data index data.url=s3://bucket/existing-webdataset
  ganinv data index data.url=s3://bucket/existing-webdataset data.checksums=true
  ganinv data index data.url=s3://bucket/existing-webdataset data.test_images=1000
""",
    "verify": """\
The exit status is 0 if there is no problem, else 3. data.quarantine=true lists corrupt samples in
quarantine.json beside the index, so that training excludes them; the status is then 0 if there is
no other problem. data.workers=N sets the number of threads; default: one per core.

examples:
  ganinv data verify data.url=s3://ganinv/avatars32
  ganinv data verify data.url=s3://ganinv/avatars32 data.quarantine=true --json
""",
    "ls": "example:\n  ganinv data ls data.url=s3://ganinv/avatars32 --json\n",
}
