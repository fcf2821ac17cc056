"""Addresses of stores: the valid forms of URLs, endpoints and object names."""

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ganinv.errors import ConfigError, StorageError

SCHEMES = ("file", "s3")
# Schemes of fsspec that wrap another filesystem, are read-only, or reach S3 in another way.
_NO_STORES = {
    *("arrow_hdfs", "async_wrapper", "asyncwrapper", "asynclocal", "blockcache", "cached", "data"),
    *("dir", "dvc", "filecache", "gdrive", "generic", "gist", "git", "github", "http", "https"),
    *("jlab", "jupyter", "libarchive", "pyscript", "reference", "root", "s3a", "simplecache"),
    *("tar", "wandb", "zip"),
}
# The strongest first.
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
# Marks unfinished files of a local store. Reserved: no object name may contain such a part.
TEMPORARY_PREFIX = ".unfinished-"
# S3 allows 3 to 63 characters; old buckets may contain capitals and underscores.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Address:
    """The parts of a store's URL."""

    scheme: str
    """One of `SCHEMES`, or another scheme of fsspec."""
    bucket: str
    """The bucket of an s3 URL; empty for other schemes."""
    root: str
    """For a directory: its absolute path. For s3: the keys' common prefix, without outer slashes.
    For other schemes: everything after `://`."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The S3 server of a store."""

    url: str | None
    """None: that of AWS, or of the profile in the user's AWS configuration."""
    named_by: str
    """The option or variable that names it; without a URL, those that could."""


def parse_url(url: str) -> Address:
    """The parts of a store's URL. Raises `ConfigError` if the URL is invalid."""
    if not url:
        raise ConfigError("the storage URL is empty; give a directory or s3://BUCKET/PREFIX")
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _parse_path(url)
    if scheme == "file":
        return _parse_file(url, rest)
    if scheme == "s3":
        return _parse_s3(url, rest)
    if scheme in other_schemes():
        return _parse_other(url, scheme, rest)
    nearest = get_close_matches(scheme.lower(), SCHEMES, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]}://?" if nearest else ""
    raise ConfigError(
        f"storage scheme {scheme}:// is not supported; "
        f"use a directory, file:///DIRECTORY, s3://BUCKET/PREFIX or, with its driver, a scheme of "
        f"fsspec such as gs:// or az://{hint}"
    )


def other_schemes() -> set[str]:
    """The schemes of fsspec, installed or not, whose filesystems can be stores."""
    from fsspec.registry import known_implementations, registry

    # `registry` holds those that a program has registered as classes.
    return {*known_implementations, *registry} - {*_NO_STORES, *SCHEMES}


def _parse_other(url: str, scheme: str, rest: str) -> Address:
    # The message must not repeat the URL, which contains a secret.
    if re.match(r"[^/]*:[^/]*@", rest):
        raise ConfigError(
            f"a {scheme}:// storage URL must not carry a password; remove it, and put it where the "
            "filesystem's driver looks for credentials"
        )
    root = rest.rstrip("/")
    if problem := _problem(root.lstrip("/")):
        raise ConfigError(f"{url} cannot be a store because what follows the scheme {problem}")
    return Address(scheme=scheme, bucket="", root=root)


def absolute(path: str) -> Path:
    """A path, absolute and with the home directory in place of a leading `~` or `~USER`.

    Raises `ConfigError` if that home directory is unknown.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        user = path.partition("/")[0].removeprefix("~")
        unknown = f"there is no user {user!r} on this machine" if user else "HOME is not set"
        raise ConfigError(
            f"{path!r}: {unknown}; give the whole path, or ./{path} for a folder of that name"
        ) from error


def _parse_path(path: str) -> Address:
    if re.match(r"(s3|file):", path):
        scheme = path.partition(":")[0]
        raise ConfigError(
            f"the storage URL starts with '{scheme}:' but not with '{scheme}://'; "
            "write two slashes, or prepend ./ for a directory of that name"
        )
    root = os.path.abspath(absolute(path))  # noqa: PTH100 (resolve() follows links)
    return Address(scheme="file", bucket="", root=root)


def _parse_file(url: str, rest: str) -> Address:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise ConfigError(f"{url} names the host {host!r}; write file:///DIRECTORY (three slashes)")
    return _parse_path("/" + unquote(path))


def _parse_s3(url: str, rest: str) -> Address:
    bucket, _, prefix = rest.partition("/")
    # Neither is legal in a bucket's name. The text may be a secret, so the message omits it.
    if "@" in bucket or ":" in bucket:
        raise ConfigError(
            "an s3:// storage URL must not carry credentials before the bucket's name; remove "
            "them and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
        )
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"{url} names the bucket {bucket!r}, which S3 does not allow; "
            "write s3://BUCKET/PREFIX with a bucket of 3 to 63 letters, digits, dots and hyphens"
        )
    root = prefix.strip("/")
    if root and (problem := _problem(root)):
        raise ConfigError(f"{url} cannot be a store because its prefix {problem}; correct it")
    return Address(scheme="s3", bucket=bucket, root=root)


def find_endpoint(given: str | None, option: str = "storage.endpoint_url") -> Endpoint:
    """The S3 server in force: `given`, the value of `option`, else that of the environment.

    Raises `ConfigError` if it is not an http(s) URL.
    """
    candidates = {option: given} | {name: os.environ.get(name) for name in ENDPOINT_VARIABLES}
    for key, value in candidates.items():
        if not value:
            continue
        parts = urlsplit(value)
        if "@" in parts.netloc:
            raise ConfigError(
                f"{key} must not carry credentials; remove the part before the @ and set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"{key}={value!r} is not an endpoint; write http://HOST:PORT or https://HOST"
            )
        return Endpoint(url=value, named_by=key)
    return Endpoint(url=None, named_by=f"{option} or {ENDPOINT_VARIABLES[-1]}")


def check_name(url: str, name: str) -> None:
    """Raises `StorageError` for a name that leaves the store or is impossible in some store."""
    if problem := _problem(name):
        raise StorageError(
            f"{url}: {name!r} cannot name an object because it {problem}; "
            "use a relative name with forward slashes, such as shards/00000.tar"
        )


def _problem(name: str) -> str | None:
    if not name:
        return "is empty"
    # s3fs cuts the last off as a version; SeaweedFS treats a backslash as a slash.
    if found := [text for text in ("\0", "\\", "?versionId=") if text in name]:
        return f"contains {found[0]!r}"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return f"has the part {part!r}"
        if part.startswith(TEMPORARY_PREFIX):
            return f"has a part that starts with the reserved {TEMPORARY_PREFIX!r}"
    return None
