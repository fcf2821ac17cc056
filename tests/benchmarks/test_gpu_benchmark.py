"""The GPU benchmark on a processor at small sizes, so that it is known to run."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as benchmark
from benchmarks.gpu.jobs import Job, jobs
from benchmarks.gpu.page import page
from benchmarks.gpu.running import Budget, run_jobs

# One of each kind and engine, and blocks that are computed again.
FEW = [
    Job(images=(2, 4)),
    Job(kind="resume", deterministic=True),
    Job(images=(2,), engine="deepspeed", precision="fp32", recompute_blocks=2),
]


def test_what_has_no_time_is_named() -> None:
    planned = [Job(images=(2, 4)), Job(kind="resume")]
    rows, left_out = run_jobs(planned, Budget(0), "cpu", short=True)
    assert rows == []
    assert left_out == [
        "bf16, flat, 2 images", "bf16, flat, 4 images", "resumption, bf16, flat",
    ]  # fmt: skip


def test_jobs_have_names_of_their_own() -> None:
    names = [job.name for job in jobs(8, on_gpu=True)]
    assert len(set(names)) == len(names)
    assert "8 GPUs, bf16, flat" in names
    assert not any(job.cuda_graphs or job.precision == "tf32" for job in jobs(1, on_gpu=False))


def row(**more: Any) -> dict[str, Any]:
    job = {"kind": "speed", "gpus": 1, "name": "bf16, flat", "precision": "bf16", "images": 16}
    return {**job, **more}


def test_the_page_says_what_was_measured_and_what_was_not() -> None:
    speed = {"images_per_s": {"median": 80.0}, "first_step_s": 3.0}
    found = {
        "machine": {"device": "A100", "gpus": 1, "torch": "2"}, "commit": "abc", "short": False,
        "budget_s": 60.0, "peaks": {"bf16": {"measured": 200e12, "sheet": 312e12}},
        "rows": [
            row(**speed, flop_per_image=0.5e12, memory_bytes=2**33),
            row(images=32, out_of_memory="CUDA out of memory"),
            row(kind="resume", same_bits_twice=True, same_bits_resumed=False),
            row(name="bf16, deepspeed", failed="Traceback\nValueError: no"),
        ],
        "tests": [{"chosen": "gpu", "passed": None, "end": []}],
        "left_out": ["fp32, flat, 2 images"],
    }  # fmt: skip
    text = page(found)
    assert "| 1 | bf16, flat | 16 | 80.0 | 12.50 | 12.8% | 20.0% | 8.0 | 3.0 |" in text
    for words in ("out of memory", "| same | differ |", "ValueError: no", "- fp32, flat, 2 images",
                  "A100: 12.53 s/kimg on 1", "the time was up"):  # fmt: skip
        assert words in text
    assert "Not a result" not in text


@pytest.mark.integration
def test_the_command_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["benchmarks.gpu", "--device", "cpu", "--short", "--no-tests"]
    monkeypatch.setattr(sys, "argv", [*command, "--to", str(tmp_path)])
    monkeypatch.setattr(benchmark, "jobs", lambda *_, **__: FEW)
    benchmark.main()
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert not [r["failed"] for r in found["rows"] if "failed" in r]
    speeds = [r for r in found["rows"] if "images_per_s" in r]
    assert [(r["engine"], r["images"]) for r in speeds] == [
        ("flat", 2), ("flat", 4), ("deepspeed", 2),
    ]  # fmt: skip
    (resumed,) = [r for r in found["rows"] if r["kind"] == "resume"]
    assert resumed["same_bits_twice"]
    assert resumed["same_bits_resumed"]
    assert "Not a result" in (tmp_path / "gpu.md").read_text()
