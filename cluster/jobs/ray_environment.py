"""Ray's settings, which it reads once, while it is imported: so they are set before.

A Ray that is started here admits only holders of a token that lives in this process' environment
and in that of its children. Speaking to a cluster (RAY_ADDRESS, or the verbs that are clients of
its job server), the user's own token is taken, from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
~/.ray/auth_token. Whatever is set already stays.
"""

import os
import secrets
import sys


def prepare(*, client: bool = False) -> None:
    """Call before anything imports Ray. A `client` speaks to a cluster and starts no Ray."""
    assert "ray" not in sys.modules, "Ray has read its environment already"
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        if not client and not os.environ.get("RAY_ADDRESS"):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # relative paths mean the same everywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as will be Ray's default
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what is trained here
