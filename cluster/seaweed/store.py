"""The object store for development and tests: a real SeaweedFS on this machine.

Objects, buckets, credentials and, where they are still free, ports survive stops, crashes and
reboots. Everything lies in one private directory.
"""

import http.client
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cluster.processes import Process, Server
from cluster.seaweed.private_files import exclusively, read_private, write_private
from cluster.seaweed.server import SERVICES, all_free, choose_ports, command, get, remove_sockets
from ganinv.errors import ClusterError, StorageError
from ganinv.places.loopback import proxies_for, spare_loopback

REGION = "us-east-1"
# S3 clients prefer these to the variables of `ObjectStore.environment`, or fail because of them.
OUTRANKING = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",  # its former name
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
START_DEADLINE_S = 60.0
# After SIGTERM the server may wait 20 s for idle connections; SIGKILL loses no stored object.
TERMINATE_DEADLINE_S = 6.0
# Another process may take a chosen port before the server does.
START_ATTEMPTS = 3
LOCK_DEADLINE_S = START_ATTEMPTS * START_DEADLINE_S


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """A running object store."""

    directory: Path
    """Absolute; holds the store's data, credentials, state and log."""
    process: Process
    """The server."""
    ports: Mapping[str, int]
    """The loopback port of each of `SERVICES`; gRPC listens `GRPC_OFFSET` higher."""

    @property
    def endpoint_url(self) -> str:
        return _endpoint_url(self.ports)

    def environment(self) -> dict[str, str]:
        """The variables by which S3 clients find the store, without those of `OUTRANKING`.

        They include its secret key.
        """
        return {
            **_credentials(self.directory),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint_url,
        }

    def enter(self, environment: MutableMapping[str, str]) -> None:
        """Let S3 clients with this `environment` find the store, whatever it held before."""
        for name in OUTRANKING:
            environment.pop(name, None)
        environment.update(self.environment())
        spare_loopback(environment)


def start(
    directory: Path, buckets: Sequence[str] = (), *, until_unused: bool = False
) -> ObjectStore:
    """Start the store of `directory` unless it runs, and create the `buckets` that do not exist.

    Returns when the store serves requests. Raises `StorageError`, with the end of its log, if it
    does not within `START_DEADLINE_S`. `until_unused`: if it is started, `stop_unused` may stop it.
    """
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    with _locked(directory):
        store = status(directory) or _start_stopped(directory, until_unused)
        _create_buckets(store, buckets)
    return store


def status(directory: Path) -> ObjectStore | None:
    """The running store of `directory`; None if there is none."""
    store = _recorded(directory.absolute())
    return store if store is not None and store.process.alive() else None


def stop(directory: Path) -> bool:
    """Stop the store of `directory`, keeping its data; returns whether it was running."""
    directory = directory.absolute()
    if not directory.is_dir():
        return False
    with _locked(directory):
        return _stop(directory)


def stop_unused(directory: Path, unused: Callable[[], bool]) -> None:
    """Stop the store if it was started `until_unused` and `unused` says that nobody uses it."""
    directory = directory.absolute()
    with _locked(directory):
        state = read_private(_state(directory))
        if state is not None and state.get("until_unused") and unused():
            _stop(directory)


def _stop(directory: Path) -> bool:
    store = _recorded(directory)
    if store is None:
        return False
    stopped = store.process.stop(TERMINATE_DEADLINE_S)
    remove_sockets(store.ports)
    return stopped


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Exclude other commands. Failures of the server process become `StorageError`s."""
    with exclusively(directory, LOCK_DEADLINE_S):
        try:
            yield
        except ClusterError as error:
            raise StorageError(
                f"the object store of {directory} does not serve or does not stop; correct what "
                f"{_log(directory)} reports: {error}"
            ) from error


def _start_stopped(directory: Path, until_unused: bool) -> ObjectStore:
    former = _recorded(directory)
    # The former ports, so that shells which hold the endpoint's URL find the store again.
    ports = former.ports if former else {}
    for attempt in range(1, START_ATTEMPTS + 1):
        if not ports or not all_free(ports.values()):
            ports = dict(zip(SERVICES, choose_ports(len(SERVICES)), strict=True))
        server, store = _launch(directory, ports, until_unused)
        try:
            _await_serving(server, store)
        except BaseException as error:  # Ctrl-C, too: nobody would stop the half-started server
            was_alive = store.process.stop(TERMINATE_DEADLINE_S)
            remove_sockets(ports)
            # Other ports can only help a server that has ended by itself.
            ended_itself = isinstance(error, ClusterError) and not was_alive
            if not ended_itself or attempt == START_ATTEMPTS:
                raise
            ports = {}
        else:
            return store
    raise AssertionError("the last attempt returns or raises")


def _launch(
    directory: Path, ports: Mapping[str, int], until_unused: bool
) -> tuple[Server, ObjectStore]:
    environment = {
        **_credentials(directory),
        "GOMEMLIMIT": "256MiB",  # without a limit the server grows to 600 MB under load
    }
    words = command(directory / "data", ports)
    url = _endpoint_url(ports)
    server = Server("SeaweedFS", url, words, _log(directory), environment, directory)
    store = ObjectStore(directory=directory, process=server.process, ports=dict(ports))
    state = {
        "process": asdict(store.process),
        "ports": store.ports,
        "until_unused": until_unused,
    }
    write_private(_state(directory), state)
    return server, store


def _await_serving(server: Server, store: ObjectStore) -> None:
    client = _client(store)
    server.await_ready(lambda _: _serves(store, client), START_DEADLINE_S)


def _serves(store: ObjectStore, client: Any) -> bool:
    try:
        get(store.ports["s3"], "/healthz")
        # After a crash the server lists buckets before it finds their volumes; reads would fail.
        topology = json.loads(get(store.ports["master"], "/dir/status"))["Topology"]
        client.list_buckets()  # another store's server would refuse our keys
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
            f"the object store of {store.directory} refuses to create the buckets {list(names)}: "
            f"{error}; give names of 3 to 63 lower-case letters, digits and hyphens, or stop the "
            "store and start it again"
        ) from error


def _client(store: ObjectStore) -> Any:
    credentials = _credentials(store.directory)
    return botocore.session.Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=store.endpoint_url,
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        config=Config(
            connect_timeout=5,
            read_timeout=15,
            retries={"total_max_attempts": 1},
            **proxies_for(store.endpoint_url),
        ),
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


def _endpoint_url(ports: Mapping[str, int]) -> str:
    return f"http://127.0.0.1:{ports['s3']}"


def _state(directory: Path) -> Path:
    return directory / "state.json"


def _log(directory: Path) -> Path:
    return directory / "weed.log"
