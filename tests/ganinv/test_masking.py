"""Credentials in URLs are hidden wherever a message is made, and nothing else is."""

import pickle

import pytest

from ganinv.errors import ConfigError, StorageMissingError
from ganinv.masking import masked

PLANTED = "wJalrXUtnFEMI-planted"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"s3://AKIA:{PLANTED}@bucket/a", "s3://***@bucket/a"),
        (f"s3://AKIA:{PLANTED}/x+y/z@bucket/a", "s3://***@bucket/a"),
        (f"s3://{PLANTED}@bucket", "s3://***@bucket"),
        (f"'http://u:{PLANTED}@h:1/x': wrong", "'http://***@h:1/x': wrong"),
        (f"http://{PLANTED}@h", "http://***@h"),
        (f"a sftp://u:p@{PLANTED}@h b", "a sftp://***@h b"),
        (f"HTTPS://u:{PLANTED}@h and ftp://v:{PLANTED}@i", "HTTPS://***@h and ftp://***@i"),
        (f"az://c/b?sv=1&sig={PLANTED}&x=2", "az://c/b?sv=1&sig=***&x=2"),
        (f"http://h/?X-Amz-Security-Token={PLANTED}", "http://h/?X-Amz-Security-Token=***"),
    ],
)
def test_credentials_are_hidden_in_the_text_of_every_error_of_ours(text: str, shown: str) -> None:
    assert masked(text) == shown
    error = StorageMissingError(text)
    assert str(error) == shown
    assert PLANTED not in repr(error)
    assert str(pickle.loads(pickle.dumps(error))) == shown  # noqa: S301 (our own bytes)


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a:b@c", "http://h:8265/a@b", "http://[::1]:9/x@y", "sftp://user@host/a@b",
        "mail a@b.c: x", "file:///a:b@c", "memory://x", "s3://b/?x=1", "key = 'a@b'", "a:b@c",
    ],
)  # fmt: skip
def test_nothing_else_is_hidden(text: str) -> None:
    assert masked(text) == text
    assert str(ConfigError(text)) == text
