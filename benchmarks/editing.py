"""Edits by boundaries on drawn faces, whose attributes are known: a table of methods.

    python -m benchmarks.editing FOLDER            # trains what FOLDER lacks, then measures
    python -m benchmarks.editing --model models/avatars32.safetensors --data DATA
                                                   # a row for a model on its own data set
    python -m benchmarks.editing --page            # the page alone, from the JSON

Writes docs/results/editing.json and editing.md. The goals were written down before the runs:
the wanted attribute changes in 80 % of the pictures, and 90 % of the others stay.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import ganinv
from benchmarks.results import RESULTS, write_json
from benchmarks.systems import edits
from benchmarks.systems.classifier import judge
from benchmarks.systems.photographs import drawn_faces, photographs
from benchmarks.systems.training import IMAGES, SYSTEMS, trained
from cluster.workers.heap import keep_freed_memory
from launch.editing.labels import Label

LABELS = (
    "glasses: glasses!=none",
    "beard: beard!=none",
    "hat: hat_color!=none",
    "dark skin: skin_color=#614335|#ae5d29|#d08b5b",
    "dark hair: hair_color=#2c1b18|#4a312c|#724133|#a55728",
    "dark clothes: clothes_color=#262e33|#3c4f5c|#25557c|#5199e4",
)
CHANGED, KEPT = 0.8, 0.9  # the goals
PREAMBLE = """\
# Edits by boundaries

Written by `python -m benchmarks.editing` from [editing.json](editing.json). Small models of drawn
faces (32 pixels, {images:,} images) are edited along boundaries that were fitted on their codes of
training images. A file's name is a model that was trained longer, such as the one that comes with
the checkout. An independent network that was trained on the true labels judges the pictures. The
protocol is in `benchmarks/systems/edits.py`.

- **changed**: the wanted attribute is there after the edit. Goal, set before the runs: ≥ 80 %.
- **kept**: the other attributes are judged as before. Goal: ≥ 90 %.
- **random**: the same two for moves of equal length in random directions.
- **person**: distance of the judge's features from those before the edit; 1 is the mean distance of
  two different faces.
- **code**: ‖E(G(p)) − p‖ / ‖p‖ of the edited point p, in brackets that before the edit.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--systems", nargs="+", choices=[*SYSTEMS], default=[*SYSTEMS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", type=Path, help="an export of drawn faces at 32 pixels")
    parser.add_argument("--data", help="the data set that it was trained on")
    parser.add_argument("--page", action="store_true", help="write the page from the JSON alone")
    options = parser.parse_args()
    file = RESULTS / "editing.json"
    found: dict[str, Any] = json.loads(file.read_text())["systems"] if file.exists() else {}
    if options.model is not None and options.data is not None:
        measure_one(options.model, options.data, found)
    elif not options.page:
        if options.folder is None:
            parser.error("name a folder for the models, or give --model and --data, or --page")
        measure(options, found)
    (RESULTS / "editing.md").write_text(page(found))


def measure_one(file: Path, place: str, found: dict[str, Any]) -> None:
    """A row for one model, under its file's name, and on its own held-out images."""
    torch.set_num_threads(1)
    data = photographs(file.stem, place)
    judging = judge(data, [Label.parse(text) for text in LABELS], seed=0)
    found[file.name] = {"0": edits.measure(ganinv.load(file, device="cpu"), data, judging, 0)}
    write_json("editing", {"systems": found})


def measure(options: argparse.Namespace, found: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    data = drawn_faces(options.folder)
    judging = judge(data, [Label.parse(text) for text in LABELS], seed=0)
    for seed in options.seeds:
        for name in options.systems:
            model = trained(name, data, seed, options.folder)
            if not model.encodes or str(seed) in found.setdefault(name, {}):
                continue
            found[name][str(seed)] = edits.measure(model, data, judging, seed)
            print(name, seed, found[name][str(seed)]["mean"]["encoded"], flush=True)
            write_json("editing", {"systems": found})


def page(found: dict[str, Any]) -> str:
    parts = [PREAMBLE.format(images=IMAGES)]
    for stage, title in (("encoded", "After encoding"), ("refined", "After refinement")):
        parts.append(f"## {title}\n\nMean of all attributes and seeds; range of the seeds.\n")
        head = "| method | seeds | changed | kept | random: changed | kept | person | code |"
        rows = [
            _row(name, [by[s]["mean"][stage] for s in sorted(by)]) for name, by in found.items()
        ]
        parts.append("\n".join([head, "|---" * 8 + "|", *rows]) + "\n")
    parts.append("## By attribute, after encoding\n\nSeed 0: changed, kept, distance in σ.\n")
    parts.append(_by_attribute(found))
    return "\n".join(parts)


def _row(name: str, means: list[dict[str, float]]) -> str:
    def share(key: str, goal: float | None = None) -> str:
        values = [mean[key] for mean in means]
        mean = sum(values) / len(values)
        text = f"{mean:.1%}"
        if len(values) > 1:
            text += f" ({min(values):.1%}–{max(values):.1%})"
        return text if goal is None or min(values) >= goal else f"{text} **missed**"

    def number(key: str) -> str:
        return f"{sum(mean[key] for mean in means) / len(means):.2f}"

    cells = (
        name, str(len(means)), share("changed", CHANGED), share("kept", KEPT),
        share("random_changed"), share("random_kept"),
        number("person"), f"{number('code')} ({number('code_before')})",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _by_attribute(found: dict[str, Any]) -> str:
    first = {name: by["0"] for name, by in found.items() if "0" in by}
    labels = [row["label"] for row in next(iter(first.values()))["labels"]]
    lines = ["| method | " + " | ".join(labels) + " |", "|---" * (len(labels) + 1) + "|"]
    for name, one in first.items():
        cells = [
            f"{row['encoded']['changed']:.0%}, {row['encoded']['kept']:.0%}, {row['distance']:g}"
            for row in one["labels"]
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    judged = next(iter(first.values()))["labels"]
    accuracies = ", ".join(f"{row['label']} {row['judge_accuracy']:.1%}" for row in judged)
    return "\n".join(lines) + f"\n\nAccuracy of the judge on held-out faces: {accuracies}.\n"


if __name__ == "__main__":
    main()
