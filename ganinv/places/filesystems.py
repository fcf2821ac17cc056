"""The filesystems of fsspec other than directories and S3: gs://, az://, sftp://, memory:// …"""

from typing import Any

from ganinv.errors import ConfigError, StorageError
from ganinv.places.explaining import other_remedy


def open_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL that `parse_url` accepts, and the path in it.

    Sends no requests, except those of the driver's constructor. Listings are not cached. The
    driver looks for credentials itself. Raises `ConfigError`, with the package to install, if the
    driver is missing, and `StorageError` if it refuses.
    """
    from fsspec.core import url_to_fs

    # `auto_mkdir` creates the parent directories of a file; drivers that do not know it ignore it.
    options = {"use_listings_cache": False, "skip_instance_cache": True, "auto_mkdir": True}
    try:
        filesystem, root = url_to_fs(url, **options)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or "its driver"
        scheme = url.partition("://")[0]
        raise ConfigError(
            f"{url}: {scheme}:// needs a package that is not installed ({error}); type pip install "
            f"{missing}, here and on every node"
        ) from error
    except Exception as error:  # some drivers look for credentials, or connect, when opened
        raise StorageError(
            f"{url}: cannot be opened: {type(error).__name__}: {error}; {other_remedy(error)}"
        ) from error
    return filesystem, root
