"""Filesystems that fsspec knows beside directories and S3: gs://, az://, sftp://, memory:// …"""

from typing import Any

from ganinv.errors import ConfigError


def open_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL that `parse_url` has let pass, and the path in it.

    Contacts nothing that the driver does not contact when it is made; listings are not cached.
    Credentials come from where the driver looks for them. Raises `ConfigError`, with what to
    install, for a driver that is missing.
    """
    from fsspec.core import url_to_fs

    # Of no harm where it is unknown: it makes the directories on the way to a file.
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
    return filesystem, root
