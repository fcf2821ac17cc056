"""`ganinv data VERB`: make, index, verify and list data sets."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.building.index_existing import index_existing
from datasets.building.report import BuildReport
from datasets.shards.index import Index
from datasets.shards.quarantine import QUARANTINE_NAME
from datasets.shards.shard import Shard
from datasets.shards.splits import SPLITS
from datasets.shards.verify import Problem, verify, write_quarantine
from datasets.sources.base import Inputs
from datasets.sources.find import find_source
from datasets.sources.input_places import check_folder
from ganinv.errors import ConfigError, DataError
from ganinv.seams.stores import Store
from launch.options.arguments import Arguments, parse
from launch.options.data import (
    DESCRIPTIONS,
    EXAMPLES,
    SECTIONS,
    DataBuildOptions,
    DataIndexOptions,
    DataListOptions,
    DataVerifyOptions,
    EndpointOptions,
)
from launch.options.sections import read_sections
from launch.progress import console, counting

NAMED_AT_MOST = 20  # files or problems that are listed one by one
OpenStore = Callable[[str], Store]


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: ganinv data VERB …\n")
        print("\n".join(f"  {verb:<7} {text}" for verb, text in DESCRIPTIONS.items()))
        return 0 if argv else 2
    verb, *rest = argv
    if verb not in DESCRIPTIONS:
        raise ConfigError(f"data {verb!r}: no such command; choose {', '.join(DESCRIPTIONS)}")
    names = "SOURCE" if verb == "build" else ""
    arguments = parse(rest, f"data {verb}", DESCRIPTIONS[verb], EXAMPLES[verb], names)
    sections = read_sections(
        arguments.options, {"data": SECTIONS[verb], "storage": EndpointOptions}
    )
    options = sections["data"]
    at_endpoint = partial(open_store, endpoint_url=sections["storage"].endpoint_url)
    return _COMMANDS[verb](arguments, options, at_endpoint)


def _build(arguments: Arguments, options: DataBuildOptions, at_endpoint: OpenStore) -> int:
    out = console(arguments.as_json)
    store = at_endpoint(options.url)
    with counting(out) as watching:
        inputs = Inputs(open_store=at_endpoint, show_progress=watching)
        source = find_source(arguments.names[0], options, inputs)
        announce = partial(out.print, markup=False, soft_wrap=True)
        index = build(source, store, options, watching("images"), announce)
    report = BuildReport.load(store)
    _print_report(report, out)
    if not index.samples("test"):
        out.print(
            "The test split is empty, so figures that need held-out images cannot be measured.",
            soft_wrap=True,
        )
    return _print_index(arguments, index, store, left_out=report.left_out.counts())


def _print_report(report: BuildReport, out: Console) -> None:
    """List the skipped images and the duplicates of a build, and count all that was left out."""
    if report.skipped:
        out.print(f"{len(report.skipped)} {_skipped(report)} were skipped:")
        for skipped in report.skipped[:NAMED_AT_MOST]:
            out.print(f"  {skipped.path}: {skipped.reason}", markup=False)
    if report.duplicates:
        fate = "left out" if report.dropped else "kept (data.drop_duplicates=true leaves them out)"
        out.print(f"{len(report.duplicates)} images have the pixels of an earlier image, {fate}:")
        for duplicate in report.duplicates[:NAMED_AT_MOST]:
            out.print(f"  {duplicate.key} = {duplicate.first}", markup=False)
    if line := report.closing_line:
        out.print(line, markup=False, soft_wrap=True)


def _skipped(report: BuildReport) -> str:
    """What the skipped images are."""
    kinds = {skipped.kind for skipped in report.skipped}
    return kinds.pop() if len(kinds) == 1 else "images"


def _index(arguments: Arguments, options: DataIndexOptions, at_endpoint: OpenStore) -> int:
    check_folder("data.url", options.url)
    store = at_endpoint(options.url)
    with counting(console(arguments.as_json)) as watching:
        index = index_existing(
            store,
            watching("shards"),
            checksums=options.checksums,
            split_by_name=options.split_by_name,
            test_images=options.test_images,
            max_unreadable=options.max_unreadable,
            kind=options.kind,
        )
    report = BuildReport.load(store)
    if line := report.closing_line:
        console(arguments.as_json).print(line, markup=False, soft_wrap=True)
    return _print_index(arguments, index, store, left_out=report.left_out.counts())


def _verify(arguments: Arguments, options: DataVerifyOptions, at_endpoint: OpenStore) -> int:
    store = at_endpoint(options.url)
    out = console(arguments.as_json)
    index = Index.load(store)
    with counting(out) as watching:
        problems = verify(index, store, watching("images"), workers=options.workers)
    if arguments.as_json:
        print(json.dumps({"problems": [p._asdict() for p in problems]}))
    elif problems:
        out.print(_problem_table(problems))
    listed = write_quarantine(index, store, problems) if options.quarantine else 0
    if options.quarantine:
        out.print(f"{listed} samples are listed in {QUARANTINE_NAME}; training excludes them")
    if len(problems) > listed:
        remedy = "build the data set again"
        if not options.quarantine and any(problem.key is not None for problem in problems):
            remedy += ", or exclude corrupt samples by data.quarantine=true"
        raise DataError(f"{store.url}: {len(problems) - listed} problems; {remedy}")
    if not problems:
        without = sum(shard.sha256 is None for shard in index.tars)
        out.print(f"{store.url}: the data set agrees with its index; every image can be decoded")
        if without:
            out.print(
                f"{without} shards were indexed without checksums, so their bytes could not be"
                " compared; data index data.checksums=true adds checksums"
            )
    return 0


def _problem_table(problems: Sequence[Problem]) -> Table:
    table = Table("shard", "sample", "reason", box=None)
    for problem in problems[:NAMED_AT_MOST]:
        table.add_row(*(escape(text or "all") for text in problem))
    if len(problems) > NAMED_AT_MOST:
        table.add_row("…", "", f"{len(problems) - NAMED_AT_MOST} more; --json lists all")
    return table


def _list(arguments: Arguments, options: DataListOptions, at_endpoint: OpenStore) -> int:
    store = at_endpoint(options.url)
    return _print_index(arguments, Index.load(store), store)


def _print_index(arguments: Arguments, index: Index, store: Store, **more: Any) -> int:
    """Print what a data set holds, as a table or as JSON; returns the exit status.

    `more`: further entries of the JSON object.
    """
    if arguments.as_json:
        splits = {
            split: {
                "samples": index.samples(split),
                "shards": [{"name": s.name, "samples": s.samples} for s in index.splits[split]],
            }
            for split in SPLITS
        }
        size = {"width": index.width, "height": index.height, "resolution": index.resolution}
        facts: dict[str, Any] = {"url": store.url, **size, "splits": splits}
        facts |= index.kind.facts()
        facts |= {"test_images": index.test_images} if index.test_images else {}
        facts |= {"fingerprint": index.fingerprint, "description": dict(index.description)}
        print(json.dumps(facts | more))
        return 0
    out = console()
    kind = f", {index.kind}" if index.kind.facts() else ""
    out.print(f"{store.url}: {index.width} × {index.height} pixels{kind}", markup=False)
    table = Table("split", "images", "shards", "size", box=None)
    for split in SPLITS:
        shards = index.splits[split]
        megabytes = sum(_bytes(shard) for shard in shards) / 1e6
        table.add_row(split, f"{index.samples(split):,}", str(len(shards)), f"{megabytes:.1f} MB")
    out.print(table)
    return 0


def _bytes(shard: Shard) -> float:
    """The size of a shard's samples: about their share of the tar, if splits share it."""
    return shard.size_bytes * shard.samples / (shard.whole or shard).samples


_COMMANDS: dict[str, Callable[[Arguments, Any, OpenStore], int]] = {
    "build": _build,
    "index": _index,
    "verify": _verify,
    "ls": _list,
}
