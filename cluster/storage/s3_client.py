"""The S3 client behind a store: it waits for nothing without end, and caches nothing."""

import socket
from typing import Any

import s3fs
from aiobotocore.session import get_session
from botocore.handlers import add_expect_header

# Where nobody has more patience. An endpoint that never answers costs ATTEMPTS waits and a pause
# of at most 1 s between them.
ATTEMPTS = 2
CONNECT_TIMEOUT_S = 5
# Silence, not duration: each byte that arrives starts it anew.
READ_TIMEOUT_S = 8
# The kernel looks at growing intervals, so it may last twice as long. Less would cut off servers
# that pause to write to a slow disk.
SEND_TIMEOUT_S = 5
# Ranges, or parts of an upload, that are under way at a time.
CONNECTIONS = 16
# Connections beyond those, for second requests beside stragglers.
SPARE_CONNECTIONS = 16


def connect_lazily(endpoint_url: str | None, *, once: bool) -> s3fs.S3FileSystem:
    """A client with the environment's credentials; nothing is contacted before its first use.

    `once`: leave all repetition to the caller.
    """
    session = get_session()
    # Asking for leave before an upload (Expect: 100-continue) would wait without any timeout.
    session.unregister("before-call.s3", add_expect_header)
    filesystem = s3fs.S3FileSystem(
        session=session,
        endpoint_url=endpoint_url,
        use_listings_cache=False,
        # The cache is keyed by arguments alone, but the credentials are in the environment.
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"mode": "standard", "total_max_attempts": 1 if once else ATTEMPTS},
            "max_pool_connections": CONNECTIONS + SPARE_CONNECTIONS,
            "connector_args": {"socket_factory": _impatient_socket},
        },
    )
    # botocore retries already, and knows more reasons to; both together would multiply.
    filesystem.retries = 1
    return filesystem


def _impatient_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose sending fails, too, when the other side goes silent.

    The read timeout starts only after a request was sent; a cut network or a stopped server in
    the middle of an upload would else hang for the kernel's quarter of an hour.
    """
    family, kind, protocol = address[:3]
    opened = socket.socket(family=family, type=kind, proto=protocol)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_TIMEOUT_S * 1000))
    return opened
