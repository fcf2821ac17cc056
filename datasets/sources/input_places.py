"""Where sources read from: the directory or URL `data.input`, and what else people give."""

import re
from pathlib import Path
from typing import NamedTuple

from datasets.inputs.left_out import LeftOut
from datasets.inputs.listing import EXTENSIONS, other_files
from datasets.sources.base import BuildOptions, Inputs
from ganinv.errors import ConfigError
from ganinv.places.names import parse_url
from ganinv.places.walking import is_system_file
from ganinv.seams.stores import Entry, Store


class _Kind(NamedTuple):
    """A kind of file that people name instead of a folder."""

    endings: tuple[str, ...]
    what: str
    remedy: str  # `{file}` and `{parent}` stand for its path and that of its folder


_KINDS = (
    _Kind(
        (".zip",),
        "a zip archive",
        "unpack it and name the folder, or, if it holds a dataset.json (the layout of StyleGAN),"
        " type data build stylegan data.input={file}",
    ),
    _Kind(
        (".7z", ".rar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".gz", ".xz"),
        "a compressed archive",
        "unpack it and name the folder",
    ),
    _Kind((".tar",), "a tar", "type data build webdataset data.input={parent}"),
    _Kind(
        (".parquet", ".arrow", ".feather"), "a table", "type data build parquet data.input={parent}"
    ),
    _Kind(EXTENSIONS, "a single image", "name its folder, {parent}"),
    _Kind(("",), "a file", "name a folder"),
)
_PATTERN = re.compile(r"\{[^{}]*(\.\.|,)[^{}]*\}|[*?]|\[[^\]]+\]")


def input_folder(options: BuildOptions, source: str) -> Path:
    """The directory `data.input`, for sources that read only local files.

    Raises `ConfigError` if the option is missing or the directory does not exist.
    """
    given = given_input(options, source)
    folder = Path(given).expanduser()
    if folder.is_file():
        raise ConfigError(f"data.input={given} {describe_file(given)}; {source} is read from it")
    if not folder.is_dir():
        raise ConfigError(
            f"data.input={given} is not a directory on this machine, and {source} is read from one;"
            " name one"
        )
    return folder


def input_store(options: BuildOptions, inputs: Inputs, source: str) -> Store:
    """The store at the directory or URL `data.input`.

    Raises `ConfigError` if the option is missing, or names a single file or a pattern.
    """
    given = given_input(options, source)
    check_folder("data.input", given)
    return inputs.open_store(given)


def given_input(options: BuildOptions, source: str) -> str:
    """`data.input`; raises `ConfigError` if it is missing."""
    if options.input is None:
        raise ConfigError(f"data.input is missing: it says where {source} lies; give data.input=…")
    return options.input


def check_folder(option: str, url: str) -> None:
    """Raises `ConfigError` if a URL names a single file or a pattern instead of a folder of files.

    `option` is the key of the URL, for the message. A missing folder is no error here.
    """
    local = _local(url)
    if local is not None and local.is_dir():
        return
    pattern = _PATTERN.search(url)
    is_file = local.is_file() if local is not None else _kind(url).endings != ("",)
    if not pattern and not is_file:
        return
    start = url[: pattern.start()] if pattern else url
    what = "a pattern of names" if pattern else _kind(url).what
    raise ConfigError(
        f"{option}={url} is {what}, but all files of one folder are read; give"
        f" {option}={start.rpartition('/')[0] or '.'}, or put the files that you mean into a folder"
        " of their own"
    )


def describe_file(path: str) -> str:
    """What a file is that was given instead of a folder, and what to do with it."""
    kind = _kind(path)
    return f"is {kind.what}: " + kind.remedy.format(file=path, parent=Path(path).parent)


def data_entries(store: Store, endings: tuple[str, ...]) -> tuple[list[Entry], LeftOut]:
    """The objects of an input with these endings; all others are noted."""
    found, left_out = [], LeftOut()
    for entry in store.list():
        if is_system_file(entry.name.rpartition("/")[2]):
            continue
        if entry.name.lower().endswith(endings):
            found.append(entry)
        else:
            left_out.note(other_files(entry.name), entry.name)
    return found, left_out


def _kind(name: str) -> _Kind:
    return next(kind for kind in _KINDS if name.lower().endswith(kind.endings))


def _local(url: str) -> Path | None:
    """The path of a URL in this machine's file system; None for another place."""
    try:
        address = parse_url(url)
    except ConfigError:
        return None  # opening it will say why
    return Path(address.root) if address.scheme == "file" else None
