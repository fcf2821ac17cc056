"""What went wrong with S3, in one sentence that names the URL, the reason and the remedy."""

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
    "NotImplemented": "use a server that knows this request, such as AWS S3 or SeaweedFS",
}
# Keys that are not valid any more; a file or a role may have new ones by now.
_STALE = {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"}
# Refusals that pass by themselves, beside all of the 5xx kind.
_PASSING = {
    "SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests",
    # What arrived is not what was sent: bits were flipped on the way.
    "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
}  # fmt: skip
# How servers say that a disk is full or a quota used up, each in its own words.
_FULL = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
_FULL_STATUS = 507
_PASSING_STATUS = {408, 429}
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
    """Turn whatever s3fs, botocore or the network raise while `verb` is done to `name`."""
    try:
        yield
    except (OSError, BotoCoreError, ClientError, TransferError, ResponseParserError) as error:
        where = f"{url} (endpoint {endpoint_url or 'of AWS'})"
        what = f"{where}: cannot {verb} {name!r}" if name else f"{where}: cannot {verb}"
        answer = _server_answer(error)
        # Any other 404 may come from whatever answers while the store is away. Only an answer to
        # `look up` has no body, so that the status alone says what is missing.
        if answer and (
            _code(answer) == "NoSuchKey" or (verb == "look up" and http_status(answer) == 404)
        ):
            raise StorageMissingError(
                f"{what}: there is no such object; check storage.run and data.url"
            ) from error
        reason, remedy = _of_answer(answer) if answer else _without_answer(error)
        raise _kind(error, answer)(f"{what}: {reason}; {remedy}") from error


def _kind(error: Exception, answer: ClientError | None) -> type[StorageError]:
    if answer is None:
        return StorageUnavailableError if isinstance(error, _UNREACHABLE) else StorageError
    if _code(answer) in _FULL or http_status(answer) == _FULL_STATUS:
        return StorageFullError
    return StorageUnavailableError if _passes(answer) else StorageError


def http_status(error: BaseException) -> int | None:
    """The status of the server's answer that `error` stands for; None if there was no answer."""
    answer = _server_answer(error)
    if answer is None:
        return None
    status = answer.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if status is None else int(status)


def credentials_are_stale(error: BaseException) -> bool:
    """Whether the server knows the keys no more that the request was signed with."""
    answer = _server_answer(error)
    return answer is not None and _code(answer) in _STALE


def _server_answer(error: BaseException | None) -> ClientError | None:
    while error is not None and not isinstance(error, ClientError):
        error = error.__cause__  # s3fs chains the original to its OSError
    return error


def _code(answer: ClientError) -> str:
    return str(answer.response.get("Error", {}).get("Code", ""))


def _passes(answer: ClientError) -> bool:
    """Whether the same request may well succeed a little later."""
    code, status = _code(answer), http_status(answer)
    if code in _REMEDIES:
        return False
    return code in _PASSING or (status is not None and (status >= 500 or status in _PASSING_STATUS))


def _of_answer(answer: ClientError) -> tuple[str, str]:
    code, status = _code(answer), http_status(answer)
    message = answer.response.get("Error", {}).get("Message") or "no explanation"
    reason = f"the server answered {code} ({message.strip().rstrip('.')})"
    if code in _REMEDIES:
        return reason, _REMEDIES[code]
    if status in (401, 403) or code in _STALE:
        return reason, _CREDENTIALS
    if status is not None and status >= 500:
        return reason, "try again later, or look into the server's log"
    return reason, "check the URL, the endpoint and the credentials against the server"


def _without_answer(error: BaseException) -> tuple[str, str]:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "no credentials were found", _CREDENTIALS
    if isinstance(error, _UNREACHABLE):
        return (
            f"the endpoint does not answer ({type(error).__name__})",
            "check storage.endpoint_url or AWS_ENDPOINT_URL, the network, and that it runs",
        )
    return f"{type(error).__name__}: {error}", "mend the cause and try again"
