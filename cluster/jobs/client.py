"""Ray's client of a job server, made patient but not endless, and its errors made ours."""

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
SILENCE_S = 60.0  # without a line of the log: then the connection is made anew


class UnreachableError(ClusterError):
    """Nobody answers; it may pass."""


class NotReadyError(ClusterError):
    """The head has no agent yet that could start a job."""


class Client(JobSubmissionClient):  # type: ignore[misc]  # Ray is not typed for us
    """Ray's client, which would wait without end for a server that went silent."""

    def __init__(self, address: str) -> None:
        # What is shipped is said by us, once. Ray's modules set levels of their own.
        for handler in logging.getLogger("ray").handlers:
            handler.setLevel(logging.ERROR)
        super().__init__(address)

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        options.setdefault("timeout", REQUEST_TIMEOUT_S)
        return super()._do_request(method, endpoint, **options)


@dataclass
class Log:
    """Passes on what was not passed on yet of a text that is told from its beginning each time."""

    write: Callable[[str], object]
    passed: int = 0  # characters

    async def read(self, stream: Any) -> None:
        """Read a stream of text to its end, or until it is silent for `SILENCE_S`."""
        told = 0
        while True:
            try:
                text = await asyncio.wait_for(anext(stream), SILENCE_S)
            except (StopAsyncIteration, TimeoutError):
                return
            new = text[max(0, self.passed - told) :]
            told += len(text)
            self.passed = max(self.passed, told)
            if new:
                self.write(new)


@contextmanager
def translated_errors(address: str) -> Iterator[None]:
    """Raises `ClusterError` with the remedy for whatever goes wrong with a request."""
    try:
        yield
    except AuthenticationError as error:
        raise ClusterError(
            f"{address} does not admit without the cluster's token; put it into "
            "~/.ray/auth_token, RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN"
        ) from error
    except (requests.RequestException, ConnectionError) as error:
        raise UnreachableError(
            f"no job server answers at {address} ({type(error).__name__}); open a tunnel to the "
            "head (ray dashboard ray_cluster.yaml, or ssh -L 8265:127.0.0.1:8265 HEAD) or give "
            "server.address=http://HOST:PORT; a job that runs goes on meanwhile"
        ) from error
    except RuntimeError as error:  # how Ray's client says that an answer was not "ok"
        said = str(error).strip().splitlines()[0]
        kind = NotReadyError if "No available agent" in said else ClusterError
        raise kind(
            f"the job server at {address} refused: {said}; see dashboard_JobHead.log and "
            "dashboard_agent.log among Ray's logs on the head"
        ) from error
