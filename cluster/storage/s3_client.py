"""The S3 client of a store. Every wait has a timeout, and nothing is cached."""

import socket
from typing import Any

import s3fs
from aiobotocore.session import get_session
from botocore.handlers import add_expect_header

from ganinv.places.loopback import proxies_for

# For stores without a retry policy. An endpoint that never answers costs ATTEMPTS timeouts and a
# pause of at most 1 s between them.
ATTEMPTS = 2
CONNECT_TIMEOUT_S = 5
# Of silence, not of the whole answer: every byte that arrives restarts it.
READ_TIMEOUT_S = 8
# The kernel checks at growing intervals, so a timeout may take twice as long. A smaller value would
# cut off servers that pause to write to a slow disk.
SEND_TIMEOUT_S = 5
# Ranges in flight at the same time.
CONNECTIONS = 16
# Further connections, for hedges.
SPARE_CONNECTIONS = 16


def connect_lazily(endpoint_url: str | None, *, once: bool) -> s3fs.S3FileSystem:
    """A client with the environment's credentials; contacts nothing before its first use.

    `once`: never retry, because the caller does.
    """
    session = get_session()
    # Waiting for permission to upload (Expect: 100-continue) has no timeout.
    session.unregister("before-call.s3", add_expect_header)
    filesystem = s3fs.S3FileSystem(
        session=session,
        endpoint_url=endpoint_url,
        use_listings_cache=False,
        # Its key has the arguments alone, but the credentials come from the environment.
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"mode": "standard", "total_max_attempts": 1 if once else ATTEMPTS},
            "max_pool_connections": CONNECTIONS + SPARE_CONNECTIONS,
            "connector_args": {"socket_factory": _socket_with_send_timeout},
            **proxies_for(endpoint_url),
        },
    )
    # botocore retries already, and for more reasons; retries of both would multiply.
    filesystem.retries = 1
    return filesystem


def _socket_with_send_timeout(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose sending fails when the other side stops answering.

    The read timeout starts only after the request was sent. Without this option, an upload to a
    stopped server or over a broken network would hang for the kernel's 15 minutes.
    """
    family, kind, protocol = address[:3]
    opened = socket.socket(family=family, type=kind, proto=protocol)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_TIMEOUT_S * 1000))
    return opened
