"""Facts about one machine, and checks that it can take part in a run."""

import os
import platform
import resource
import shutil
import socket
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cluster.jobs.shipping import CHECKOUT
from cluster.storage.opening import probe
from ganinv.errors import ClusterError, ConfigError
from ganinv.seams.stores import Range, Store

DISK_BYTES = 5 * 10**9  # for Ray's session, logs and spilled objects
OPEN_FILES = 4096  # Ray needs at least one connection per worker process
TRIAL_BYTES = 32 * 2**20  # written to and read from storage
EXTRAS = ("train", "metrics")  # of pyproject.toml, which every machine that trains has


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Facts about one machine, collected on that machine."""

    host: str
    address: str | None  # that the host's own name resolves to
    python: str
    packages: Mapping[str, str]  # installed versions of the packages in constraints.txt
    free_disk_bytes: int  # in the folder for temporary files
    cpus: int
    memory_bytes: int
    open_files: int  # limit per process
    gpus: tuple[str, ...]
    bf16: (
        str | None
    )  # the processor's units for bfloat16; without them train.precision=bf16 needs GPUs

    @property
    def summary(self) -> str:
        gpus = ", ".join(self.gpus) or "no GPU"
        bf16 = f"processor has bf16 ({self.bf16})" if self.bf16 else "processor has no bf16"
        return (
            f"Python {self.python}, {self.cpus} CPUs, {self.memory_bytes / 1e9:.0f} GB memory, "
            f"{self.free_disk_bytes / 1e9:.0f} GB disk free, {gpus}, {bf16}"
        )


def inspect_machine() -> Machine:
    """Collect the facts about this machine. Takes seconds, because it imports torch."""
    import torch

    from ganinv.precision import bf16_units

    host = socket.gethostname()
    try:
        address = socket.gethostbyname(host)
    except OSError:
        address = None
    gpus = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return Machine(
        host=host,
        address=address,
        python=platform.python_version(),
        packages={name: found for name in pins() if (found := _installed(name))},
        free_disk_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        gpus=gpus,
        bf16=bf16_units(),
    )


def pins() -> dict[str, str]:
    """Package → version, as pinned in constraints.txt."""
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==", 1) for line in lines)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def needed() -> set[str]:
    """The packages that recipes need, from pyproject.toml."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = (project["optional-dependencies"][name] for name in EXTRAS)
    lines = chain(project["dependencies"], *extras)
    return {canonicalize_name(Requirement(line).name) for line in lines}


def check_versions(machine: Machine) -> str:
    """Raises `ConfigError` for a package that is missing or does not have the pinned version."""
    pinned = pins()
    wrong = [
        f"{name} {found} instead of {pinned[name]}"
        for name, found in machine.packages.items()
        if found.partition("+")[0] != pinned[name]  # builds of torch differ after the +
    ]
    there = {canonicalize_name(name) for name in machine.packages}
    wrong += [f"no {name}" for name in sorted(needed() - there)]
    if wrong:
        raise ConfigError(
            f"{machine.host} has other packages than constraints.txt: {', '.join(wrong)}; run "
            "make setup (on a cluster's nodes: cluster/deploy/setup_node.sh)"
        )
    return f"{len(machine.packages)} packages as pinned"


def check_room(machine: Machine) -> str:
    """Raises `ConfigError` if disk space or the limit of open files is too low."""
    if machine.free_disk_bytes < DISK_BYTES:
        raise ConfigError(
            f"{machine.host} has {machine.free_disk_bytes / 1e9:.1f} GB free in "
            f"{tempfile.gettempdir()}, less than {DISK_BYTES / 1e9:.0f} GB; free space there, or "
            "set TMPDIR"
        )
    if machine.open_files < OPEN_FILES:
        raise ConfigError(
            f"{machine.host} lets a process open {machine.open_files} files, fewer than "
            f"{OPEN_FILES}; type ulimit -n 65536 first"
        )
    return machine.summary


def check_name(machine: Machine) -> str:
    """Raises `ClusterError` if the host's name resolves to loopback, because gloo uses the name."""
    if machine.address is None or machine.address.startswith("127."):
        raise ClusterError(
            f"{machine.host} resolves its own name to {machine.address or 'nothing'}, which other "
            "nodes cannot reach; put its real address into its /etc/hosts, or set "
            "GLOO_SOCKET_IFNAME to its network interface before ray start"
        )
    return f"{machine.host} is {machine.address}"


def check_store(store: Store) -> str:
    """Write, write conditionally, read ranges, list and delete for real, and measure the speed.

    Raises `StorageError` as `cluster.storage.opening.probe` does. Deletes what it wrote.
    """
    probe(store)
    name = f"probe-{socket.gethostname()}-{os.getpid()}"
    data = os.urandom(TRIAL_BYTES)
    started = time.perf_counter()
    store.write(name, data)
    written = time.perf_counter()
    try:
        eighth = TRIAL_BYTES // 8
        store.read_ranges([Range(name, i * eighth, (i + 1) * eighth) for i in range(8)])
        read = time.perf_counter()
    finally:
        store.delete([name])
    megabytes = TRIAL_BYTES / 1e6
    return (
        f"{store.url}: usable; writes {megabytes / (written - started):.0f} MB/s, "
        f"reads {megabytes / (read - written):.0f} MB/s"
    )
