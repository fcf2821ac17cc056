"""Which job server is asked, and what an error about it names."""

import os
from pathlib import Path

import pytest
import requests
from ray.exceptions import AuthenticationError

from cluster.config import ServerConfig
from cluster.jobs.client import UnreachableError, addressed, translated_errors
from cluster.jobs.server import JobServer
from ganinv.errors import ClusterError, ConfigError
from tests.support.tls import certificate, server

CLOSED = "http://127.0.0.1:9"
NAMES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*NAMES, *(n for n in os.environ if n.lower().endswith(("_proxy", "_ca_bundle")))]:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"])
def test_the_given_address_is_asked_whatever_the_environment_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server() as (other, asked_other), server() as (given, asked):
        monkeypatch.setenv(name, other)
        with pytest.raises(ClusterError):
            JobServer(given)
        assert (bool(asked), asked_other) == (True, [])
        assert os.environ[name] == other
        assert os.environ.get("RAY_API_SERVER_ADDRESS") in (None, other)


def test_a_client_quietens_the_handlers_of_ray_alone(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnreachableError):
        JobServer(CLOSED)
    assert caplog.handler.level == 0


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "auto"}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "http://head:1"}, "http://head:1"),
        ({"RAY_ADDRESS": "http://head:1", "RAY_API_SERVER_ADDRESS": "http://a:2"}, "http://a:2"),
    ],
)
def test_the_default_address_is_that_of_ray_s_own_commands(
    environment: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ServerConfig().address == address


def test_credentials_in_the_address_are_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://user:planted@head:8265")
    with pytest.raises(ConfigError, match="write http://HOST:PORT") as caught:
        ServerConfig()
    assert "planted" not in repr(caught.value)


def test_the_setting_in_force_is_the_one_to_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    for named_by in ("server.address", "RAY_API_SERVER_ADDRESS"):
        says = f"correct {named_by}=http://HOST:PORT"
        with (
            pytest.raises(UnreachableError, match=says),
            translated_errors(CLOSED),
            addressed(CLOSED),
        ):
            raise requests.ConnectionError
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", CLOSED)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ((), "put the token into ~/.ray/auth_token"),
        (
            ("RAY_AUTH_TOKEN_PATH",),
            "the file mine, which RAY_AUTH_TOKEN_PATH names, holds no",
        ),
        (("RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN"), "RAY_AUTH_TOKEN holds no or another token"),
    ],
)
def test_the_token_in_force_is_the_one_to_correct(
    variables: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in variables:
        monkeypatch.setenv(name, "mine")
    with pytest.raises(ClusterError, match=says) as caught, translated_errors(CLOSED):
        raise AuthenticationError("no")
    assert "mine" not in str(caught.value) or "the file mine" in str(caught.value)


def test_a_certificate_that_is_not_accepted_is_no_silence(tmp_path: Path) -> None:
    with server(certificate(tmp_path)) as (url, asked):
        with pytest.raises(
            ClusterError, match=r"self-signed certificate.*REQUESTS_CA_BUNDLE or"
        ) as e:
            JobServer(url)
        assert not isinstance(e.value, UnreachableError)
        assert asked == []
