"""Curves of several runs in one chart: right colours, safe words, files that need nothing else."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from cluster.run_folder.evaluation_log import write_record
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError, StorageError
from launch.commands import compare
from launch.options.run_labels import labelled
from launch.pages.compare import curves_figure
from launch.pages.comparison import comparisons
from launch.pages.conditions import changes
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
    records = {label: [record_of(200)] for label in "ab"} | {"c": [record_of(100)]}
    enc, psnr = comparisons(runs, records)
    assert (enc.key, dict(enc.last), enc.best) == ("eval/enc", {"c": 1.0}, frozenset())
    assert (psnr.key, dict(psnr.last), psnr.best) == (PSNR, {"a": 10.0, "b": 8.0}, {"a"})
    assert enc.differs == psnr.differs == ()


KEYS = {
    "test": PSNR,
    "generated": "eval/psnr_db_generated",
    "enc": "eval/enc",
    "pixels": "eval/fd_pixels",
    "distance": "eval/feature_distance_pixels_test",
    "own": "eval/kd_own",
}


def record_of(images_seen: int, **changes: Any) -> dict[str, Any]:
    """An evaluation in training, with all figures."""
    pixels = {"network": "none", "sha256": None, "resize": "16 × 16"}
    record = {
        "checkpoint": None,
        "images_seen": images_seen,
        "weights": "averaged",
        "data_fingerprint": "0123456789abcdef",
        "split": "test",
        "resolution": 32,
        "real": 512,
        "damaged": 0,
        "generated": 512,
        "seed": 0,
        "features": {"pixels": pixels, "own": {**pixels, "network": "the discriminator"}},
        "recorded": 1.0,
        "figures": dict.fromkeys(KEYS.values(), 1.0),
    }
    return {**record, **changes}


def differing(key: str, *records: list[dict[str, Any]]) -> tuple[str, ...]:
    labels = "abc"[: len(records)]
    runs = {label: rows_of(1.0, 2.0, key=key) for label in labels}
    (found,) = comparisons(runs, dict(zip(labels, records, strict=True)))
    assert bool(found.best) == (not found.differs)
    return found.differs


@pytest.mark.parametrize(
    ("change", "words", "concerned"),
    [
        ({"resolution": 64}, "resolution (a: 32 pixels; b: 64 pixels)", KEYS),
        ({"data_fingerprint": "f" * 64}, "data set (a: 01234567; b: ffffffff)", KEYS),
        ({"weights": "current"}, "weights (a: averaged; b: current)", KEYS),
        (
            {"real": 5000},
            "held-out images (a: 512 of the split test; b: 5,000 of the split test)",
            ["test", "pixels", "distance", "own"],
        ),
        (
            {"split": "train"},
            "held-out images (a: 512 of the split test; b: 512 of the split train)",
            ["test", "pixels", "distance", "own"],
        ),
        (
            {"generated": 50},
            "generated images (a: 512, seed 0; b: 50, seed 0)",
            ["generated", "enc", "pixels", "own"],
        ),
        (
            {"seed": 1},
            "generated images (a: 512, seed 0; b: 512, seed 1)",
            ["generated", "enc", "pixels", "own"],
        ),
        (
            {"features": {"pixels": {"network": "lite", "sha256": "9" * 64, "resize": "none"}}},
            "features pixels (a: none; resize: 16 × 16; b: lite, SHA-256 99999999; resize: none)",
            ["pixels", "distance"],
        ),
    ],
)
def test_no_run_wins_under_other_conditions(
    change: dict[str, Any], words: str, concerned: Collection[str]
) -> None:
    for name, key in KEYS.items():
        own = ("features (each run's own)",) if name == "own" else ()
        assert differing(key, [record_of(200)], [record_of(200)]) == own
        expected = (words, *own) if name in concerned else own
        assert differing(key, [record_of(200)], [record_of(200, **change)]) == expected
        three = differing(key, [record_of(200)], [record_of(200)], [record_of(200, **change)])
        assert len(three) == len(expected)


def test_the_conditions_are_those_of_the_last_value() -> None:
    old, other = record_of(100, resolution=64), record_of(200, recorded=2.0, real=4)
    evaluated = record_of(200, checkpoint="000000000200-01234567", resolution=8)
    assert differing(PSNR, [old, evaluated, record_of(200)], [record_of(200)]) == ()
    assert "b: 4 of" in differing(PSNR, [record_of(200)], [record_of(200), other])[0]
    for missing in ([], [old], [evaluated], [record_of(200, figures={})]):
        assert differing(PSNR, [record_of(200)], missing) == (
            "all conditions (no evaluation is recorded for b)",
        )
    runs = {"a": rows_of(1.0, 2.0), "b": rows_of(3.0)}
    (found,) = comparisons(runs, {"a": [record_of(200)], "b": [record_of(100)]})
    assert (found.best, found.differs) == (frozenset(), ("images seen (a: 200; b: 100)",))


def test_a_change_of_conditions_within_a_run_is_named() -> None:
    """`evaluate.test_images` and others may change when a run resumes: its curves then jump."""
    same = [record_of(100), record_of(200)]
    of_checkpoint = record_of(300, checkpoint="000000000300-01234567", real=9999)
    assert changes([*same, of_checkpoint]) == []
    assert changes([record_of(3000, real=64), *same]) == [
        "at 3,000 images: held-out images (before: 512 of the split test; then: 64 of the split "
        "test)"
    ]


def test_statistics_of_training_have_no_winner_and_no_conditions() -> None:
    entropy = "latent/entropy_nats"
    runs = {label: rows_of(1.0, 2.0, key=entropy) for label in "ab"}
    (found,) = comparisons(runs, {})
    assert (found.best, found.differs) == (frozenset(), ())


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
    assert labelled(urls) == dict(zip(labels, urls, strict=True))


def test_a_run_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="runs/a/ is named twice"):
        labelled(["runs/a", "runs/a/"])


def write_run(place: Path, value: float, **changes: Any) -> str:
    record = record_of(200, **changes)
    figures, _ = record.pop("figures"), record.pop("recorded")
    write_record(open_store(str(place)), record, figures)
    rows = rows_of(value, value + 1)
    (place / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(place)


def test_the_verb_writes_a_page_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / "a", 9.0), write_run(tmp_path / "b", 12.0)]
    assert compare.main([*runs, f"compare.folder={tmp_path}/out", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    files = answer["files"]
    assert answer["figures"] == [
        {"name": PSNR, "last": {"a": 10.0, "b": 13.0}, "best": ["b"], "differs": []}
    ]
    assert [Path(file).name for file in files] == ["index.html", "psnr_db_test.svg"]
    document = Document(Path(files[0]).read_text())
    assert "Comparison of 2 runs" in document.text
    assert "Not comparable" not in document.text
    assert "<b>13</b>" in Path(files[0]).read_text()
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


def test_page_and_terminal_say_why_no_run_wins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / "a", 9.0), write_run(tmp_path / "b", 12.0, resolution=64)]
    assert compare.main([*runs, f"compare.folder={tmp_path}/out"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    title = "PSNR of reconstructions, held out"
    reason = "Differing or unknown: resolution (a: 32 pixels; b: 64 pixels)"
    assert f"not comparable: {title}. {reason}" in shown
    assert f"{title} 10 13" in shown
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<b>" not in page
    assert f"{title}. {reason}" in Document(page).text


def test_a_new_comparison_replaces_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.svg").write_text("mine")
    run, other = write_run(tmp_path / "a", 9.0), tmp_path / "b"
    other.mkdir()
    (other / "metrics.jsonl").write_text(json.dumps(rows_of(1.0, key="eval/enc")[0]))
    assert compare.main([run, str(other), f"compare.folder={folder}"]) == 0
    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "enc.svg", "psnr_db_test.svg", "mine.svg")
    }
    assert compare.main([run, f"compare.folder={folder}"]) == 0
    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "psnr_db_test.svg", "mine.svg")
    }
    (folder / "index.html").write_text("<title>Comparison of 2 runs</title>")  # of version 0.1
    assert compare.main([run, f"compare.folder={folder}"]) == 0
    (folder / "index.html").write_text("my page")
    with pytest.raises(ConfigError, match=r"holds an index\.html that is no comparison"):
        compare.main([run, f"compare.folder={folder}"])
    assert (folder / "index.html").read_text() == "my page"
