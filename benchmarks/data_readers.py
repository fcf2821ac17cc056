"""The speed of four readers on the same images: ganinv, webdataset, MosaicML Streaming, LitData.

Each measurement is a process of its own. The readers take turns, so that a machine that becomes
slower slows all of them. The output names readers that are not installed.
MosaicML Streaming and LitData change pinned versions: install them into a separate environment:

    python -m venv /tmp/readers && echo "$PWD/.venv/lib/python3.11/site-packages" \\
        > /tmp/readers/lib/python3.11/site-packages/main.pth
    /tmp/readers/bin/pip install -c constraints.txt mosaicml-streaming litdata
    /tmp/readers/bin/python -m benchmarks.data_readers --in /tmp/readers/data --rounds 3
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.reader_formats import WRITERS, signed_urls, upload
from benchmarks.readers import MODULES, READERS, Job
from benchmarks.results import RESULTS, spread, write_json
from cluster.seaweed import sharing

BUCKET = "readers"
TIMEOUT_S = 75
Places = Mapping[tuple[str, str], Any]
GO_ON_AFTER = 9000  # images, in the cases `seek` and `resume`
# Measure, place, workers.
CASES = (
    ("raw", "local", 0),
    ("decoded", "local", 0),
    ("decoded", "local", 2),
    ("decoded", "s3", 2),
    ("seek", "local", 0),
    ("resume", "local", 0),
    ("resume", "local", 2),
    ("resume", "s3", 2),
)


def installed() -> list[str]:
    return [name for name in READERS if importlib.util.find_spec(MODULES[name])]


def prepare(folder: Path, count: int) -> Places:
    """(reader, local or s3) → the place of its data; reuses data from an earlier call."""
    places: dict[tuple[str, str], Any] = {}
    for reader in installed():
        if reader not in WRITERS:
            continue
        own, url = folder / f"{reader}-{count}", f"s3://{BUCKET}/{reader}-{count}"
        if not (own / "done").exists():
            WRITERS[reader](own, count)
            upload(own, url)
            (own / "done").touch()
        places[reader, "local"], places[reader, "s3"] = str(own), url
    tars = sorted(Path(places["ganinv", "local"]).glob("train/*.tar"))
    names = [f"train/{tar.name}" for tar in tars]
    places["webdataset", "local"] = [str(tar) for tar in tars]
    places["webdataset", "s3"] = signed_urls(places["ganinv", "s3"], names)
    return places


def take(job: Job) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.readers", json.dumps(asdict(job))]
    try:
        done = subprocess.run(  # noqa: S603 (ourselves)
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {TIMEOUT_S} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        told = [line for line in lines if "Error" in line] or lines or ["no reason given"]
        return {"failed": told[-1].strip()[:300]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(places: Places, options: argparse.Namespace) -> None:
    """Measure all cases `rounds` times, the readers in turn; appends a line to `rows` for each."""
    for turn in range(options.rounds):
        for measure, where, workers in CASES:
            if where not in options.where:
                continue
            images = {"raw": options.images, "decoded": options.decoded}.get(measure, GO_ON_AFTER)
            for reader in installed():
                job = Job(
                    reader=reader,
                    measure=measure,
                    place=places[reader, where],
                    images=images,
                    workers=workers,
                )
                row = {"reader": reader, "measure": measure, "where": where, "workers": workers}
                found = {**row, "turn": turn, **take(job)}
                with options.rows.open("a") as file:
                    file.write(json.dumps(found) + "\n")


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per case and reader: seconds, and images per second."""
    found = []
    for measure, where, workers in CASES:
        for reader in READERS:
            case = {"reader": reader, "measure": measure, "where": where, "workers": workers}
            own = [row for row in rows if case.items() <= row.items()]
            good = [row for row in own if "failed" not in row]
            if failed := [row["failed"] for row in own if "failed" in row]:
                case["failed"] = failed[0]
            if good:
                case["seconds"] = spread([row["seconds"] for row in good])
                case["images_per_s"] = spread([row["images"] / row["seconds"] for row in good])
            if own:
                found.append(case)
    return found


def table(cases: list[dict[str, Any]]) -> str:
    """Medians with ranges as Markdown: images/s, or milliseconds until the first image."""
    lines = ["| | " + " | ".join(READERS) + " |", "|---" * (len(READERS) + 1) + "|"]
    for measure, where, workers in CASES:
        key = {"measure": measure, "where": where, "workers": workers}
        own = {case["reader"]: case for case in cases if key.items() <= case.items()}
        if own:
            texts = (_cell(own[reader]) if reader in own else "not installed" for reader in READERS)
            lines.append(f"| {measure}, {where}, {workers} workers | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _cell(case: Mapping[str, Any]) -> str:
    if "seconds" not in case:
        return "failed"
    many = case["measure"] in ("raw", "decoded")
    scale, unit, values = (1, "/s", case["images_per_s"]) if many else (1e3, " ms", case["seconds"])
    middle, least, most = (_round(values[k] * scale) for k in ("median", "least", "most"))
    return f"{middle}{unit} ({least}–{most})"


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--in", dest="folder", type=Path, required=True, help="for the data")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--decoded", type=int, default=12_000, help="number of images to decode")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--where", nargs="*", default=["local", "s3"], help="only there")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    options.rows = options.folder / "rows.jsonl"  # includes measurements of interrupted runs
    with sharing.running(options.folder / "s3", [BUCKET]) as server:
        server.enter(os.environ)
        os.environ["S3_ENDPOINT_URL"] = server.endpoint_url  # MosaicML's name of the variable
        os.environ["OMP_NUM_THREADS"] = "1"
        measure(prepare(options.folder, options.images), options)
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()]
    versions = {name: importlib.metadata.version(name) for name in installed() if name != "ganinv"}
    absent = [name for name in READERS if name not in installed()]
    found = {"versions": versions, "absent": absent, "images": options.images}
    cases = summary(rows)
    write_json("data-readers", {**found, "cases": cases, "rows": rows})
    print(table(cases))
    print(f"written to {RESULTS}; put the table into data-readers.md")


if __name__ == "__main__":
    main()
