"""Writes docs/results/speed.md from speed.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.step import BEFORE, CASES

Part = Mapping[str, Any]
DID_NOT_HELP = Path(__file__).parent / "did_not_help.md"
MIB = 2**20


def write(found: Part, to: Path) -> None:
    """`found`: the content of the JSON; parts that were not measured are left out."""
    sections = {
        "step": _step, "memory": _memory, "workers": _workers, "everything": _everything,
        "inversion": _inversion, "limit": _limit,
    }  # fmt: skip
    parts = found["parts"]
    lines = _head(found)
    for name, section in sections.items():
        if name in parts:
            lines += ["", *section(parts[name])]
    to.write_text("\n".join([*lines, "", DID_NOT_HELP.read_text()]))


def _head(found: Part) -> list[str]:
    machine, processor, parts = found["machine"], found["processor"], found["parts"]
    commits = sorted({part["commit"] for part in parts.values()})
    short = [name for name, part in parts.items() if part["short"]]
    lines = [
        "# Speed",
        "",
        "Written by `python -m benchmarks.speed`; all numbers are in [speed.json](speed.json).",
        f"Measured at {', '.join(commits)} against {BEFORE}, before the work on speed, with the "
        "same environment.",
        "",
        f"Machine: {processor['model']} (family {processor['family']}), {machine['cores']} cores, "
        f"units {', '.join(processor['units'])}; PyTorch {machine['torch']}, Python "
        f"{machine['python']}. Figures are medians, with the least and the most in parentheses. "
        "Every process has one thread, unless a section says otherwise, and keeps freed memory as "
        "workers of a training do.",
    ]
    if short:
        lines += ["", f"**Not a result**: {', '.join(short)} ran at small sizes (`--short`)."]
    return lines


def _step(part: Part) -> list[str]:
    lines = [
        "## One step",
        "",
        "Images per second of processor time of a PVDGAN step on images in memory: 64 pixels, "
        "batch 16, width 32, max_width 128, latent 256 (`conv`: stem_width 512). Three processes, "
        "windows of two steps in turn; ratios are those of the same turn.",
        "",
        f"| networks | {BEFORE} | here, float32 | here, bf16 | float32 ratio | bf16 ratio | aim |",
        "|---|---|---|---|---|---|---|",
    ]
    noise = ", ".join(f"{name} {part[name]['noise']:.1%}" for name in CASES)
    aims = {"conv": "1.4, bf16 2", "stylegan2": "1.5"}
    for name in CASES:
        family = part[name]
        rates, ratios = family["images_per_cpu_s"], family["ratio"]
        cells = [
            _range(rates[BEFORE]), _range(rates["fp32"]),
            _range(rates["bf16"]) if "bf16" in rates else "–",
            _range(ratios["fp32"], 2), _range(ratios["bf16"], 2) if "bf16" in ratios else "–",
        ]  # fmt: skip
        lines.append(f"| `{name}` | {' | '.join(cells)} | {aims.get(name, '')} |")
    lines += [
        "",
        f"Standard deviation of the windows at {BEFORE}: {noise}.",
    ]
    if reason := part["conv"].get("bf16_left_out"):
        lines.append(f"No bf16: {reason}.")
    return lines


def _memory(part: Part) -> list[str]:
    pixels, recipe = part["resolution"], part["recipe"]
    lines = [
        "## Memory",
        "",
        f"Bytes of tensors alive at the peak of a step at {pixels}², per image, with default "
        "widths; counted on the meta device, without scratch memory of kernels (aim: 25 % less).",
        "",
        f"| networks | {BEFORE} | here | less | operations {BEFORE} | here |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in part["counted"].items():
        before, here = row[BEFORE], row["here"]
        sizes = [f"{side['bytes_per_image'] / MIB:.0f} MiB" for side in (before, here)]
        counts = [f"{side['operations']:,}" for side in (before, here)]
        lines.append(
            f"| `{name}` | {' | '.join(sizes)} | {row['less']:.0%} | {' | '.join(counts)} |"
        )
    micro, whole = recipe["steps"]["micro"], recipe["steps"]["whole"]
    few = recipe["two_images"]
    lines += [
        "",
        f"The step of `ffhq256-pvdgan` on {recipe['images']} images of {pixels}² with "
        f"{recipe['threads']} threads, averages and optimizer states included, takes "
        f"{micro['resident_bytes'] / 1e9:.1f} GB of resident memory by micro-batches of "
        f"{micro['micro_batch']} (aim: {recipe['limit_bytes'] / 1e9:.0f} GB; "
        f"{micro['seconds']:.0f} s), and {whole['resident_bytes'] / 1e9:.1f} GB as a whole "
        f"({whole['seconds']:.0f} s).",
        "",
        "‖difference‖ / ‖gradient‖ between micro-batches and the whole batch (aim: 1e-6):",
        "",
        f"- float64, two images in micro-batches of one: {_networks(few['float64'])};",
        f"- float32, {recipe['images']} images: {_networks(recipe['difference'])}.",
        "",
        "For comparison, the distance of float32 gradients from the whole batch in float64, two "
        f"images: whole batch {_networks(few['float32_whole'])}; micro-batches of one "
        f"{_networks(few['float32_micro'])}.",
    ]
    return lines


def _networks(row: Part) -> str:
    return ", ".join(f"{row[name]:.1e} ({name})" for name in ("g", "d"))


def _workers(part: Part) -> list[str]:
    lines = [
        "## Two workers",
        "",
        "Images per second of wall time, on gloo, one thread each; the step is that of the first "
        "table (aim: 1.85 times one). *Same batch*: 16 images on one worker or 8 on each of two. "
        "*Same share*: 16 images each. *Apart*: two processes with 16 images each that exchange "
        "nothing; more than this the machine does not allow.",
        "",
        "| engine, workers | images/s | ratio to one |",
        "|---|---|---|",
    ]
    for name, rate in part["images_per_s"].items():
        ratio = _range(part["ratio"][name], 2) if name in part["ratio"] else ""
        lines.append(f"| {name} | {_range(rate)} | {ratio} |")
    return lines


def _everything(part: Part) -> list[str]:
    return [
        "## Everything on",
        "",
        "`ganinv train` with one worker and one thread: Ray, DeepSpeed, shards on local disk, the "
        "exporter, a row of metrics every ten steps, a checkpoint in between. It trained "
        f"{part['images_per_s']:.2f} images per second of wall time over {part['seconds']:.0f} s; "
        f"the bare step {_range(part['bare_before'], 2)} before and "
        f"{_range(part['bare_after'], 2)} after: **{part['slower']:+.1%}** slower (aim: at most "
        "3 %).",
    ]


def _inversion(part: Part) -> list[str]:
    encoder, best = part["encoder"], part["optimisation"]
    images = part["images_trained"]
    trained = f"trained on {images:,} images" if images else "trained before"
    sign = "" if best["reached"] else "more than "
    ends = "reached it after" if best["reached"] else f"was at {best['psnr_db']:.2f} dB after"
    step_ms = best["s_per_step_and_image"] * 1e3
    lines = [
        "## Encoder or optimisation",
        "",
        f"A model of `{part['recipe']}` ({trained}) inverts {part['images']} held-out "
        f"images in one batch. The encoder and a decoding take "
        f"{encoder['s_per_image']['median'] * 1e3:.2f} ms of processor "
        f"time an image, and give {encoder['psnr_db']:.2f} dB. Adam on the code, from the mean "
        f"code at its best learning rate {best['learning_rate']}, {ends} {best['steps']:,.0f} "
        f"steps of {step_ms:.2f} ms an image: **{sign}{part['ratio']:,.0f} times** as long (aim: "
        "1,000 times).",
        "",
        "| learning rate | steps | mean PSNR, dB |",
        "|---|---|---|",
    ]
    for rate, row in part["learning_rates"].items():
        steps = f"{row['steps']:,.0f}"
        steps = steps if row["reached"] else f"not all within {row['most_steps']:,}"
        lines.append(f"| {rate} | {steps} | {row['psnr_db']:.2f} |")
    return lines


def _limit(part: Part) -> list[str]:
    lines = ["## Share of the limit", ""]
    if "left_out" in part:
        return [*lines, f"Not measured: {part['left_out']}."]
    runs: Sequence[Part] = part["runs"]
    lines += [
        "What the step of the first table would reach if every convolution and matrix product ran "
        f"as fast as by itself, and nothing else cost time (aim: 80 %). `{part['command']}`:",
        "",
        "| run | images/s | limit | share | neither convolution nor product |",
        "|---|---|---|---|---|",
    ]
    for number, run in enumerate(runs, start=1):
        lines.append(
            f"| {number} | {run['images_per_s']:.1f} | {run['limit_images_per_s']:.1f} | "
            f"{run['share_of_limit']:.0%} | {run['share_of_other_work']:.0%} |"
        )
    return lines


def _range(row: Mapping[str, float], digits: int = 1) -> str:
    middle, least, most = (f"{row[key]:.{digits}f}" for key in ("median", "least", "most"))
    return f"{middle} ({least}–{most})"
