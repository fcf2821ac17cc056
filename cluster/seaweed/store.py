"""The object store for development and tests: a real SeaweedFS on this machine.

It keeps its objects, buckets, credentials and, where they are still free, ports over stops,
crashes and reboots. Everything about it lies in one private directory.
"""

import http.client
import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cluster.seaweed.process import Process, exclusively, poll_until, read_private, write_private
from cluster.seaweed.server import SERVICES, all_free, choose_ports, command, get, remove_sockets
from ganinv.errors import StorageError

REGION = "us-east-1"
START_DEADLINE_S = 60.0
# Asked to end, it may wait 20 s for idle connections; a kill loses nothing that was stored.
TERMINATE_DEADLINE_S = 6.0
# Another process may take a chosen port before the server does.
START_ATTEMPTS = 3
LOCK_DEADLINE_S = START_ATTEMPTS * START_DEADLINE_S
_LOG_TAIL_LINES = 15


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """A running object store."""

    directory: Path
    """Absolute; holds its data, credentials, state and log."""
    process: Process
    """The server."""
    ports: Mapping[str, int]
    """The loopback port of each of `SERVICES`; `GRPC_OFFSET` higher listens its gRPC."""

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    def environment(self) -> dict[str, str]:
        """The variables by which S3 clients find the store; they hold its secret."""
        return {
            **_credentials(self.directory),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint_url,
        }


def start(directory: Path, buckets: Sequence[str] = ()) -> ObjectStore:
    """Start the store of `directory`, or find it running, and create the `buckets` it lacks.

    Returns when it serves requests. Raises StorageError, with the end of its log, if it does not
    within `START_DEADLINE_S`.
    """
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    with exclusively(directory, LOCK_DEADLINE_S):
        store = status(directory) or _start_stopped(directory)
        _create_buckets(store, buckets)
    return store


def status(directory: Path) -> ObjectStore | None:
    """The running store of `directory`, None if there is none."""
    store = _recorded(directory.absolute())
    return store if store is not None and store.process.alive() else None


def stop(directory: Path) -> bool:
    """Stop the store of `directory`; returns whether it was running. Its data stay."""
    directory = directory.absolute()
    if not directory.is_dir():
        return False
    with exclusively(directory, LOCK_DEADLINE_S):
        store = _recorded(directory)
        if store is None:
            return False
        stopped = store.process.end(TERMINATE_DEADLINE_S)
        remove_sockets(store.ports)
    return stopped


def _start_stopped(directory: Path) -> ObjectStore:
    former = _recorded(directory)
    # Shells that were told the endpoint once go on finding the store there.
    ports = former.ports if former else {}
    for _ in range(START_ATTEMPTS):
        if not ports or not all_free(ports.values()):
            ports = dict(zip(SERVICES, choose_ports(len(SERVICES)), strict=True))
        store = _launch(directory, ports)
        if _comes_up(store):
            return store
        ran_on = store.process.end(TERMINATE_DEADLINE_S)
        remove_sockets(ports)
        if ran_on:
            break  # it ran all the time, so other ports would not help
        ports = {}
    log = _log(directory)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
    raise StorageError(
        f"the object store of {directory} does not serve; mend what the end of {log} says:\n{tail}"
    )


def _launch(directory: Path, ports: Mapping[str, int]) -> ObjectStore:
    environment = {
        **os.environ,
        **_credentials(directory),
        "GOMEMLIMIT": "256MiB",  # without it the server grows to 600 MB under load
    }
    with _log(directory).open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 (our own binary and our own arguments)
            command(directory / "data", ports),
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # ctrl-C in the terminal is not meant for it
        )
    store = ObjectStore(directory=directory, process=Process.of(server.pid), ports=dict(ports))
    write_private(_state(directory), {"process": asdict(store.process), "ports": store.ports})
    return store


def _comes_up(store: ObjectStore) -> bool:
    client = _client(store)
    poll_until(lambda: _serves(store, client) or not store.process.alive(), START_DEADLINE_S)
    return store.process.alive() and _serves(store, client)


def _serves(store: ObjectStore, client: Any) -> bool:
    try:
        get(store.ports["s3"], "/healthz")
        # After a crash buckets are listed before their volumes are found, and reads would fail.
        topology = json.loads(get(store.ports["master"], "/dir/status"))["Topology"]
        client.list_buckets()  # with our keys, which another server would refuse
    except (OSError, http.client.HTTPException, BotoCoreError, ClientError):
        return False
    return bool(topology["DataCenters"])


def _create_buckets(store: ObjectStore, names: Sequence[str]) -> None:
    client = _client(store)
    try:
        existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for name in dict.fromkeys(names):
            if name not in existing:
                client.create_bucket(Bucket=name)
    except (BotoCoreError, ClientError) as error:
        raise StorageError(
            f"the object store of {store.directory} refuses to make the buckets {list(names)}: "
            f"{error}; give names of 3 to 63 small letters, digits and hyphens, or stop it and "
            "start it again"
        ) from error


def _client(store: ObjectStore) -> Any:
    credentials = _credentials(store.directory)
    return botocore.session.Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=store.endpoint_url,
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1}),
    )


def _credentials(directory: Path) -> dict[str, str]:
    path = directory / "credentials.json"
    if (credentials := read_private(path)) is None:
        credentials = {
            "AWS_ACCESS_KEY_ID": secrets.token_hex(10).upper(),
            "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        }
        write_private(path, credentials)
    return credentials


def _recorded(directory: Path) -> ObjectStore | None:
    state = read_private(_state(directory))
    if state is None:
        return None
    process = Process(**state["process"])
    return ObjectStore(directory=directory, process=process, ports=state["ports"])


def _state(directory: Path) -> Path:
    return directory / "state.json"


def _log(directory: Path) -> Path:
    return directory / "weed.log"
