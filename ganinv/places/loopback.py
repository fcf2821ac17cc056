"""Servers on this machine are reached directly, whatever proxies the environment names.

Only some libraries do so by themselves. A proxy would look for 127.0.0.1 on its own machine.
"""

import ipaddress
import os
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

# urllib compares names, and keeps the brackets of IPv6; requests and Go also know networks.
_HOSTS = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1", "[::1]")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address without port, is this machine's loopback."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def proxies_for(url: str | None) -> dict[str, Any]:
    """Options of a botocore client of the server at `url`: no proxies on loopback."""
    return {"proxies": {}} if url and is_loopback(urlsplit(url).hostname or "") else {}


def spare_loopback(environment: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Exclude loopback from the proxies of `environment`, if it names any; returns the changes.

    For libraries without an option of their own, and for all processes started from here.
    """
    if not any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        return {}
    # Most libraries read the name in lower case first.
    before = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in before.split(",") if host.strip()]
    if "*" in hosts:
        return {}
    value = ",".join([*hosts, *(host for host in _HOSTS if host not in hosts)])
    changes = {"no_proxy": value, "NO_PROXY": value}
    environment.update(changes)
    return changes
