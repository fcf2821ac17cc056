"""What lies where a data set could be: a data set, nothing, or files of another origin."""

import json
import re
from collections.abc import Collection, Iterable

from datasets.shards.shard import BUILDING_NAME, INDEX_NAME
from datasets.shards.tables import IMAGE_EXTENSIONS
from ganinv.errors import DataError
from ganinv.kinds.kind import CHANNELS, DEEP
from ganinv.places.walking import is_system_file
from ganinv.seams.stores import Store

# A build that was interrupted leaves these beside its marker, a finished one the names without a
# number; `reference/` holds features of held-out images.
_OURS = re.compile(
    r"index\.json|index\.building\.json|build\.json|inputs\.json|quarantine\.json"
    r"|building/\d{5,}\.json|(train|test)/\d{5,}\.(tar|index(-train|-test)?\.safetensors)"
    r"|reference/[^/]+\.safetensors"
)
_IMAGES = tuple(f".{extension}" for extension in (*IMAGE_EXTENSIONS, "heic", "heif"))
_NAMED = 3  # files in a message


def check_room(store: Store) -> None:
    """Raises `DataError` unless a build may write here: nothing is there, or an interrupted build.

    Says what is there instead, and which command makes a data set of it.
    """
    names = [entry.name for entry in store.list() if not _is_litter(entry.name)]
    foreign = [name for name in names if not _OURS.fullmatch(name)]
    tars = [n for n in names if n.endswith(".tar")]
    if BUILDING_NAME not in names and tars:
        foreign = foreign or tars
    if foreign:
        raise DataError(f"data.url={store.url} {describe(store.url, foreign)}")


def describe(url: str, names: Iterable[str]) -> str:
    """What files without an index of ours are, and what to do with them: the end of a message."""
    found = sorted(name for name in names if not _is_litter(name))
    if BUILDING_NAME in found:
        return (
            "holds a `data build` that was interrupted or still runs; repeat the same command,"
            " which resumes it"
        )
    images = [name for name in found if name.lower().endswith(_IMAGES)]
    if images:
        folder, first = url, ""
        if "://" in url and not url.startswith("file://"):
            folder, first = "FOLDER", "copy them to a folder of this machine, and "
        return (
            f"holds images that are no data set ({_some(images)}); {first}make one of them"
            f" elsewhere by `data build {folder} data.url=…`, and name that one"
        )
    for endings, what, remedy in _KINDS:
        fitting = [name for name in found if name.lower().endswith(endings)]
        if fitting:
            return f"holds {what} ({_some(fitting)}); {remedy.format(url=url)}"
    return (
        f"holds files that are no data set ({_some(found)}); choose an empty or a new location"
        " for a data set"
    )


# Endings, what such files are, and what to do with them.
_KINDS = (
    (
        (".tar",),
        "tars without an index",
        "index them by `data index data.url={url}`, or choose another data.url",
    ),
    (
        (".parquet", ".arrow", ".feather"),
        "tables that are no data set",
        "make a data set of them elsewhere by `data build parquet data.input={url} data.url=…`",
    ),
    (
        (".mdb",),
        "LMDB databases",
        "make a data set of them elsewhere by `data build lsun data.input={url} data.url=…`",
    ),
    (
        (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"),
        "compressed tars",
        "decompress them, because tars are read by ranges; then run `data index`",
    ),
    (
        (".zip",),
        "zip archives",
        "if they hold a dataset.json (the layout of StyleGAN), make a data set of them elsewhere by"
        " `data build stylegan data.input={url} data.url=…`; else unpack them into another folder,"
        " for `data build FOLDER data.url=…`",
    ),
    (
        (".7z", ".rar"),
        "archives",
        "unpack them into another folder, and make a data set of that by `data build FOLDER"
        " data.url=…`",
    ),
)


def _is_litter(name: str) -> bool:
    """Whether programs leave such files in folders: .DS_Store, .git/config, ._a.png, Thumbs.db."""
    *folders, file_name = name.split("/")
    return is_system_file(file_name) or any(p.startswith(".") for p in (*folders, file_name))


def is_our_index(data: bytes) -> bool:
    """Whether an `index.json` is ours, of any version, or the beginning of one that was cut off.

    Other programs have an `index.json`, too: MosaicML Streaming, LitData, wids.
    """
    try:
        content = json.loads(data)
    except ValueError:
        return any(ours.startswith(data[: len(ours)]) for ours in _OUR_BEGINNINGS)
    return isinstance(content, dict) and {"fingerprint", "splits"} <= content.keys()


_OUR_BEGINNINGS = tuple(
    f'{{{bits}"channels":{channels},"columns":["name",'.encode()
    for bits in ("", f'"bits":{DEEP},')
    for channels in CHANNELS
)


def foreign_index(store: Store) -> DataError:
    """The error for an `index.json` of another program."""
    return DataError(
        f"{store.url.rstrip('/')}/{INDEX_NAME} is the index of another program, which ganinv"
        " neither reads nor replaces; copy the tars without it to another place, or rename it if no"
        " other program needs it, then run `data index`"
    )


def _some(names: Collection[str]) -> str:
    more = f", … {len(names)} files" if len(names) > _NAMED else ""
    return ", ".join(list(names)[:_NAMED]) + more
