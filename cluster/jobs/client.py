"""Ray's client of a job server, with timeouts, retries and errors as `ClusterError`."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from ganinv.errors import ClusterError
from ganinv.places.explaining import tls_failure

REQUEST_TIMEOUT_S = 30.0
ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
SILENCE_S = 60.0  # without new log lines, after which the client reconnects


class UnreachableError(ClusterError):
    """The server does not answer; a retry may help."""


class NotReadyError(ClusterError):
    """The head has just started and cannot run jobs yet."""


class Client(JobSubmissionClient):  # type: ignore[misc]  # Ray is not typed for us
    """Ray's client with a timeout; by itself it waits forever for a silent server."""

    def __init__(self, address: str) -> None:
        # `submit` itself reports what it ships. Ray's loggers set their own levels; handlers don't.
        for handler in logging.getLogger("ray").handlers:
            if type(handler).__module__.startswith("ray."):  # not those of another program's log
                handler.setLevel(logging.ERROR)
        super().__init__(address)

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        options.setdefault("timeout", REQUEST_TIMEOUT_S)
        return super()._do_request(method, endpoint, **options)


@dataclass
class Log:
    """Writes only the new part of a log, although every stream sends the log from its start."""

    write: Callable[[str], object]
    written: int = 0  # characters

    async def read(self, stream: Any) -> None:
        """Read a stream of text to its end, or until it sends nothing for `SILENCE_S`."""
        received = 0
        while True:
            try:
                text = await asyncio.wait_for(anext(stream), SILENCE_S)
            except (StopAsyncIteration, TimeoutError):
                return
            new = text[max(0, self.written - received) :]
            received += len(text)
            self.written = max(self.written, received)
            if new:
                self.write(new)


def _named_by(address: str) -> str:
    """The variable that names the server, or else the option."""
    variables = (ADDRESS_VARIABLE, "RAY_ADDRESS")
    return next((v for v in variables if os.environ.get(v) == address), "server.address")


def _token_remedy() -> str:
    """Where to put the cluster's token: Ray reads one of three places only."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        if value := os.environ.get(name):
            at = f"the file {value}, which {name} names," if name.endswith("PATH") else name
            return f"{at} holds no or another token here; correct it, or unset {name}"
    return "put the token into ~/.ray/auth_token, RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN"


@contextmanager
def addressed(address: str) -> Iterator[None]:
    """Ray's clients ask the server that a variable names, whatever address they are given."""
    before = os.environ.get(ADDRESS_VARIABLE)
    os.environ[ADDRESS_VARIABLE] = address  # stronger than RAY_ADDRESS
    try:
        yield
    finally:
        if before is None:
            del os.environ[ADDRESS_VARIABLE]
        else:
            os.environ[ADDRESS_VARIABLE] = before


@contextmanager
def translated_errors(address: str) -> Iterator[None]:
    """Raises errors of a request as `ClusterError`, with the remedy."""
    try:
        yield
    except AuthenticationError as error:
        raise ClusterError(
            f"{address} refuses requests without the cluster's token; {_token_remedy()}"
        ) from error
    except (requests.RequestException, ConnectionError) as error:
        named_by = _named_by(address)
        if found := tls_failure(error, address, named_by, ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")):
            raise ClusterError("; ".join(found)) from error
        raise UnreachableError(
            f"no job server answers at {address} ({type(error).__name__}); open a tunnel to the "
            "head (ray dashboard ray_cluster.yaml, or ssh -L 8265:127.0.0.1:8265 HEAD) or correct "
            f"{named_by}=http://HOST:PORT; running jobs continue meanwhile"
        ) from error
    except RuntimeError as error:  # raised by Ray's client for an error response
        reason = str(error).strip().splitlines()[0]
        kind = NotReadyError if "No available agent" in reason else ClusterError
        raise kind(
            f"the job server at {address} refused: {reason}; see dashboard_JobHead.log and "
            "dashboard_agent.log among Ray's logs on the head"
        ) from error
