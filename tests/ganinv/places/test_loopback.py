"""Proxies of the environment are never asked for a server on this machine."""

import os
from urllib.request import getproxies, proxy_bypass

import pytest
from requests.utils import get_environ_proxies

from ganinv.places.loopback import is_loopback, proxies_for, spare_loopback

ADDRESSES = ["localhost", "127.0.0.1", "127.0.0.1:8265", "localhost:1", "[::1]:9", "[::1]"]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.8.0.9", "::1", "[::1]", "a.localhost"]
)
def test_loopback_is_recognised(host: str) -> None:
    assert is_loopback(host)
    at = f"[{host.strip('[]')}]" if ":" in host else host
    assert proxies_for(f"http://{at}:8333") == {"proxies": {}}


@pytest.mark.parametrize("host", ["10.0.0.1", "host", "s3.amazonaws.com", "localhost.evil.org", ""])
def test_other_machines_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
    assert proxies_for(f"http://{host}:8333") == {}
    assert proxies_for(None) == {}


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("before", [{}, {"NO_PROXY": "corp.local"}, {"no_proxy": "corp.local"}])
def test_libraries_without_an_option_find_loopback_among_the_exceptions(
    name: str, before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for variable in (known, known.upper()):
            monkeypatch.setenv(variable, "")  # so that what `spare_loopback` sets is undone
            monkeypatch.delenv(variable)
    for variable, value in {name: "http://proxy:3128", **before}.items():
        monkeypatch.setenv(variable, value)
    spare_loopback()
    for address in ADDRESSES:
        assert proxy_bypass(address), address
        assert get_environ_proxies(f"http://{address}/x") == {}, address
    assert not proxy_bypass("s3.amazonaws.com")
    assert bool(before) == bool(proxy_bypass("host.corp.local"))
    assert getproxies()[name.lower().removesuffix("_proxy")] == "http://proxy:3128"
    assert spare_loopback() == {
        "no_proxy": os.environ["NO_PROXY"],
        "NO_PROXY": os.environ["no_proxy"],
    }


@pytest.mark.parametrize(
    "environment", [{}, {"PATH": "/bin"}, {"http_proxy": "p", "NO_PROXY": "*"}]
)
def test_an_environment_without_a_need_stays_as_it_is(environment: dict[str, str]) -> None:
    before = dict(environment)
    assert spare_loopback(environment) == {}
    assert environment == before
