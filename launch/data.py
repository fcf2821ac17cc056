"""`python -m launch data VERB`: make, index, verify and list data sets."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from cluster.storage import open_store
from datasets.build import build
from datasets.index import Index, index_existing
from datasets.source import SPLITS, BuildOptions, find_source, source_names
from datasets.verify import verify
from ganinv.errors import ConfigError, DataError
from ganinv.seams import Store
from launch.arguments import Arguments, parse
from launch.config import read_sections
from launch.preflight import check_packages
from launch.progress import console, counting

NAMED_AT_MOST = 20  # files or problems named one by one


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSetOptions:
    """Options of the `data` verbs; all but `url` belong to `build`."""

    url: str  # directory, file:// or s3://BUCKET/PREFIX
    images: int | None = None
    resolution: int = 32  # pixels a side
    seed: int = 0
    shard_bytes: int = 64 * 2**20
    attributes: str | None = None  # CSV or JSONL with a column `file`, for folders
    max_unreadable: float = 0.01  # ratio of files of a folder that may be skipped

    def build_options(self) -> BuildOptions:
        return BuildOptions(
            images=self.images,
            resolution=self.resolution,
            seed=self.seed,
            shard_bytes=self.shard_bytes,
            attributes=Path(self.attributes) if self.attributes else None,
            max_unreadable=self.max_unreadable,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointOptions:
    """Where S3 is, if not at AWS; credentials come from the environment."""

    endpoint_url: str | None = None


EXAMPLES = {
    "build": f"""\
SOURCE is one of {", ".join(source_names())}, or a folder of photographs (jpg, png, webp).
Options: data.url data.images data.resolution data.seed data.shard_bytes; for folders also
data.attributes=FILE.csv|FILE.jsonl data.max_unreadable=RATIO; storage.endpoint_url=URL

examples:
  python -m launch data build avatars data.url=s3://ganinv/avatars32 data.images=8192
  python -m launch data build ~/photos data.url=runs/photos64 data.resolution=64
""",
    "index": "example:\n  python -m launch data index data.url=s3://bucket/existing-webdataset\n",
    "verify": "example:\n  python -m launch data verify data.url=s3://ganinv/avatars32\n",
    "ls": "example:\n  python -m launch data ls data.url=s3://ganinv/avatars32 --json\n",
}
DESCRIPTIONS = {
    "build": "Make WebDataset shards and their index from images.",
    "index": "Index WebDataset tars that are already there, without rewriting them.",
    "verify": "Read every byte again, compare it with the index, and decode every image.",
    "ls": "Say what a data set holds.",
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m launch data VERB …\n")
        print("\n".join(f"  {verb:<7} {text}" for verb, text in DESCRIPTIONS.items()))
        return 0 if argv else 2
    verb, *rest = argv
    if verb not in DESCRIPTIONS:
        raise ConfigError(f"data {verb!r}: no such command; choose {', '.join(DESCRIPTIONS)}")
    check_packages()
    names = "SOURCE" if verb == "build" else ""
    arguments = parse(rest, f"data {verb}", DESCRIPTIONS[verb], EXAMPLES[verb], names)
    sections = read_sections(
        arguments.options, {"data": DataSetOptions, "storage": EndpointOptions}
    )
    options: DataSetOptions = sections["data"]
    store = open_store(options.url, endpoint_url=sections["storage"].endpoint_url)
    return _COMMANDS[verb](arguments, options, store)


def _build(arguments: Arguments, options: DataSetOptions, store: Store) -> int:
    out = console(arguments.as_json)
    source = find_source(arguments.names[0], options.build_options())
    with counting(out) as watching:
        index = build(source, store, options.build_options(), watching("images"))
    if source.skipped:
        out.print(f"{len(source.skipped)} unreadable files were skipped:")
        for skipped in source.skipped[:NAMED_AT_MOST]:
            out.print(f"  {skipped.path}: {skipped.reason}", markup=False)
    return _describe(arguments, index, store)


def _index(arguments: Arguments, options: DataSetOptions, store: Store) -> int:
    del options
    with counting(console(arguments.as_json)) as watching:
        index = index_existing(store, watching("shards"))
    return _describe(arguments, index, store)


def _verify(arguments: Arguments, options: DataSetOptions, store: Store) -> int:
    del options
    index = Index.load(store)
    with counting(console(arguments.as_json)) as watching:
        problems = verify(index, store, watching("images"))
    if arguments.as_json:
        print(json.dumps({"problems": [p._asdict() for p in problems]}))
    if problems:
        named = "\n".join(
            f"  {p.shard} {p.key or ''}: {p.reason}" for p in problems[:NAMED_AT_MOST]
        )
        raise DataError(f"{store.url}: {len(problems)} problems; build the data set again\n{named}")
    if not arguments.as_json:
        print(f"{store.url}: every byte is as indexed, every image can be decoded")
    return 0


def _list(arguments: Arguments, options: DataSetOptions, store: Store) -> int:
    del options
    return _describe(arguments, Index.load(store), store)


def _describe(arguments: Arguments, index: Index, store: Store) -> int:
    if arguments.as_json:
        splits = {
            split: {
                "samples": index.samples(split),
                "shards": [{"name": s.name, "samples": s.samples} for s in index.splits[split]],
            }
            for split in SPLITS
        }
        facts = {"url": store.url, "resolution": index.resolution, "splits": splits}
        facts |= {"fingerprint": index.fingerprint, "description": dict(index.description)}
        print(json.dumps(facts))
        return 0
    out = console()
    out.print(f"{store.url}: {index.resolution} × {index.resolution} pixels", markup=False)
    table = Table("split", "images", "shards", "size", box=None)
    for split in SPLITS:
        shards = index.splits[split]
        megabytes = sum(s.size_bytes for s in shards) / 1e6
        table.add_row(split, f"{index.samples(split):,}", str(len(shards)), f"{megabytes:.1f} MB")
    out.print(table)
    return 0


_COMMANDS: dict[str, Callable[[Arguments, DataSetOptions, Store], int]] = {
    "build": _build,
    "index": _index,
    "verify": _verify,
    "ls": _list,
}
