"""Ray's client of a job server, with timeouts, retries and errors as `ClusterError`."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from ganinv.errors import ClusterError

REQUEST_TIMEOUT_S = 30.0
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


@contextmanager
def translated_errors(address: str) -> Iterator[None]:
    """Raises errors of a request as `ClusterError`, with the remedy."""
    try:
        yield
    except AuthenticationError as error:
        raise ClusterError(
            f"{address} refuses requests without the cluster's token; put the token into "
            "~/.ray/auth_token, RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN"
        ) from error
    except (requests.RequestException, ConnectionError) as error:
        raise UnreachableError(
            f"no job server answers at {address} ({type(error).__name__}); open a tunnel to the "
            "head (ray dashboard ray_cluster.yaml, or ssh -L 8265:127.0.0.1:8265 HEAD) or give "
            "server.address=http://HOST:PORT; running jobs continue meanwhile"
        ) from error
    except RuntimeError as error:  # raised by Ray's client for an error response
        reason = str(error).strip().splitlines()[0]
        kind = NotReadyError if "No available agent" in reason else ClusterError
        raise kind(
            f"the job server at {address} refused: {reason}; see dashboard_JobHead.log and "
            "dashboard_agent.log among Ray's logs on the head"
        ) from error
