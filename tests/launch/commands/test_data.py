"""The commands `data build`, `index`, `verify` and `ls`."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.shards.index import Index
from datasets.shards.shard import load_table
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from ganinv.errors import ConfigError, DataError
from launch.commands import data
from tests.support import photo_inputs
from tests.support.commands import alive, descendants, start, wait_until


def _contents(folder: Path) -> dict[str, bytes]:
    """All objects. The unfinished files that a kill leaves behind are not objects."""
    store = open_store(str(folder))
    return {entry.name: store.read(entry.name) for entry in store.list()}


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert data.main(list(words)) == 0
    return capsys.readouterr().out


def test_tars_of_any_size_become_a_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tars = photo_inputs.webdataset(tmp_path / "tars")
    url = f"data.url={tmp_path / 'made'}"
    words = ["build", "webdataset", f"data.input={tars}", url, "data.resolution=24x16"]
    assert "24 × 16 pixels" in " ".join(_run(capsys, *words).split())
    _run(capsys, "index", f"data.url={tars}")
    listed = json.loads(_run(capsys, "ls", f"data.url={tars}", "--json"))
    assert (listed["width"], listed["height"]) == (24, 20)
    printed = _run(capsys, "verify", f"data.url={tars}")
    assert "3 shards were indexed without checksums" in " ".join(printed.split())
    with pytest.raises(DataError, match="holds another data set"):
        data.main([*words[:-1], "data.resolution=8"])


def test_odd_members_of_tars_are_named_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {f"{number}.png": photo_inputs.photo(number) for number in range(9)}
    photo_inputs.write_tar(tmp_path / "a.tar", {**members, "IMG.1.png": b"-", "README.md": b"-"})
    words = ["index", f"data.url={tmp_path}"]
    with pytest.raises(DataError, match=r"a key ends at the first dot.*a\.tar: IMG\.1\.png"):
        data.main(words)
    with pytest.raises(ConfigError, match=r"data\.max_unreadable=2\.0 is not a ratio"):
        data.main([*words, "data.max_unreadable=2"])
    printed = _run(capsys, *words, "data.max_unreadable=0.1")
    assert "tar members that belong to no image: 1 (a.tar: README.md)" in printed
    printed = _run(capsys, *words, "data.max_unreadable=0.1", "--json")
    assert sorted(json.loads(printed)["left_out"].values()) == [1, 1]


def test_duplicates_and_unreadable_images_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, number in {"a": 1, "b": 2, "c": 1}.items():
        (images / f"{name}.png").write_bytes(photo_inputs.photo(number))
    (images / "d.png").write_bytes(b"nothing")
    (images / "notes.txt").write_bytes(b"")
    words = ["build", str(images), f"data.url={tmp_path / 'made'}", "data.max_unreadable=0.3"]
    for _ in range(2):  # a finished build lists the same again
        printed = _run(capsys, *words)
        assert "1 unreadable images were skipped:\n  d.png: no picture of a format" in printed
        assert "1 images have the pixels of an earlier image" in printed
        assert "  c = a" in printed
        expected = "Left out: files ending in .txt: 1 (notes.txt); unreadable images: 1 (d.png)"
        assert expected in printed
        assert "The test split is empty" in " ".join(printed.split())
    answer = json.loads(_run(capsys, *words, "--json").splitlines()[-1])
    assert answer["left_out"] == {"files ending in .txt": 1, "unreadable images": 1}


def test_corrupt_samples_are_listed_and_quarantined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"data.url={tmp_path}"
    _run(capsys, "build", "avatars", url, "data.images=40", "data.resolution=8")
    store = open_store(str(tmp_path))
    shard = Index.load(store).splits["train"][0]
    member = list(load_table(store, shard))[3]
    tar = bytearray((tmp_path / shard.name).read_bytes())
    tar[member.image_start + 50] ^= 1
    (tmp_path / shard.name).write_bytes(tar)
    with pytest.raises(DataError, match=r"1 problems; .*data\.quarantine=true"):
        data.main(["verify", url])
    assert member.key in capsys.readouterr().out
    printed = _run(capsys, "verify", url, "data.quarantine=true", "--json")
    assert [p["key"] for p in json.loads(printed)["problems"]] == [member.key]
    listed: dict[str, Any] = json.loads((tmp_path / "quarantine.json").read_bytes())
    assert [sample[:2] for sample in listed["samples"]] == [[shard.name, member.key]]


def test_options_of_another_verb_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.checksums = True: unknown key"):
        data.main(["ls", f"data.url={tmp_path}", "data.checksums=true"])


@pytest.mark.integration
def test_a_killed_build_resumes_and_leaves_no_process(tmp_path: Path) -> None:
    """The resumed build may use another number of processes; its bytes are the same."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    words = ["build", "avatars", f"data.url={killed}", "data.images=800", "data.resolution=16"]
    with (tmp_path / "output").open("w") as output:
        building = start("data", *words, "data.workers=2", output=output)
        wait_until(
            lambda: (killed / "building" / "00001.json").exists() or building.poll() is not None,
            120,
            "two finished shards",
        )
        children = descendants(building.pid)
        building.send_signal(signal.SIGKILL)
        building.wait(30)
    assert children
    wait_until(lambda: not alive(children), 30, "the workers of the killed build end")
    assert not (killed / "index.json").exists()
    finished = [killed / "train" / f"0000{i}.tar" for i in range(2)]
    before = [path.stat().st_mtime_ns for path in finished]
    assert data.main([*words, "data.workers=1"]) == 0
    assert [path.stat().st_mtime_ns for path in finished] == before
    options = BuildOptions(images=800, resolution=16, workers=1)
    build(AvatarSource(options), open_store(str(whole)), options)
    assert _contents(killed) == _contents(whole)


def test_values_outside_their_range_are_named_together_before_anything_starts(
    tmp_path: Path,
) -> None:
    words = [f"data.url={tmp_path}/new", "data.resolution=x", "data.workers=0"]
    with pytest.raises(ConfigError, match=r"^data\.resolution=x is neither .*; data\.workers=0"):
        data.main(["build", "avatars", *words])
    assert not (tmp_path / "new").exists()


def test_images_are_reserved_for_tests_by_a_number_or_a_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo_inputs.write_tar(
        tmp_path / "a.tar", {f"{i:02d}.png": photo_inputs.photo(i) for i in range(50)}
    )
    url = f"data.url={tmp_path}"
    for word, count in (("6", 6), ("0.1", 5), ("0", 0)):
        made = json.loads(_run(capsys, "index", url, f"data.test_images={word}", "--json"))
        assert made["splits"]["test"]["samples"] == count
        assert made.get("test_images", 0) == json.loads(word)
        _run(capsys, "verify", url)
    for word in ("-1", "1.5", "true", "many"):
        with pytest.raises(ConfigError, match=r"data\.test_images ?="):
            data.main(["index", url, f"data.test_images={word}"])
