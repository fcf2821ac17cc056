"""Many faults of every kind in real trainings, as a table: docs/results/faults.md and .json.

Each kind is one training. Its result is written as soon as the training ends: after an
interruption the same command continues with the missing kinds.

    python -m benchmarks.fault_table                        # 20 faults of each kind; hours
    python -m benchmarks.fault_table --faults 5 sigkill sigstop
    GANINV_OUTAGE_S=60 python -m benchmarks.fault_table --faults 1 --name outage_60_s outage
"""

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.fault_runs import BATCH, INTERVAL, run_with_faults
from tests.support.faults import KINDS, open_testbed

RESULTS = Path(__file__).parents[1] / "docs" / "results"
EXPLAINED = {
    "sigkill": "a worker gets SIGKILL",
    "sigstop": "a worker gets SIGSTOP, and never SIGCONT",
    "sigterm": "a worker gets SIGTERM",
    "lost_node": "the raylet of one of two nodes gets SIGKILL; another node joins at once",
    "drained": "Ray drains one of two nodes, which then ends; another node joins at once",
    "outage": "storage resets every connection for 10 s",
    "outage_60_s": "storage resets every connection for 60 s",
    "restarted_store": "the storage server gets SIGKILL and is started again on its data",
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"default: {', '.join(KINDS)}")
    parser.add_argument("--faults", type=int, default=20, help="number of faults of each kind")
    parser.add_argument("--name", help="name of the kind in the table (default: the kind)")
    arguments = parser.parse_args(argv)
    # All kinds share one directory, and so the run without faults.
    with tempfile.TemporaryDirectory(prefix="ganinv-faults-") as directory:
        for kind in arguments.kinds or KINDS:
            _measure(kind, arguments.name or kind, arguments.faults, Path(directory))


def _measure(kind: str, name: str, faults: int, directory: Path) -> None:
    """Measure a kind, unless the table has it already."""
    done = _read()
    if len(done.get(name, {}).get("faults", ())) >= faults:
        return
    with open_testbed(kind, directory) as testbed:
        result = run_with_faults(kind, faults, testbed)
    done[name] = asdict(result)
    done[name]["load"] = os.getloadavg()[2]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "faults.json").write_text(json.dumps(done, indent=1) + "\n")
    (RESULTS / "faults.md").write_text(page(done))
    print(row(name, done[name]), flush=True)


def page(results: dict[str, Any]) -> str:
    """The table, with an account of the measurement."""
    rows = "\n".join(row(name, results[name]) for name in EXPLAINED if name in results)
    meanings = "\n".join(f"- `{name}`: {EXPLAINED[name]}" for name in EXPLAINED if name in results)
    return f"""# Faults

Real trainings (tiny PVDGAN, two workers, Ray, DeepSpeed on gloo, SeaweedFS) on
{os.cpu_count()} shared cores ({platform.machine()}), with faults at random moments. Made by
`python -m benchmarks.fault_table`; [faults.json](faults.json) lists every single fault.

| kind | faults | reasons | noticed, s | next step, s | images lost | orphans | goodput | end |
|---|---|---|---|---|---|---|---|---|
{rows}

{meanings}

*Noticed*: seconds from the fault to the end of the worker group. *Next step*: seconds from the
fault to the end of the next trained step; most of this time starts two Python processes. Both are
medians, with the largest value in parentheses. A step takes {BATCH} images; a checkpoint is written
every {INTERVAL} images. *Orphans*: worker processes that were alive 5 s after the end of their
group. *Goodput* is that of a run with a fault every few seconds of training; it says nothing about
a real run. *End*: whether the final state equals that of a run without faults, bit for bit. Where
the number of workers changed, sums were taken in another order, and the largest difference of a
weight is given. Every step took the same samples as without faults, unless this column says
otherwise.
"""


def row(name: str, result: dict[str, Any]) -> str:
    faults = result["faults"]
    reasons = sorted({fault["reason"] or "none" for fault in faults})
    lost = [fault["lost_images"] for fault in faults]
    end = {True: "equal", False: "DIFFERENT", None: f"± {result['largest_difference']:.1g}"}
    sequence = "" if result["same_sequence"] else ", OTHER SAMPLES"
    cells = (
        f"`{name}`",
        str(len(faults)),
        ", ".join(reasons),
        _spread([fault["detected_s"] for fault in faults]),
        _spread([fault["recovered_s"] for fault in faults]),
        f"{statistics.median(lost):g} ({max(lost)})",
        str(sum(fault["orphans"] for fault in faults)),
        f"{100 * result['goodput']:.0f} %",
        end[result["equal"]] + sequence + ("" if result["status"] == 0 else ", FAILED"),
    )
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return f"{statistics.median(known):.1f} ({max(known):.1f})" if known else "–"


def _read() -> dict[str, Any]:
    path = RESULTS / "faults.json"
    return json.loads(path.read_text()) if path.is_file() else {}


if __name__ == "__main__":
    main()
