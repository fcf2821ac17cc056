"""The directory announces workers that Prometheus can reach, in a file and over HTTP."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from cluster.config import MetricsConfig
from cluster.workers.directory import Directory
from ganinv.errors import ConfigError
from tests.support.monitors import read_url

HERE = ray.util.get_node_ip_address()


@contextmanager
def directory_of(*ray_targets: str) -> Iterator[Directory]:
    directory = Directory("s3://b/run", "127.0.0.1", 0, list(ray_targets))
    try:
        yield directory
    finally:
        asyncio.run(directory.close())


def messages(directory: Directory) -> list[str]:
    return asyncio.run(directory.take_messages())


def targets(directory: Directory, folder: Path) -> list[dict[str, object]]:
    url = asyncio.run(directory.discovery_url())
    groups: list[dict[str, object]] = json.loads(read_url(url))
    (file,) = (folder / "ganinv" / "targets").glob("*.json")
    assert json.loads(file.read_text()) == groups
    return groups


def test_the_workers_of_each_group_are_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    labels = {"job": "ganinv", "run": "s3://b/run"}
    with directory_of("192.0.2.7:44") as directory:
        for rank, address, node in (
            (0, "127.0.0.1:1", HERE),
            (1, "127.0.0.1:2", "192.0.2.9"),
            (2, "192.0.2.9:3", "192.0.2.9"),
        ):
            asyncio.run(directory.register_exporter(rank, 3, address, node))
        first, third, of_ray = targets(directory, tmp_path)
        assert first == {"targets": ["127.0.0.1:1"], "labels": {**labels, "instance": "rank 0"}}
        assert third == {"targets": ["192.0.2.9:3"], "labels": {**labels, "instance": "rank 2"}}
        assert of_ray == {"targets": ["192.0.2.7:44"], "labels": {"job": "ray"}}
        (message,) = messages(directory)
        assert "rank 1 on 192.0.2.9" in message
        assert "metrics.host=node" in message

        asyncio.run(directory.register_exporter(0, 1, "127.0.0.1:9", HERE))  # a smaller group
        assert [group["targets"] for group in targets(directory, tmp_path)] == [
            ["127.0.0.1:9"],
            ["192.0.2.7:44"],
        ]
    assert not list((tmp_path / "ganinv" / "targets").iterdir())


def test_a_read_only_home_folder_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with directory_of() as directory:
        asyncio.run(directory.register_exporter(0, 1, "127.0.0.1:1", HERE))
        assert "will not find this run" in messages(directory)[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104 (refused)
def test_listening_everywhere_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.host=node"):
        MetricsConfig(host=host)
