"""Curves of several runs in one chart: right colours, safe words, files that need nothing else."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from ganinv.errors import ConfigError, StorageError
from launch.commands import compare
from launch.pages.compare import comparisons, curves_figure
from launch.pages.curves import Rows
from launch.pages.style import DARK, LIGHT
from tests.support.pages import Document

PSNR = "eval/psnr_db_test"


def rows_of(*values: float, key: str = PSNR) -> Rows:
    return [{"images_seen": 100.0 * i, key: value} for i, value in enumerate(values, start=1)]


def colours_of_lines(svg: str) -> list[str]:
    """Those of the curves, in the order in which they are drawn."""
    found = re.findall(r"stroke: var\((--series-\d)\)", svg)
    return list(dict.fromkeys(found))


def test_a_figure_is_an_svg_file_with_a_curve_and_words_for_each_run() -> None:
    runs = {"<MSE> & $x^$": rows_of(9.0, 10.0), "none": [], "DLS": rows_of(8.0, 14.25)}
    svg = curves_figure(runs, PSNR)
    root = ET.fromstring(svg)  # noqa: S314 - it was made here
    words = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [word for word in words if word[0] in "<D"] == ["DLS\u200214.2", "<MSE> & $x^$\u200210"]
    assert "PSNR of reconstructions, held out" in words
    assert "dB, higher is better" in words
    assert colours_of_lines(svg) == ["--series-1", "--series-3"]
    assert curves_figure(runs, PSNR) == svg
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", svg)) <= LIGHT.keys() == DARK.keys()
    assert "prefers-color-scheme: dark" in svg
    assert not re.search(r"(?:href|src)=\"(?!#)|@import|<script", svg)


def test_the_last_values_and_which_of_them_is_best() -> None:
    runs = {"a": rows_of(9.0, 10.0), "b": rows_of(12.0, 8.0), "c": rows_of(1.0, key="eval/enc")}
    enc, psnr = comparisons(runs)
    assert (enc.key, dict(enc.last), enc.best) == ("eval/enc", {"c": 1.0}, {"c"})
    assert (psnr.key, dict(psnr.last), psnr.best) == (PSNR, {"a": 10.0, "b": 8.0}, {"a"})


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'eval/fid'.*choose one of eval/psnr_db_test"):
        curves_figure({"a": rows_of(1.0)}, "eval/fid")
    with pytest.raises(ConfigError, match="9 runs"):
        curves_figure({str(i): rows_of(1.0) for i in range(9)}, PSNR)


@pytest.mark.parametrize(
    ("urls", "labels"),
    [
        (["runs/a", "s3://b/runs/c/"], ["a", "c"]),
        (["x/one/run", "y/two/run", "run"], ["one/run", "two/run", "run"]),
        (["a"], ["a"]),
    ],
)
def test_runs_are_called_by_the_shortest_end_of_their_place(
    urls: list[str], labels: list[str]
) -> None:
    assert compare.labelled(urls) == dict(zip(labels, urls, strict=True))


def test_a_run_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="runs/a/ is named twice"):
        compare.labelled(["runs/a", "runs/a/"])


def test_the_verb_writes_a_page_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("a", 9.0), ("b", 12.0)):
        (tmp_path / name).mkdir()
        lines = [json.dumps(row) + "\n" for row in rows_of(value, value + 1)]
        (tmp_path / name / "metrics.jsonl").write_text("".join(lines))
    runs = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert compare.main([*runs, f"compare.folder={tmp_path}/out", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [Path(file).name for file in files] == ["index.html", "psnr_db_test.svg"]
    document = Document(Path(files[0]).read_text())
    assert "Comparison of 2 runs" in document.text
    assert runs[0] in document.text
    assert document.attributes("alt") == [
        "PSNR of reconstructions, held out: a ends at 10, b ends at 13"
    ]
    links = document.attributes("src", "href")
    assert all(link.startswith(("data:image/svg+xml;base64,", "#")) for link in links)
    assert {link[1:] for link in links if link[0] == "#"} <= set(document.attributes("id"))
    with pytest.raises(StorageError, match=r"holds no metrics\.jsonl"):
        compare.main([str(tmp_path / "c")])
    with pytest.raises(ConfigError, match="takes RUN…"):
        compare.main([])
