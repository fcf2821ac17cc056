"""Measures the figures of docs/results/speed.md, against a checkout of commit 607fd10.

Each part is measured once per commit; a call that was interrupted goes on where it stopped. The
page is written from the JSON at the end. Takes about twenty minutes; the machine must do
nothing else, for wall times count in the parts `workers` and `everything`.

    git worktree add /tmp/before 607fd10
    python -m benchmarks.speed --against /tmp/before
    python -m benchmarks.speed --against /tmp/before --parts step,memory --again
    python -m benchmarks.speed --page                    # the page alone, from the JSON
"""

import argparse
import json
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS, write_json
from benchmarks.speed import everything, inversion, limit, memory, page, step, workers
from benchmarks.speed.processes import HERE
from benchmarks.speed.processor import processor

NAME = "speed"


def parts(options: argparse.Namespace) -> Mapping[str, Callable[[], dict[str, Any]]]:
    """Every part by name, in the order of the page."""
    against, folder, short = options.against, options.folder, options.short
    return {
        "step": lambda: step.measure(against, short=short),
        "memory": lambda: memory.measure(against, short=short),
        "workers": lambda: workers.measure(short=short),
        "everything": lambda: everything.measure(folder, short=short),
        "inversion": lambda: inversion.measure(folder, options.model, short=short),
        "limit": lambda: limit.measure(short=short),
    }


def commit(checkout: Path) -> str:
    """The commit of a checkout; with a mark if files other than results differ from it."""
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no", ":!docs/results")
    return _git(checkout, "rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def _git(checkout: Path, *words: str) -> str:
    command = ["git", "-C", str(checkout), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", type=Path, help="a checkout of commit 607fd10")
    parser.add_argument("--parts", help="comma-separated; all by default")
    parser.add_argument("--again", action="store_true", help="also what this commit has measured")
    parser.add_argument("--page", action="store_true", help="write the page from the JSON alone")
    parser.add_argument("--short", action="store_true", help="small sizes: whether it runs at all")
    parser.add_argument("--model", help="for inversion: a run or export on avatars of 32 pixels")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "ganinv-speed",
        help="for data sets and runs",
    )  # fmt: skip
    options = parser.parse_args()
    file = RESULTS / f"{NAME}.json"
    found = json.loads(file.read_text())["parts"] if file.exists() else {}
    failed: list[str] = []
    if not options.page:
        if options.against is None:
            parser.error("--against: give a checkout of commit 607fd10")
        options.against = options.against.absolute()
        failed = measure(options, found)
    page.write(json.loads(file.read_text()), RESULTS / f"{NAME}.md")
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


def measure(options: argparse.Namespace, found: dict[str, Any]) -> list[str]:
    """Measure the parts that are asked for, and write the JSON after each. Returns failed parts."""
    known, now = parts(options), commit(HERE)
    failed: list[str] = []
    asked = options.parts.split(",") if options.parts else list(known)
    for name in asked:
        if name not in known:
            raise SystemExit(f"--parts {name}: choose among {', '.join(known)}")
        known_before = found.get(name, {})
        if not options.again and (now, options.short) == (
            known_before.get("commit"),
            known_before.get("short"),
        ):
            continue
        print(f"{name} …", flush=True)
        began = time.monotonic()
        try:
            measured = known[name]()
        except (RuntimeError, OSError, subprocess.SubprocessError):
            traceback.print_exc()  # the other parts do not depend on this one
            failed.append(name)
            continue
        found[name] = {
            "commit": now, "short": options.short, "took_s": time.monotonic() - began,
            **measured,
        }  # fmt: skip
        in_order = {part: found[part] for part in known if part in found}
        write_json(NAME, {"processor": processor(), "parts": in_order})
        print(f"{name}: {found[name]['took_s']:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    main()
