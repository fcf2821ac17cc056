"""Why a server refuses us, and the setting that is in force here: for messages about storage."""

import os
import shlex
import ssl
import traceback
from collections.abc import Iterator, Sequence

# OpenSSL's reasons for failures that no retry can mend; a connection that breaks off is another.
_FINAL = (
    "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "HANDSHAKE_FAILURE", "PROTOCOL_VERSION",
    "CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "KEY_TOO_SMALL", "MD_TOO_WEAK",
)  # fmt: skip
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
# OpenSSL's numbers of X509_V_ERR_…
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAMES = (62, 63, 64)
# Modules that look for credentials. They raise whatever a file, a program or a service gave them.
PROVIDERS = tuple(
    f"{package}.{name}"
    for package in ("botocore", "aiobotocore")
    for name in ("credentials", "tokens")
)
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_TOKENS = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")  # the former name is the stronger one


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error`, what it was raised from, and what it wraps."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is None or any(found is other for other in seen):
            continue
        seen.append(found)
        yield found
        wrapped = getattr(found, "kwargs", {}).get("error")  # of botocore
        others = (getattr(found, name, None) for name in ("certificate_error", "os_error"))
        waiting += [
            other
            for other in (found.__context__, found.__cause__, *others, wrapped)
            if isinstance(other, BaseException)
        ]


def raised_by_provider(error: BaseException) -> bool:
    """Whether an error arose while botocore looked for credentials, other than on the network."""
    frames = traceback.walk_tb(error.__traceback__)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return not kinds & {"OSError", "HTTPClientError"} and any(
        frame.f_globals.get("__name__") in PROVIDERS for frame, _ in frames
    )


def tls_failure(
    error: BaseException, address: str, named_by: str, bundles: Sequence[str] = ("AWS_CA_BUNDLE",)
) -> tuple[str, str] | None:
    """Reason and remedy, if TLS cannot be agreed on; None for any other failure.

    `address` is a URL, and `named_by` the option or variable that names it. `bundles` are the
    variables that name the file of accepted authorities, the strongest first.
    """
    address = "/".join(address.split("/")[:3])
    bundle = next((name for name in bundles if os.environ.get(name)), None)
    for found in causes(error):
        if isinstance(found, FileNotFoundError | ssl.SSLError) and bundle and _unusable(bundle):
            return (
                f"{bundle} = {os.environ[bundle]!r} is no file with certificates",
                f"correct {bundle}, or unset it to accept the usual authorities",
            )
        # aiohttp's errors are of these classes too, but have none of their attributes.
        if isinstance(found, ssl.SSLCertVerificationError) and hasattr(found, "verify_code"):
            reason = f"the TLS certificate of {address} is not accepted ({found.verify_message})"
            return reason, _certificate_remedy(found.verify_code, named_by, bundle, bundles)
        why = str(getattr(found, "reason", "")) if isinstance(found, ssl.SSLError) else ""
        if any(word in why for word in _NO_TLS):
            return f"{address} does not speak TLS", f"write http:// in {named_by}"
        if any(word in why for word in _FINAL):
            reason = f"{address} refuses our kind of TLS ({why})"
            return reason, "read the server's log, and correct its TLS settings"
    return None


def _unusable(bundle: str) -> bool:
    try:
        ssl.create_default_context(cafile=os.environ[bundle])
    except (OSError, ssl.SSLError):
        return True
    return False


def _certificate_remedy(
    code: int, named_by: str, bundle: str | None, bundles: Sequence[str]
) -> str:
    if code in (_EXPIRED, _NOT_YET_VALID):
        return "renew the certificate on the server, or correct this machine's clock"
    if code in _OTHER_NAMES:
        return f"name the server in {named_by} as its certificate does"
    if bundle:
        return f"add the authority that signed it to the file {bundle} = {os.environ[bundle]!r}"
    return (
        f"set {' or '.join(bundles)} to a file with the certificate of the authority that signed it"
    )


def credentials_remedy(*, expired: bool = False) -> str:
    """What to do about refused credentials, for those that S3 clients take here."""
    profile = next((n for n in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE") if os.environ.get(n)), None)
    may = "that may read, write, list and delete there"
    if os.environ.get("AWS_ACCESS_KEY_ID"):  # stronger than a profile
        token = next((name for name in _TOKENS if os.environ.get(name)), _TOKENS[-1])
        if expired:
            return f"get new credentials; set {', '.join(_KEYS)} and {token} to them"
        remedy = f"set {' and '.join(_KEYS)} to credentials {may}"
        unset = f"; also set {token}, or unset it if they have none"
        return remedy + (unset if os.environ.get(token) else "")
    if profile:
        name = os.environ[profile]
        if expired:
            return f"renew the profile {name!r}, which {profile} names: {login(name)}"
        return f"give the profile {name!r}, which {profile} names, credentials {may}"
    if expired:
        return f"renew them: {login()}, or set {', '.join(_KEYS)} and AWS_SESSION_TOKEN"
    return f"set {' and '.join(_KEYS)} (or the machine's role) to credentials {may}"


def login(profile: str | None = None) -> str:
    """How a person renews the credentials of a profile."""
    named = f" --profile {shlex.quote(profile)}" if profile else ""
    return f"type aws sso login{named} (or aws login{named})"


def proxy_in_force(url: str) -> str | None:
    """The variable that names the proxy of a URL's scheme, if one does."""
    name = f"{url.partition('://')[0]}_proxy"
    return next((found for found in (name, name.upper()) if os.environ.get(found)), None)


def other_remedy(error: BaseException) -> str:
    """What to do about an error of a filesystem other than S3; drivers have their own settings."""
    if any(isinstance(found, ssl.SSLCertVerificationError) for found in causes(error)):
        return (
            "let the driver accept the authority that signed the certificate (SSL_CERT_FILE or "
            "REQUESTS_CA_BUNDLE), or correct the server's name or this machine's clock"
        )
    return (
        "check the URL, the network and the credentials that the filesystem's driver takes from "
        "the environment"
    )
