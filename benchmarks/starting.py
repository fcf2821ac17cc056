"""How long a training takes to start, against another checkout: `starting.py OTHER [ROUNDS]`.

Alternates between the checkouts: each trains a few steps of `tiny-pvdgan` with one worker, from
`ganinv train` to the first step, in its own process. The time of the first step is that of the
worker group's record, the CPU time that of the whole process tree (user and system, Ray included),
training and end included. Between the trainings, `--help` of some verbs. Writes
`docs/results/starting.json` and `starting.md`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS, machine, spread, write_json

HERE = Path(__file__).parents[1]
ROUNDS = 7
VERBS = ("train", "status", "checkpoints", "report", "data", "submit")
SHORT = ("train.images=64", "train.log_every=64", "evaluate.features=[]", "cluster.workers=1")


def command(checkout: Path, *words: str) -> tuple[float, float]:
    """Run a command of a checkout; its start (Unix time), and the CPU seconds of its processes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run(  # noqa: S603 (our own commands)
        [sys.executable, "-m", "launch", *words],
        cwd=checkout,
        env=environment,
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start_of(checkout: Path, data: str, folder: str) -> dict[str, Any]:
    """One training: seconds to its launch and its first step, phases if it records them."""
    run = Path(tempfile.mkdtemp(dir=folder))
    began, cpu_s = command(
        checkout, "train", "tiny-pvdgan", f"storage.run={run}", f"data.url={data}", *SHORT
    )
    (file,) = (run / "groups").glob("*.json")
    group = json.loads(file.read_text())
    return {
        "launched": group["launched"] - began,
        "group": group["first_step"] - group["launched"],
        "first_step": group["first_step"] - began,
        "cpu": cpu_s,
        "phases": group.get("starting") or {},
    }


def help_of(checkout: Path, verb: str) -> float:
    """CPU seconds of `ganinv VERB --help`."""
    return command(checkout, verb, "--help")[1]


def measure(checkouts: dict[str, Path], rounds: int) -> dict[str, Any]:
    starts: dict[str, list[dict[str, Any]]] = {name: [] for name in checkouts}
    helps: dict[str, dict[str, list[float]]] = {n: {v: [] for v in VERBS} for n in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data16"
        start_of(HERE, data, folder)  # builds the data set, and warms the files' cache
        for number in range(rounds):
            names = sorted(checkouts, reverse=number % 2 == 0)
            for name in names:
                starts[name].append(start_of(checkouts[name], data, folder))
            for verb in VERBS:
                for name in names:
                    helps[name][verb].append(help_of(checkouts[name], verb))
    return {"starts": starts, "helps": helps}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Medians and spread per checkout, in seconds."""
    result: dict[str, Any] = {}
    for name, runs in found["starts"].items():
        result[name] = {
            key: spread([run[key] for run in runs])
            for key in ("launched", "group", "first_step", "cpu")
        }
        phases = {phase for run in runs for phase in run["phases"]}
        result[name]["phases"] = {
            phase: spread([run["phases"].get(phase, 0.0) for run in runs])
            for phase in sorted(phases, key=list(runs[0]["phases"]).index)
        }
        result[name]["help"] = {v: spread(s) for v, s in found["helps"][name].items()}
    return result


def page(result: dict[str, Any], rounds: int) -> str:
    """A table in Markdown; the ratio is this checkout to the other one."""
    this, other = result["this"], result["other"]
    rows = [
        ("command to launch of the workers, s", "launched"),
        ("launch to first step (as after a lost worker), s", "group"),
        ("command to first step, s", "first_step"),
        ("CPU of all processes to the end of the training, s", "cpu"),
    ]
    lines = [_row(text, other[key], this[key]) for text, key in rows]
    lines += [
        _row(f"CPU of `ganinv {v} --help`, s", other["help"][v], this["help"][v]) for v in VERBS
    ]
    phases = [f"| {name} | {_value(s)} |" for name, s in this["phases"].items()]
    return "\n".join(
        [
            "# Starting a training",
            "",
            f"`tiny-pvdgan`, one worker, local folder; {rounds} interleaved runs per checkout on "
            f"{machine()['cores']} cores; median (least–most). `benchmarks/starting.py` wrote it.",
            "",
            "| | before | now | ratio |",
            "| :-- | --: | --: | --: |",
            *lines,
            "",
            "| phase of the worker group | seconds |",
            "| :-- | --: |",
            *phases,
            "",
        ]
    )


def _row(text: str, before: dict[str, float], now: dict[str, float]) -> str:
    ratio = now["median"] / before["median"]
    return f"| {text} | {_value(before)} | {_value(now)} | {ratio:.2f} |"


def _value(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} ({found['least']:.2f}–{found['most']:.2f})"


def main(argv: list[str]) -> None:
    other, rounds = Path(argv[0]).resolve(), int(argv[1]) if len(argv) > 1 else ROUNDS
    result = summary(measure({"this": HERE, "other": other}, rounds))
    write_json("starting", {"rounds": rounds, **result})
    (RESULTS / "starting.md").write_text(page(result, rounds))
    print(page(result, rounds))


if __name__ == "__main__":
    main(sys.argv[1:])
