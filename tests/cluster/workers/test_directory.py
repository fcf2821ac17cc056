"""The directory announces workers that Prometheus can reach, in a file and over HTTP."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.config import MetricsConfig
from cluster.workers.directory import Directory
from ganinv.errors import ConfigError
from tests.support.monitors import read_url

HERE = ray.util.get_node_ip_address()


@contextmanager
def directory_of(*ray_targets: str, lost: Callable[[], set[str]] = set[str]) -> Iterator[Directory]:
    directory = Directory("s3://b/run", "127.0.0.1", 0, list(ray_targets), lost=lost)
    try:
        yield directory
    finally:
        asyncio.run(directory.close())


def messages(directory: Directory) -> list[str]:
    return asyncio.run(directory.take_messages())


def targets(directory: Directory, folder: Path) -> list[dict[str, Any]]:
    url = asyncio.run(directory.discovery_url())
    groups: list[dict[str, Any]] = json.loads(read_url(url))
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
        first, third, of_nodes, of_ray = targets(directory, tmp_path)
        assert first == {"targets": ["127.0.0.1:1"], "labels": {**labels, "instance": "rank 0"}}
        assert third == {"targets": ["192.0.2.9:3"], "labels": {**labels, "instance": "rank 2"}}
        url = asyncio.run(directory.discovery_url())
        own = url.removeprefix("http://").removesuffix("/targets")
        nodes = {"job": "nodes", "run": "s3://b/run", "instance": "head"}
        assert of_nodes == {"targets": [own], "labels": nodes}
        assert of_ray == {"targets": ["192.0.2.7:44"], "labels": {"job": "ray"}}
        (message,) = messages(directory)
        assert "rank 1 on 192.0.2.9" in message
        assert "metrics.host=node" in message

        asyncio.run(directory.register_exporter(0, 1, "127.0.0.1:9", HERE))  # a smaller group
        assert [group["targets"] for group in targets(directory, tmp_path)] == [
            ["127.0.0.1:9"],
            [own],
            ["192.0.2.7:44"],
        ]
    assert not list((tmp_path / "ganinv" / "targets").iterdir())


def test_a_worker_that_ends_in_order_is_no_longer_scraped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a finished run and every planned restart would raise WorkerUnreachable."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def ranks() -> list[object]:
        groups = targets(directory, tmp_path)
        return [group["targets"] for group in groups if group["labels"]["job"] == "ganinv"]

    with directory_of() as directory:
        assert ranks() == []
        for rank in (0, 1):
            asyncio.run(directory.register_exporter(rank, 2, f"127.0.0.1:{rank}", HERE))
        asyncio.run(directory.withdraw_exporter(0, "127.0.0.1:0"))
        assert ranks() == [["127.0.0.1:1"]]
        asyncio.run(directory.register_exporter(1, 2, "127.0.0.1:7", HERE))  # of the next group
        asyncio.run(directory.withdraw_exporter(1, "127.0.0.1:1"))
        assert ranks() == [["127.0.0.1:7"]]


def test_nodes_that_are_lost_while_the_directory_lives_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    lost = {"before"}
    with directory_of(lost=lambda: set(lost)) as directory:
        url = asyncio.run(directory.discovery_url()).removesuffix("targets") + "metrics"
        name = 'ganinv_nodes_lost_total{run="s3://b/run"}'
        assert f"{name} 0.0" in read_url(url)
        lost |= {"one", "two"}
        assert f"{name} 2.0" in read_url(url)


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
