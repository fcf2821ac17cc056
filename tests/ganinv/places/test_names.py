"""Invalid URLs and endpoints are refused at once, without showing secrets."""

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.storage.opening import open_store
from ganinv.errors import ConfigError, StorageError
from ganinv.places.names import Endpoint, check_name, find_endpoint, parse_url

PLANTED = "wJalrXUtnFEMI-planted"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is empty"),
        ("s4://bucket/x", "s4:// is not supported.*did you mean s3://"),
        ("s3a://bucket/x", "did you mean s3://"),
        ("files:///x", "did you mean file://"),
        ("simplecache://bucket/x", "file:///DIRECTORY, s3://BUCKET/PREFIX or, with its driver"),
        ("gs://", "is empty"),
        ("gs://bucket/a/../b", re.escape("'..'")),
        ("s3:/bucket/x", "two slashes"),
        ("s3:bucket", "two slashes"),
        ("file://host/x", "three slashes"),
        ("file://relative", "three slashes"),
        ("s3://", "3 to 63"),
        ("s3:///x", "3 to 63"),
        ("s3://b/x", "3 to 63"),
        ("s3://my bucket/x", "3 to 63"),
        ("s3://bucket/a/../b", re.escape("'..'")),
        ("s3://bucket/a//b", "prefix has the part ''"),
    ],
)
def test_invalid_urls(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIAX:{PLANTED}@bucket/prefix",
        f"s3://AKIAX:{PLANTED}/more@bucket/prefix",
        f"s3://{PLANTED}@bucket",
        f"sftp://user:{PLANTED}@host/path",
    ],
)
def test_credentials_in_the_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"AWS_SECRET_ACCESS_KEY|must not carry") as caught:
        open_store(url)
    assert PLANTED not in repr(caught.value)


def test_credentials_in_the_endpoint_are_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"storage\.endpoint_url.*@") as caught:
        open_store("s3://bucket/x", endpoint_url=f"http://AKIAX:{PLANTED}@127.0.0.1:1")
    assert PLANTED not in repr(caught.value)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8333", "localhost", "ftp://host", "http://"])
def test_invalid_endpoints(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"storage\.endpoint_url.*http://HOST:PORT"):
        open_store("s3://bucket/x", endpoint_url=endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(ConfigError, match=r"AWS_ENDPOINT_URL.*http://HOST:PORT"):
        open_store("s3://bucket/x")


def test_the_most_specific_endpoint_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert find_endpoint(None).url is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all:1")
    assert find_endpoint(None) == Endpoint(url="http://all:1", named_by="AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3:1")
    assert find_endpoint(None) == Endpoint(url="http://s3:1", named_by="AWS_ENDPOINT_URL_S3")
    assert find_endpoint("https://given").named_by == "storage.endpoint_url"


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/a b/ü#?c", "/some/where", "memory://x"]
)
def test_urls_survive_opening_and_pickling(url: str) -> None:
    store = open_store(url)
    assert store.url == url
    assert pickle.loads(pickle.dumps(store)).url == url  # noqa: S301 (our own bytes)
    assert PLANTED not in repr(store)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4).map("/".join))
def test_names_that_pass_stay_below_the_root(name: str) -> None:
    try:
        check_name("/root", name)
    except StorageError:
        return
    assert parse_url(f"/root/{name}").root == f"/root/{name}"
