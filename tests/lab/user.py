"""The user of the lab: her commands, her SSH tunnel, and a store that the nodes can reach."""

import os
import re
import secrets
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster.seaweed import store as seaweed
from tests.lab.hosts import NETWORK, STATE, Host, client, python, ssh_options
from tests.support.commands import ROOT, wait_until

STORE_PORT = 8333
BUCKET = "lab"


class User:
    """Runs `ray …` and `python -m launch …` in the checkout, with a home of her own."""

    def __init__(self, hosts: list[Host], store: seaweed.ObjectStore) -> None:
        self.hosts = hosts
        self.token = secrets.token_hex(32)
        ray_home = client() / ".ray"
        ray_home.mkdir(mode=0o700)
        (ray_home / "auth_token").write_text(self.token)
        self.secret = store.environment()["AWS_SECRET_ACCESS_KEY"]
        self.cluster_file = client() / "local.yaml"
        self.cluster_file.write_text(self._edit((ROOT / "cluster/deploy/local.yaml").read_text()))
        bare = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RAY_"))}
        self.environment = {
            **bare,
            "HOME": str(client()),
            "PATH": f"{Path(sys.executable).parent}:{bare['PATH']}:/usr/sbin",
            "RAY_AUTH_MODE": "token",
            "RAY_UP_enable_autoscaler_v2": "0",
            "RAY_TMPDIR": str(client() / "tmp"),
            "AWS_ENDPOINT_URL": f"http://{NETWORK}.1:{STORE_PORT}",
            "AWS_REGION": "us-east-1",
        }
        (client() / "tmp").mkdir()
        for host in hosts:
            _give_credentials(host, store)

    def _edit(self, text: str) -> str:
        """Change what the file's first comment says to change, and nothing else."""
        head, *workers = (host.address for host in self.hosts)
        for pattern, value in {
            r"head_ip: \S+": f"head_ip: {head}",
            r"worker_ips: \[.*\]": f"worker_ips: [{', '.join(workers)}]",
            r"ssh_user: \S+": "ssh_user: root",
            r"ssh_private_key: \S+": f"ssh_private_key: {client() / 'key'}",
            r"deploy/setup_node\.sh$": f"deploy/setup_node.sh {python()}",
        }.items():
            text, count = re.subn(pattern, value, text, flags=re.MULTILINE)
            assert count == 1, pattern
        return text

    def ray(self, verb: str) -> str:
        """Run `ray up` or `ray down` to its end; returns its output."""
        return self._run(["ray", verb, "-y", str(self.cluster_file)], 180).stdout

    def launch(self, *words: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        return self._run([sys.executable, "-m", "launch", *words], timeout_s, check=False)

    def follow(self, *words: str, output: Path) -> subprocess.Popen[bytes]:
        """Start `python -m launch WORDS` with its output in a file."""
        return subprocess.Popen(
            [sys.executable, "-m", "launch", *words],
            cwd=ROOT,
            env=self.environment,
            stdout=output.open("wb"),
            stderr=subprocess.STDOUT,
        )

    def _run(
        self, words: list[str], timeout_s: float, *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    @contextmanager
    def tunnel(self) -> Iterator[None]:
        """Forward the head's job server and Prometheus, which listen on its loopback, to here."""
        forward = [word for port in (8265, 9090) for word in ("-L", f"{port}:127.0.0.1:{port}")]
        words = ["ssh", "-N", *ssh_options(), *forward, f"root@{self.hosts[0].address}"]
        process = subprocess.Popen(words)
        try:
            wait_until(lambda: _connects("127.0.0.1", 8265), 20, "the tunnel")
            yield
        finally:
            process.terminate()
            process.wait(10)


def _give_credentials(host: Host, store: seaweed.ObjectStore) -> None:
    """Give a node its own keys to a store other than AWS, as docs/cluster.md explains."""
    keys = store.environment()
    folder = host.home / ".aws"
    folder.mkdir(mode=0o700)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    lines = [f"{name.lower()} = {keys[name]}\n" for name in names]
    (folder / "credentials").write_text("[default]\n" + "".join(lines))
    (folder / "credentials").chmod(0o600)


@contextmanager
def s3() -> Iterator[seaweed.ObjectStore]:
    """A store that all hosts reach over the bridge, at NETWORK.1:STORE_PORT."""
    store = seaweed.start(STATE / "store", [BUCKET])
    try:
        port = int(store.endpoint_url.rpartition(":")[2])
        threading.Thread(target=_relay, args=(port,), daemon=True).start()
        yield store
    finally:
        seaweed.stop(STATE / "store")


def _relay(port: int) -> None:
    """Relay connections from the bridge to the store, which listens on loopback only."""
    with socket.create_server((f"{NETWORK}.1", STORE_PORT), backlog=64) as listener:
        while True:
            link, _ = listener.accept()
            threading.Thread(target=_pass_on, args=(link, port), daemon=True).start()


def _pass_on(link: socket.socket, port: int) -> None:
    # After a crash, a cut link or the end of the store, other connections continue.
    with suppress(OSError), link, socket.create_connection(("127.0.0.1", port)) as store:
        other = {link: store, store: link}
        with selectors.DefaultSelector() as ready:
            for side in other:
                ready.register(side, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    side = key.fileobj
                    assert isinstance(side, socket.socket)
                    data = side.recv(1 << 16)
                    other[side].sendall(data)
                    if not data:
                        return


def _connects(address: str, port: int) -> bool:
    with socket.socket() as link:
        link.settimeout(1)
        return link.connect_ex((address, port)) == 0
