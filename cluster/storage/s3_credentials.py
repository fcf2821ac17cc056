"""Credentials of S3 that cannot be found, obtained or renewed, before any request to the store."""

import logging

from botocore.exceptions import (
    ClientError,
    LoginError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from ganinv.places.explaining import PROVIDERS, causes, credentials_remedy, raised_by_provider

# Requests by which botocore obtains credentials; these errors are not answers of the store.
_OBTAINING = {
    "AssumeRole", "AssumeRoleWithWebIdentity", "GetRoleCredentials", "GetSessionToken",
    "CreateToken", "CreateOAuth2Token",
}  # fmt: skip

for _name in PROVIDERS:
    # They log the traceback of every failure that they raise as well.
    logging.getLogger(_name).setLevel(logging.ERROR)


def credentials_failure(error: BaseException) -> tuple[str, str] | None:
    """Reason and remedy, if there are no credentials to send; None for any other failure."""
    for found in causes(error):
        if isinstance(found, NoCredentialsError):
            return "no credentials were found", credentials_remedy()
        if isinstance(found, PartialCredentialsError):
            return f"the credentials are incomplete ({found})", credentials_remedy()
        said = f" ({type(found).__name__}: {str(found).strip().rstrip('.')})"
        if isinstance(found, SSOError | LoginError | TokenRetrievalError):
            return "the credentials have expired" + said, credentials_remedy(expired=True)
        if (
            isinstance(found, ProfileNotFound)
            or (isinstance(found, ClientError) and found.operation_name in _OBTAINING)
            or raised_by_provider(found)
        ):
            expired = "expired" in str(found).lower()
            reason = "have expired" if expired else "cannot be obtained"
            return f"the credentials {reason}{said}", credentials_remedy(expired=expired)
    return None
