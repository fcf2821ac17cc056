"""Checks of what starting or joining Ray needs. Ray would wait for minutes, or give no reason.

`cluster.workers.starting` makes them before it starts Ray, `ganinv doctor` on demand.
"""

import os
import re
import socket
from pathlib import Path

from cluster.jobs.ray_environment import cluster_address
from ganinv.errors import ClusterError

CONNECT_S = 5.0  # for the head to accept a connection, and to answer as Ray's head does
SOCKET_PATH_BYTES = 107  # Linux' limit for the path of a Unix socket
# What Ray appends to the folder for temporary files: the longest path that it makes.
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
_ADDRESS = re.compile(r"(?P<host>[^\s:/@\[\]]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


def check_ray() -> str:
    """Whether `train` can start Ray here, or join the cluster that RAY_ADDRESS names; in words.

    Raises `ClusterError` with the variable, its value and the remedy.
    """
    address = cluster_address()
    if address is None:
        return f"starts on this machine, with its files in {check_temporary_files()}/ray"
    return f"joins the cluster at {check_address(address)}"


def check_temporary_files() -> Path:
    """The folder in which Ray puts its own. Raises `ClusterError` if Ray cannot use it."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    folder = os.environ[name] if name else "/tmp"  # noqa: S108 (Ray's choice)
    what = f"{name} = {folder!r}" if name else folder
    remedy = "choose another folder, for example RAY_TMPDIR=/tmp"
    room = SOCKET_PATH_BYTES - len(_SOCKET.format(pid=os.getpid()))
    length = len(os.fsencode(os.path.abspath(folder)))  # noqa: PTH100 (keeps links, as Ray does)
    if length > room:
        raise ClusterError(
            f"{what}: has {length} bytes, and the paths of Ray's sockets there would exceed "
            f"{SOCKET_PATH_BYTES} bytes; choose a folder of at most {room} bytes, for example "
            "RAY_TMPDIR=/tmp"
        )
    # Ray creates the folder, so the nearest one that exists must be writable.
    path = Path(folder).absolute()
    there = next(parent for parent in (path / "ray", path, *path.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ClusterError(f"{what}: Ray may not write to {there}; {remedy}")
    return path


def check_address(address: str) -> str:
    """HOST:PORT of the head. Raises `ClusterError` if the address is wrong or nothing answers."""
    if address == "auto":
        where = "auto"
        address = _found_here()
    else:
        where = address
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ClusterError(f"RAY_ADDRESS = {_without_password(where)!r}: {_wrong_form(address)}")
    host, port = match["host"].strip("[]"), int(match["port"])
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        raise ClusterError(
            f"RAY_ADDRESS = {where!r}: no Ray cluster answers at {address} "
            f"({error.strerror or error}); correct the address (HOST:6379 of a running head), or "
            "unset RAY_ADDRESS to start Ray on this machine"
        ) from error
    if not _speaks_grpc(address):
        raise ClusterError(
            f"RAY_ADDRESS = {where!r}: what listens at {address} is not the head of a Ray cluster; "
            "give HOST:PORT as ray start --head printed it (port 6379 by default, not the "
            "dashboard's), or unset RAY_ADDRESS to start Ray on this machine"
        )
    return address


def _found_here() -> str:
    # Not public; Ray's own commands resolve `auto` with it.
    from ray._private.services import canonicalize_bootstrap_address

    try:
        return str(canonicalize_bootstrap_address("auto"))
    except ConnectionError as error:
        raise ClusterError(
            "RAY_ADDRESS = 'auto': no Ray cluster runs on this machine; start one with "
            "ray start --head, give HOST:6379 of a running head, or unset RAY_ADDRESS to start Ray "
            "for this command alone"
        ) from error


def _wrong_form(address: str) -> str:
    if address.startswith(("http://", "https://")):
        return (
            "is the form of a dashboard's address; give HOST:6379 of the head, or send the "
            "training there with submit … server.address=URL"
        )
    if address.startswith("ray://"):
        return (
            "Ray Client cannot train; give HOST:6379 and type the command on a node of the "
            "cluster, or use submit, which works from anywhere"
        )
    return "write HOST:PORT of the cluster's head, for example 10.0.0.1:6379, or auto"


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", address)


def _speaks_grpc(address: str) -> bool:
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return True  # Ray itself has the certificates
    import grpc

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_S)
        except grpc.FutureTimeoutError:
            return False
    return True
