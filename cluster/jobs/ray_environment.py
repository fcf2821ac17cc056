"""Sets Ray's environment variables. Ray reads them while it is imported, so they are set before.

A local Ray gets a random token, which only this process and its children have in their environment.
For a cluster (RAY_ADDRESS, or a client of its job server) Ray uses the user's token from
RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token. Variables that are set already stay.
"""

import os
import secrets
import sys


def cluster_address() -> str | None:
    """RAY_ADDRESS; None if Ray starts on this machine: it is unset, empty or `local`."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return None if address in ("", "local") else address


def prepare(*, client: bool = False) -> None:
    """Call before anything imports Ray. `client`: connect to a cluster, start no local Ray."""
    assert "ray" not in sys.modules, "must be called before Ray is imported"
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        if not client and cluster_address() is None:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # relative paths start at the checkout
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the announced future default
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage data
