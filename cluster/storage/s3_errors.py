"""Errors of S3 as `StorageError`s: one sentence with the URL, the reason and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientError as TransferError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from ganinv.errors import (
    StorageError,
    StorageFullError,
    StorageMissingError,
    StorageUnavailableError,
)

_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the machine's role) to credentials "
    "that may read, write, list and delete there"
)
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


@contextmanager
def storage_errors(url: str, endpoint_url: str | None, verb: str, name: str) -> Iterator[None]:
    """Translate errors of s3fs, botocore and the network during `verb` of object `name`."""
    try:
        yield
    except (OSError, BotoCoreError, ClientError, TransferError, ResponseParserError) as error:
        where = f"{url} (endpoint {endpoint_url or 'of AWS'})"
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
        reason, remedy = _reason_from_answer(answer) if answer else _reason_without_answer(error)
        raise _kind(error, answer)(f"{what}: {reason}; {remedy}") from error


def _kind(error: Exception, answer: ClientError | None) -> type[StorageError]:
    if answer is None:
        return StorageUnavailableError if isinstance(error, _UNREACHABLE) else StorageError
    if _code(answer) in _FULL or http_status(answer) == _FULL_STATUS:
        return StorageFullError
    return StorageUnavailableError if _is_transient(answer) else StorageError


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


def _reason_from_answer(answer: ClientError) -> tuple[str, str]:
    code, status = _code(answer), http_status(answer)
    message = answer.response.get("Error", {}).get("Message") or "no explanation"
    reason = f"the server answered {code} ({message.strip().rstrip('.')})"
    if code in _REMEDIES:
        return reason, _REMEDIES[code]
    if status in (401, 403) or code in _STALE:
        return reason, _CREDENTIALS
    if status is not None and status >= 500:
        return reason, "try again later, or read the server's log"
    return reason, "check the URL, the endpoint and the credentials against the server"


def _reason_without_answer(error: BaseException) -> tuple[str, str]:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "no credentials were found", _CREDENTIALS
    if isinstance(error, _UNREACHABLE):
        return (
            f"the endpoint does not answer ({type(error).__name__})",
            "check storage.endpoint_url or AWS_ENDPOINT_URL, the network, and that the server runs",
        )
    return f"{type(error).__name__}: {error}", "correct the cause and try again"
