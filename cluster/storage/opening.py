"""Opening object storage, and checking before a run that the store behaves as required."""

from uuid import uuid4

from cluster.storage.local import LocalStore
from cluster.storage.retries import RetryPolicy
from ganinv.errors import StorageError, StorageExistsError
from ganinv.places.names import find_endpoint, parse_url
from ganinv.seams.stores import Range, Store


def open_store(
    url: str, *, endpoint_url: str | None = None, retries: RetryPolicy | None = None
) -> Store:
    """The store at a directory, `file:///DIRECTORY`, `s3://BUCKET/PREFIX` or another fsspec URL.

    Nothing is contacted or created yet. S3 credentials come from the environment or the cloud's
    own chain. Without `endpoint_url` the endpoint is AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or that
    of AWS. `retries` applies to S3 alone. Stores can be pickled, work after a fork, and are
    thread-safe. Raises `ConfigError` for an invalid URL or endpoint and for a missing driver.
    """
    address = parse_url(url)
    if address.scheme == "file":
        return LocalStore(address.root)
    if address.scheme != "s3":
        from cluster.storage.fsspec_store import FsspecStore

        return FsspecStore(f"{address.scheme}://{address.root}")
    # Imported here because s3fs takes most of a second to import, and directories do not need it.
    from cluster.storage.s3 import S3Store

    return S3Store(address.bucket, address.root, find_endpoint(endpoint_url), retries)


def remove_unfinished(store: Store) -> None:
    """Remove the unfinished files that killed writers have left in a directory.

    Unfinished uploads to S3 are left to the bucket's life cycle rules.
    """
    if isinstance(store, LocalStore):
        store.remove_unfinished()


def probe(store: Store) -> None:
    """Check that a run can use `store`: write, write if absent, ranged read, list and delete.

    Leaves no object behind. Raises `StorageError` if a verb fails or has another effect.
    """
    folder = f"probe-{uuid4().hex}"
    written, once = f"{folder}/written", f"{folder}/once"
    data = bytes(range(256))
    store.write(written, data)
    try:
        store.write_if_absent(once, data)
        _require_refusal(store, once)
        found = store.read_ranges([Range(written, 0, 3), Range(once, 250, 256)])
        _require(found == [data[:3], data[250:]], store, "ranged reads return other bytes")
        listed = [(entry.name, entry.size_bytes) for entry in store.list(folder + "/")]
        _require(listed == [(once, 256), (written, 256)], store, "listings miss fresh objects")
    finally:
        store.delete([written, once])
    _require(not store.list(folder + "/"), store, "deleted objects are still listed")


def _require_refusal(store: Store, taken: str) -> None:
    try:
        store.write_if_absent(taken, b"second")
    except StorageExistsError:
        return
    _require(False, store, "conditional writes (If-None-Match: *) overwrite an existing object")


def _require(condition: bool, store: Store, violation: str) -> None:
    if not condition:
        raise StorageError(
            f"{store.url} cannot hold a run because {violation}; use a store with the consistency "
            "and the conditional writes of S3: AWS S3, Ceph RGW, SeaweedFS, gs:// or az://"
        )
