"""Starts Ray on this machine, or joins a cluster; says in one sentence what prevents it."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import chdir, contextmanager

import ray

from cluster.config import ClusterConfig
from cluster.jobs.ray_environment import cluster_address
from cluster.jobs.shipping import CHECKOUT, runtime_environment, shipped
from cluster.machines.ray_checks import check_ray
from cluster.processes import Process, children
from cluster.signals import children_block, ended_if_blocked
from ganinv.errors import ClusterError, ConfigError

log = logging.getLogger(__name__)
# Ray's limit for its first server to listen (30 by default), on the second attempt.
PATIENCE_S = "120"
KILL_AFTER_S = 0.5  # what is left of a failed start; it saves nothing
# Ray takes these over, and its processes must not end by what the command gets.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What Ray raises, some of it without a class of its own. `Exception`: its limit of a node's start.
_RAY_ERRORS = (Exception, SystemExit)


def start_ray(config: ClusterConfig) -> None:
    """Join the cluster named by RAY_ADDRESS, or start Ray on this machine.

    A local Ray ends with this process, even if the process is killed. Call
    `cluster.jobs.ray_environment.prepare` first: it sets who may connect. Raises `ConfigError` for
    workers that this machine can never have, and `ClusterError` if Ray cannot be started or joined.
    """
    check_demand(config)
    check_ray()
    settings = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",  # detect failures early
        "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(config.hang_floor_s),
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(config.start_timeout_s),
    }
    if not config.use_gpu:
        settings["DS_ACCELERATOR"] = (
            "cpu"  # otherwise DeepSpeed searches for accelerators and warns
        )
    missing = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(missing)
    with _own_handlers(), ended_if_blocked(ENDINGS):
        address = cluster_address()
        if address is not None:
            _join(address, {name: os.environ[name] for name in settings}, missing)
        else:
            _start_local(config)


def check_demand(config: ClusterConfig) -> None:
    """Raises `ConfigError` if a local Ray could never have enough GPUs for the fewest workers."""
    if not config.use_gpu or cluster_address() is not None:
        return
    import torch

    needed, found = config.sizes[0], torch.cuda.device_count()
    if needed > found:
        key = "cluster.workers" if len(config.sizes) == 1 else "cluster.min_workers"
        raise ConfigError(
            f"cluster.use_gpu = True: {needed} worker{'s' * (needed > 1)} need"
            f"{'s' * (needed == 1)} as many GPUs, and this machine has {found or 'none'}; "
            f"{f'lower {key} to {found}, ' if found else ''}give cluster.use_gpu=false, or set "
            "RAY_ADDRESS to train on a cluster"
        )


def _join(address: str, settings: dict[str, str], missing: dict[str, str]) -> None:
    """Connect, and pass on variables, because nodes do not inherit this process' environment."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        # The job has shipped the checkout and set its variables; Ray refuses to set one twice.
        environment: dict[str, object] = {"env_vars": missing}
    else:
        shipped()  # raises if the checkout is too large
        environment = {**runtime_environment(), "env_vars": settings}
    try:
        ray.init(address, runtime_env=environment, logging_level="warning", log_to_driver=False)
    except _RAY_ERRORS as error:
        _give_up(error)
        raise ClusterError(
            f"RAY_ADDRESS = {address!r}: cannot join the cluster: {_reason(error)}; type the "
            "command on a node of the cluster, with its token and its versions of Python and Ray, "
            "or use submit, which works from anywhere"
        ) from error


def _start_local(config: ClusterConfig) -> None:
    """Start Ray, once more if it fails: a busy machine may exceed Ray's limits."""
    failure = _init_local(config)
    if failure is not None:
        log.warning(
            "Ray did not start (%s); trying once more, with more patience", _reason(failure)
        )
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", PATIENCE_S)
        failure = _init_local(config)
    if failure is not None:
        raise ClusterError(
            f"Ray does not start on this machine, tried twice: {_reason(failure)}; end programs "
            "that use its processors or memory, then repeat the command (ganinv doctor checks the "
            "rest)"
        ) from failure


def _init_local(config: ClusterConfig) -> BaseException | None:
    """Start Ray. Returns the error if that fails; then nothing of Ray runs."""
    others = children()
    try:
        _init(config)
    except _RAY_ERRORS as error:
        _give_up(error)
        for pid in children() - others:  # Ray forgets what it began
            Process.of(pid).stop(KILL_AFTER_S)
        return error
    return None


def _init(config: ClusterConfig) -> None:
    # Ray lets workers import from the current folder first. That must be the checkout: the folder
    # where the command was typed may hold another package `datasets`. `timeout`, systemd and a
    # closing terminal signal the whole process group of a command: without the block, Ray's own
    # processes would end before the workers have saved. They end when this process shuts them down
    # or dies. (Ray itself blocks SIGINT.)
    with children_block((signal.SIGTERM, signal.SIGHUP)), chdir(CHECKOUT):
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, int(config.sizes[-1] * config.cpus_per_worker) + 1),
            include_dashboard=False,
            logging_level="warning",
            log_to_driver=False,  # messages for people come through the directory
            object_store_memory=100 * 2**20,  # no tensor travels through it
        )


def _give_up(error: BaseException) -> None:
    """End what Ray has begun. Raises `KeyboardInterrupt` if a signal was the reason.

    Until `_own_handlers` ends, Ray's handler turns SIGTERM into `SystemExit`.
    """
    ray.shutdown()
    if isinstance(error, SystemExit):
        raise KeyboardInterrupt from error


def _reason(error: BaseException) -> str:
    """The first line of the error, or what its cause says about the token."""
    cause: BaseException | None = error
    while cause is not None:
        if "AuthToken" in str(cause):
            return "it refuses the token"
        cause = cause.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".;: ")


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Afterwards signals are handled as before: Ray replaces the handler of SIGTERM."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
