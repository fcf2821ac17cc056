"""What the owner of a test's storage can do: create and remove buckets, keys and disks."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import botocore.session
import pytest

from cluster.seaweed.server import binary
from cluster.seaweed.store import ObjectStore

SHELL_S = 20.0


class Bucket:
    """A bucket on the test's server, and its owner's operations on it."""

    def __init__(self, server: ObjectStore, name: str) -> None:
        self.server, self.name = server, name
        self.client = botocore.session.get_session().create_client(
            "s3", endpoint_url=server.endpoint_url
        )

    def make(self) -> None:
        self.client.create_bucket(Bucket=self.name)

    def remove(self) -> None:
        self.client.delete_bucket(Bucket=self.name)

    def allow_writes(self) -> None:
        self.client.delete_bucket_policy(Bucket=self.name)

    def deny_writes(self) -> None:
        rule = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:PutObject"],
            "Resource": [f"arn:aws:s3:::{self.name}/*"],
        }
        policy = {"Version": "2012-10-17", "Statement": [rule]}
        self.client.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))


def administer(server: ObjectStore, command: str) -> None:
    """Run one line in the server's own shell."""
    master, filer = (f"-{name}=127.0.0.1:{server.ports[name]}" for name in ("master", "filer"))
    subprocess.run(
        [binary(), "shell", master, filer],
        input=f"{command}\n",
        text=True,
        stdout=subprocess.DEVNULL,
        timeout=SHELL_S,
        check=True,
    )


class Keys:
    """Credentials for a bucket, in a file where clients look for them."""

    def __init__(self, server: ObjectStore, bucket: str, file: Path) -> None:
        self.server, self.bucket, self.file = server, bucket, file
        self.issued: list[str] = []

    def issue(self) -> None:
        key, secret = f"KEY{uuid4().hex[:12]}", uuid4().hex
        rights = f"-actions Read,Write,List,Tagging -buckets {self.bucket}"
        user = f"s3.configure -user {key} -access_key {key} -secret_key {secret}"
        administer(self.server, f"{user} {rights} -apply")
        self.file.write_text(
            f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        )
        self.issued.append(key)

    def revoke(self) -> None:
        """Revoke the oldest valid key."""
        key = self.issued.pop(0)
        administer(self.server, f"s3.configure -user {key} -access_key {key} -delete -apply")


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """Mount a filesystem of 8 MiB at `at`."""
    at.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", at], check=False)
    if made.returncode != 0:
        pytest.skip("this user may not mount a filesystem")
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)
