"""What an S3 error names: TLS, credentials and the variables that are in force here."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.storage import s3_client
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from ganinv.errors import ConfigError, StorageError, StorageUnavailableError
from ganinv.places.loopback import spare_loopback
from ganinv.places.reading import open_reader
from tests.support.tls import certificate, server

pytestmark = pytest.mark.integration

PLANTED = "wJalrXUtnFEMI-planted"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAPLANTED", "AWS_SECRET_ACCESS_KEY": PLANTED}
Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """Replaces everything in the environment that S3 clients read."""

    def replace(**variables: str) -> None:
        for name in ("no_proxy", "NO_PROXY"):  # so that what `spare_loopback` sets is undone
            monkeypatch.setenv(name, "")
        for name in [*os.environ]:
            if name.startswith("AWS_") or name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        fixed = {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in (fixed | variables).items():
            monkeypatch.setenv(name, value)

    return replace


def refused(endpoint: str | None = None, *, attempts: int | None = 1) -> StorageError:
    """The error of a listing that may be retried for long, but is attempted so often.

    None for `attempts`: the listing may not be retried.
    """
    repeated: list[str] = []
    retries = RetryPolicy(deadline_s=60, on_repeat=lambda kind, _: repeated.append(kind))
    store = open_store(
        "s3://bucket/run", endpoint_url=endpoint, retries=retries if attempts else None
    )
    with pytest.raises(StorageError) as caught:
        store.list()
    assert PLANTED not in repr(caught.value)
    assert attempts is None or len(repeated) + 1 == attempts
    return caught.value


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("unknown authority", "is not accepted (self-signed certificate); set AWS_CA_BUNDLE to a"),
        ("another authority", "AWS_CA_BUNDLE = '{other}'"),
        ("expired", "is not accepted (certificate has expired); renew the certificate"),
        ("other host", "is not valid for '127.0.0.1'"),
        ("no bundle", "AWS_CA_BUNDLE = '{missing}' is no file with certificates; correct"),
        ("empty bundle", "AWS_CA_BUNDLE = '{empty}' is no file with certificates; correct"),
        ("no TLS", "does not speak TLS; write http:// in storage.endpoint_url"),
    ],
)
def test_a_tls_failure_is_named_and_never_retried(
    case: str, says: str, environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other, empty = certificate(tmp_path / "other"), tmp_path / "empty"
    empty.touch()
    host = "127.0.0.2" if case == "other host" else "127.0.0.1"
    pem = certificate(tmp_path, host=host, expired=case == "expired")
    bundle = {
        "another authority": other, "no bundle": tmp_path / "missing", "empty bundle": empty,
        "expired": pem, "other host": pem,
    }  # fmt: skip
    environment(**KEYS, **({"AWS_CA_BUNDLE": str(bundle[case])} if case in bundle else {}))
    with server(None if case == "no TLS" else pem) as (url, asked):
        url = url.replace("http://", "https://")
        says = says.format(other=other, empty=empty, missing=tmp_path / "missing")
        error = refused(url)
        assert says in str(error)
        assert not isinstance(error, StorageUnavailableError)
        if case == "unknown authority":  # users of the library read the same
            with pytest.raises(StorageError) as caught:
                open_reader("s3://bucket/run", url).list()
            assert says.split(";")[0] in str(caught.value)
        assert asked == []


def test_an_accepted_certificate_is_no_failure(environment: Environment, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    environment(**KEYS, AWS_CA_BUNDLE=str(pem))
    with server(pem) as (url, asked):
        assert "answered 404" in str(refused(url))
    assert asked


SSO = """\
[profile work]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = reader
region = us-east-1
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://example.awsapps.com/start
[profile tool]
credential_process = /bin/false
[profile talkative]
credential_process = /bin/echo Hello, user
[profile half]
aws_access_key_id = AKIA
[profile empty]
region = us-east-1
"""


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or"),
        ({"AWS_PROFILE": "empty"}, "found; give the profile 'empty', which AWS_PROFILE names, cr"),
        ({"AWS_ACCESS_KEY_ID": "A"}, "the credentials are incomplete (.*); set AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "half"}, "incomplete (.*); give the profile 'half'"),
        ({"AWS_PROFILE": "work"}, "have expired (.*); renew the profile 'work', which AWS_PROFILE "
         "names: type aws sso login --profile work"),
        ({"AWS_PROFILE": "none"}, "cannot be obtained (.*none.*); give the profile 'none'"),
        ({"AWS_DEFAULT_PROFILE": "tool", "AWS_PROFILE": "work"},
         "cannot be obtained (.*); give the profile 'tool', which AWS_DEFAULT_PROFILE names"),
        ({"AWS_PROFILE": "talkative"}, "cannot be obtained (JSONDecodeError.*); give the profile"),
        ({**KEYS, "AWS_CREDENTIAL_EXPIRATION": "soon"}, "cannot be obtained (ParserError: .*soon)"),
        ({**KEYS, "AWS_SESSION_TOKEN": "t", "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"},
         "have expired (.*); get new credentials; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
         "AWS_SESSION_TOKEN"),
    ],
)  # fmt: skip
def test_credentials_are_asked_for_where_they_are_looked_for(
    variables: dict[str, str],
    says: str,
    environment: Environment,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "config").write_text(SSO)
    environment(HOME=str(tmp_path), **variables)
    with server() as (url, _):
        error = refused(url)
        if "AWS_CREDENTIAL_EXPIRATION" in variables:  # a bare error of botocore
            with pytest.raises(StorageError, match="cannot list"):
                open_reader("s3://bucket/run", url).list()
    assert caplog.records == []  # a traceback in the log would hide the sentence
    assert re.search(re.escape(says).replace(r"\.\*", ".*"), str(error)), str(error)


def test_connections_to_this_machine_use_no_proxy(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without the exceptions that commands add: workers inherit their node's environment."""
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    with server() as (proxy, asked_proxy), server() as (url, asked):
        names = ("http_proxy", "https_proxy", "ALL_PROXY")
        environment(**KEYS, **dict.fromkeys(names, proxy))
        assert "answered 404" in str(refused(url))
        with pytest.raises(StorageError):
            open_reader("s3://bucket/run", url).read("a")
        assert len(asked) >= 2
        assert asked_proxy == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_that_does_not_answer_is_named(
    variable: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    environment(**KEYS, **{variable: f"http://user:{PLANTED}@127.0.0.1:9"})
    spare_loopback()
    error = refused("http://storage.example.org:8333", attempts=None)
    assert f"the proxy that {variable} names does not answer" in str(error)


@pytest.mark.parametrize(
    "name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "storage.endpoint_url"]
)
def test_the_endpoint_that_is_in_force_is_the_one_to_check(
    name: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    closed = "http://127.0.0.1:9"
    given = {"AWS_ENDPOINT_URL": closed} | ({name: closed} if name.startswith("AWS") else {})
    environment(**KEYS, **given)
    error = refused(closed if name.startswith("storage") else None, attempts=None)
    assert f"check {name}, the network" in str(error)
    environment(**KEYS, **dict.fromkeys(given, "ftp://x"))
    if name.startswith("AWS"):
        with pytest.raises(ConfigError, match=f"^{name}="):
            open_store("s3://bucket/run")
