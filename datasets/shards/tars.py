"""WebDataset tars: writing a tar, and finding the tars of a store."""

import io
import tarfile
from typing import Any

from datasets.shards.attributes import dump_attributes
from datasets.shards.location import describe
from datasets.shards.shard import BUILDING_NAME, INDEX_NAME
from ganinv.errors import DataError
from ganinv.places.walking import is_system_file
from ganinv.seams.stores import Entry, Store


class TarBuilder:
    """Builds a tar in memory. Equal samples give equal bytes."""

    def __init__(self) -> None:
        self.samples = 0
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed by `finish`)

    @property
    def size_bytes(self) -> int:
        return self._buffer.tell()

    def add(self, key: str, png: bytes, attributes: dict[str, Any]) -> None:
        self._add_member(f"{key}.png", png)
        self._add_member(f"{key}.json", dump_attributes(attributes))
        self.samples += 1

    def finish(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()

    def _add_member(self, name: str, data: bytes) -> None:
        # TarInfo starts with owner 0, no owner names and mtime 0.
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644
        self._tar.addfile(info, io.BytesIO(data))


_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def list_tars(store: Store, where: str) -> list[Entry]:
    """The tars of a store; `where` names the store in messages.

    Raises `DataError` if there are no tars, or compressed tars, or an unfinished build.
    """
    # macOS leaves `._a.tar` beside `a.tar` on disks of other systems.
    entries = [e for e in store.list() if not is_system_file(e.name.rpartition("/")[2])]
    names = {entry.name for entry in entries}
    compressed = [entry.name for entry in entries if entry.name.endswith(_COMPRESSED)]
    tars = [entry for entry in entries if entry.name.endswith(".tar")]
    if compressed:
        raise DataError(
            f"{where} holds compressed tars ({', '.join(compressed[:5])}); put plain .tar files"
            " there (ranged reads need uncompressed tars)"
        )
    if not tars and names:
        raise DataError(f"{where} holds no tars: it {describe(store.url, names)}")
    if not tars:
        raise DataError(f"{where} holds no tars, nor anything else; check the URL")
    if BUILDING_NAME in names and INDEX_NAME not in names:
        raise DataError(
            f"{where} holds a `data build` that was interrupted or still runs; repeat the same"
            " command, which resumes it"
        )
    return tars
