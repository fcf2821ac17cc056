"""Errors of S3 as `StorageError`s: one sentence with the URL, the reason and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientError as TransferError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ProxyConnectionError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from cluster.storage.s3_credentials import credentials_failure
from ganinv.errors import (
    StorageError,
    StorageFullError,
    StorageMissingError,
    StorageUnavailableError,
)
from ganinv.places.explaining import (
    credentials_remedy,
    proxy_in_force,
    raised_by_provider,
    tls_failure,
)
from ganinv.places.names import Endpoint

_REMEDIES = {
    "NoSuchBucket": "create the bucket or correct its name in the URL",
    "RequestTimeTooSkewed": "set this machine's clock",
    "PermanentRedirect": "set AWS_DEFAULT_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_DEFAULT_REGION to the bucket's region",
    "NotImplemented": "use a server that implements this request, such as AWS S3 or SeaweedFS",
}
# The credentials are no longer valid; a file or a role may provide new ones by now.
_STALE = {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"}
# Codes of transient refusals, in addition to every status 5xx.
_TRANSIENT = {
    "SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests",
    # The bytes were corrupted on the way to the server.
    "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
}  # fmt: skip
# Codes by which different servers report a full disk or an exhausted quota.
_FULL = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
_FULL_STATUS = 507
_TRANSIENT_STATUS = {408, 429}
_UNREACHABLE = (
    NoConnectionError,
    HTTPClientError,
    TransferError,
    TimeoutError,
    ConnectionError,
    IncompleteReadError,
    ResponseParserError,
)
_EXPECTED = (OSError, BotoCoreError, ClientError, TransferError, ResponseParserError)


@contextmanager
def storage_errors(url: str, endpoint: Endpoint, verb: str, name: str) -> Iterator[None]:
    """Translate errors of s3fs, botocore and the network during `verb` of object `name`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _EXPECTED) and not raised_by_provider(error):
            raise
        where = f"{url} (endpoint {endpoint.url or 'of AWS'})"
        what = f"{where}: cannot {verb} {name!r}" if name else f"{where}: cannot {verb}"
        answer = _server_answer(error)
        # Any other 404 may come from another server, such as a proxy, while the store is down. The
        # answer to `look up` has no body, so there the status alone must suffice.
        if answer and (
            _code(answer) == "NoSuchKey" or (verb == "look up" and http_status(answer) == 404)
        ):
            raise StorageMissingError(
                f"{what}: there is no such object; check storage.run and data.url"
            ) from error
        kind, reason, remedy = _final(error, endpoint) or (
            _from_answer(answer) if answer else _without_answer(error, endpoint)
        )
        raise kind(f"{what}: {reason}; {remedy}") from error


Explained = tuple[type[StorageError], str, str]  # kind, reason, remedy


def _final(error: BaseException, endpoint: Endpoint) -> Explained | None:
    """Failures that look transient, or like answers of the store, but are neither."""
    answer = _server_answer(error)
    if answer and _is_transient(answer):  # of the service that gives credentials, perhaps
        return None
    asked = str(getattr(error, "kwargs", {}).get("endpoint_url") or endpoint.url or "AWS")
    found = credentials_failure(error) or tls_failure(error, asked, endpoint.named_by)
    return (StorageError, *found) if found else None


def http_status(error: BaseException) -> int | None:
    """The HTTP status of the answer that caused `error`; None if there was no answer."""
    answer = _server_answer(error)
    if answer is None:
        return None
    status = answer.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if status is None else int(status)


def credentials_are_stale(error: BaseException) -> bool:
    """Whether the server no longer accepts the credentials that signed the request."""
    answer = _server_answer(error)
    return answer is not None and _code(answer) in _STALE


def _server_answer(error: BaseException | None) -> ClientError | None:
    while error is not None and not isinstance(error, ClientError):
        error = error.__cause__  # s3fs raises an OSError from the original
    return error


def _code(answer: ClientError) -> str:
    return str(answer.response.get("Error", {}).get("Code", ""))


def _is_transient(answer: ClientError) -> bool:
    """Whether the same request may succeed a little later."""
    code, status = _code(answer), http_status(answer)
    if code in _REMEDIES:
        return False
    return code in _TRANSIENT or (
        status is not None and (status >= 500 or status in _TRANSIENT_STATUS)
    )


def _from_answer(answer: ClientError) -> Explained:
    code, status = _code(answer), http_status(answer)
    message = answer.response.get("Error", {}).get("Message") or "no explanation"
    reason = f"the server answered {code} ({message.strip().rstrip('.')})"
    kind = StorageError
    if code in _FULL or status == _FULL_STATUS:
        kind = StorageFullError
    elif _is_transient(answer):
        kind = StorageUnavailableError
    if code in _REMEDIES:
        return kind, reason, _REMEDIES[code]
    if status in (401, 403) or code in _STALE:
        return kind, reason, credentials_remedy(expired="Expired" in code)
    if status is not None and status >= 500:
        return kind, reason, "try again later, or read the server's log"
    return kind, reason, "check the URL, the endpoint and the credentials against the server"


def _without_answer(error: BaseException, endpoint: Endpoint) -> Explained:
    if isinstance(error, ProxyConnectionError):
        proxy = proxy_in_force(endpoint.url or "https://s3.amazonaws.com")
        reason = f"the proxy that {proxy} names does not answer or refuses"
        remedy = f"correct {proxy}, or add the endpoint's host to no_proxy"
        return StorageUnavailableError, reason, remedy
    if isinstance(error, _UNREACHABLE):
        named = endpoint.named_by if endpoint.url else f"whether to set {endpoint.named_by}"
        return (
            StorageUnavailableError,
            f"the endpoint does not answer ({type(error).__name__})",
            f"check {named}, the network, and that the server runs",
        )
    return StorageError, f"{type(error).__name__}: {error}", "correct the cause and try again"
