"""Opening object storage, and proving before a run that it keeps its promises."""

from uuid import uuid4

from cluster.storage.local import LocalStore
from cluster.storage.patience import Patience
from ganinv.errors import StorageError, StorageExistsError
from ganinv.places.names import check_endpoint, parse_url
from ganinv.seams.stores import Range, Store


def open_store(
    url: str, *, endpoint_url: str | None = None, patience: Patience | None = None
) -> Store:
    """The store at a directory, `file:///DIRECTORY`, `s3://BUCKET/PREFIX` or any URL of fsspec's.

    Nothing is contacted or created yet. S3 credentials come from the environment or the cloud's
    own chain; without `endpoint_url` the endpoint is AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or
    AWS's own; with `patience` what failed in passing is tried again there. Stores pickle, survive
    a fork and may be used from several threads. Raises ConfigError for a URL or an endpoint that
    cannot be right, and for a scheme whose driver is not installed.
    """
    address = parse_url(url)
    if address.scheme == "file":
        return LocalStore(address.root)
    if address.scheme != "s3":
        from cluster.storage.fsspec_store import FsspecStore

        return FsspecStore(f"{address.scheme}://{address.root}")
    # Imported here because s3fs costs most of a second, which runs on directories need not pay.
    from cluster.storage.s3 import S3Store

    return S3Store(address.bucket, address.root, check_endpoint(endpoint_url), patience)


def sweep(store: Store) -> None:
    """Remove the unfinished files that killed writers left in a directory; no listing shows them.

    On S3 the bucket's life cycle rules remove the parts of unfinished uploads.
    """
    if isinstance(store, LocalStore):
        store.sweep()


def probe(store: Store) -> None:
    """Prove that `store` is usable for a run: write, write if absent, ranged read, list, delete.

    Leaves nothing behind. Raises StorageError if a verb fails or does not do what it promises.
    """
    folder = f"probe-{uuid4().hex}"
    written, once = f"{folder}/written", f"{folder}/once"
    data = bytes(range(256))
    store.write(written, data)
    try:
        store.write_if_absent(once, data)
        _demand_refusal(store, once)
        found = store.read_ranges([Range(written, 0, 3), Range(once, 250, 256)])
        _demand(found == [data[:3], data[250:]], store, "ranged reads return other bytes")
        listed = [(entry.name, entry.size_bytes) for entry in store.list(folder + "/")]
        _demand(listed == [(once, 256), (written, 256)], store, "listings miss fresh objects")
    finally:
        store.delete([written, once])
    _demand(not store.list(folder + "/"), store, "deleted objects are still listed")


def _demand_refusal(store: Store, taken: str) -> None:
    try:
        store.write_if_absent(taken, b"second")
    except StorageExistsError:
        return
    _demand(
        False, store, "writes on condition that nothing is there (If-None-Match: *) overwrite it"
    )


def _demand(kept: bool, store: Store, otherwise: str) -> None:
    if not kept:
        raise StorageError(
            f"{store.url} cannot hold a run because {otherwise}; use a store that keeps S3's "
            "consistency and conditional writes, such as AWS S3, Ceph RGW, SeaweedFS, gs:// or az://"
        )
