"""Hosts of the lab: each has its own network, processes, mounts, host name and SSH server.

Hosts live in the namespaces that enter.sh makes, and end with them. They share a kernel, a clock
and a page cache. Otherwise they are as separate as machines: Ray's launcher and `ray stop` behave
as on real machines.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.commands import ROOT, wait_until

STATE = Path("/run/lab")
HERE = Path(__file__).parent
NETWORK = "10.77.0"
SSHD = """\
Port 22
HostKey /etc/ssh/host_key
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
PidFile none
"""


@dataclass
class Host:
    """A machine that a test can start, crash and disconnect."""

    name: str
    address: str
    bare: bool = False  # comes without Python packages
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def state(self) -> Path:
        return STATE / self.name

    @property
    def home(self) -> Path:
        """/root of the host. It survives a crash, like a disk."""
        return self.state / "home"

    def connect(self) -> None:
        """Make the host's network: a link, named like the host, from the bridge to its eth0."""
        ip("netns", "add", self.name)
        ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self.name, "master", "lab0", "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")

    def start(self) -> None:
        """Boot the host and wait for its SSH server."""
        venv, packages = ("", _downloaded()) if self.bare else (sys.prefix, "")
        self.process = subprocess.Popen(
            [
                "nsenter", f"--net=/run/netns/{self.name}",
                "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=SIGKILL",
                "bash", str(HERE / "host.sh"), self.name, str(self.state),
                sys.base_prefix, venv, str(ROOT), packages,
            ],
            stdout=(self.state / "console").open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        wait_until(self._answers, 60, f"{self.name} answers to SSH")

    def crash(self) -> None:
        """Power off: all processes of the host end at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        wait_until(lambda: not self._answers(), 10, f"{self.name} is down")

    def cut_link(self) -> None:
        ip("link", "set", self.name, "down")

    def restore_link(self) -> None:
        ip("link", "set", self.name, "up")

    def processes(self) -> list[str]:
        """The command lines of all processes on the host."""
        return self.run(
            "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done"
        ).splitlines()

    def run(self, command: str) -> str:
        """What a shell command prints on the host; the command may fail."""
        words = ["ssh", *ssh_options(), f"root@{self.address}", command]
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=60
        )
        return done.stdout

    def _answers(self) -> bool:
        with socket.socket() as link:
            link.settimeout(1)
            return link.connect_ex((self.address, 22)) == 0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


def client() -> Path:
    """The home of the user: SSH key and token."""
    return STATE / "client"


def ssh_options() -> list[str]:
    return [
        "-i", str(client() / "key"), "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
    ]  # fmt: skip


def build(names: list[str], bare: Container[str] = ()) -> list[Host]:
    """Boot hosts of these names. Those that are not bare have packages, like a node's image."""
    assert os.environ.get("GANINV_LAB"), "works only inside tests/lab/enter.sh"
    client().mkdir(parents=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(client() / "key")], check=True
    )
    hosts = [Host(name, f"{NETWORK}.{11 + i}", name in bare) for i, name in enumerate(names)]
    table = "127.0.0.1 localhost\n" + "".join(f"{h.address} {h.name}\n" for h in hosts)
    for host in hosts:
        _prepare_disk(host, table)
        host.connect()
        host.start()
    return hosts


def python() -> str:
    """The path of the interpreter of which all hosts make their environments."""
    return f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"


def _downloaded() -> str:
    """The folder of download.sh."""
    assert "GANINV_LAB_PACKAGES" in os.environ, "type make lab: it downloads packages for a host"
    return os.environ["GANINV_LAB_PACKAGES"]


def _prepare_disk(host: Host, table: str) -> None:
    host.home.mkdir(parents=True)
    if host.bare:
        for name in ("uv/uv.toml", "pip/pip.conf"):
            target = host.home / ".config" / name
            target.parent.mkdir(parents=True)
            shutil.copy(Path(_downloaded()) / target.name, target)
    else:
        packages = host.home / ".ganinv"
        packages.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (packages / name).symlink_to(Path(sys.prefix) / name)
        files = ("cluster/deploy/setup_node.sh", "constraints.txt", "pyproject.toml")
        installed = "".join((ROOT / name).read_text() for name in files)
        (packages / "installed").write_text(f"{python()}\n{installed}")  # as setup_node.sh does
    keys = host.home / ".ssh"
    keys.mkdir()
    shutil.copy(client() / "key.pub", keys / "authorized_keys")
    (host.state / "hosts").write_text(table)
    (host.state / "sshd_config").write_text(SSHD)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.state / "host_key")],
        check=True,
    )
