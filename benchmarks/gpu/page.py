"""The page of `python -m benchmarks.gpu`, from its JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

Found = Mapping[str, Any]
GIB = 2**30
# Seconds per 1,000 images of StyleGAN2 at 256², by GPUs: NVIDIA's stylegan3, docs/configs.md.
STYLEGAN2 = {"A100": {1: 12.53, 4: 3.20, 8: 2.38}, "V100": {1: 20.84, 4: 5.39, 8: 3.89}}


def page(found: Found) -> str:
    lines = [*_head(found), *_speeds(found), *_bits(found), *_tests(found), *_missing(found)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _head(found: Found) -> Iterator[str]:
    machine = found["machine"]
    yield "# The training step on a GPU"
    yield ""
    yield "Written by `python -m benchmarks.gpu`; all numbers are in gpu.json beside it."
    gpus = f"{machine['gpus']} × " if machine["gpus"] > 1 else ""
    yield f"Commit {found['commit']}; {gpus}{machine['device']}; PyTorch {machine['torch']}."
    yield ""
    if found["short"] or machine["gpus"] == 0:
        yield "**Not a result**: small sizes or no GPU; this shows that the command works."
        yield ""
    yield "PVDGAN step of the recipe `ffhq256-pvdgan` (paper widths, 256 pixels, R1 on every step),"
    yield "on random images in memory. Medians; the least and the most are in the JSON. **GiB** is"
    yield "the peak of tensors on one GPU, **first** a step that compiles or captures. **MFU** is"
    yield "the rate of convolutions and matrix products over that of the data sheet, **of product**"
    yield "over that of a large matrix product on this machine:"
    yield ""
    yield "| precision | large matrix product, TFLOP/s | data sheet |"
    yield "|---|---|---|"
    for precision, rates in found["peaks"].items():
        sheet = "–" if rates["sheet"] is None else f"{rates['sheet'] / 1e12:.1f}"
        yield f"| {precision} | {rates['measured'] / 1e12:.3g} | {sheet} |"
    yield ""


def _speeds(found: Found) -> Iterator[str]:
    rows = [row for row in found["rows"] if row["kind"] == "speed" and "failed" not in row]
    if not rows:
        return
    yield "## Throughput"
    yield ""
    yield "| GPUs | how | images a GPU | images/s | s/kimg | MFU | of product | GiB | first, s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    flop = next((row["flop_per_image"] for row in rows if "flop_per_image" in row), None)
    for row in sorted(rows, key=lambda row: (row["gpus"], row["name"], row["images"])):
        yield _speed(row, found["peaks"].get(row["precision"], {}), flop)
    yield ""
    yield "Published, of StyleGAN2 at 256 pixels (stylegan3, docs/configs.md; other networks, fp16,"
    yield "R1 on every 16th step): "
    for name, seconds in STYLEGAN2.items():
        given = ", ".join(f"{s:.2f} s/kimg on {gpus}" for gpus, s in seconds.items())
        yield f"{name}: {given}. "
    yield ""


def _speed(row: Found, peaks: Found, flop: float | None) -> str:
    how = [str(row["gpus"]), row["name"], str(row["images"])]
    if "out_of_memory" in row:
        return f"| {' | '.join(how)} | out of memory | | | | | |"
    rate = row["images_per_s"]["median"]
    achieved = None if flop is None else rate * flop / row["gpus"]
    shares = [
        "–" if achieved is None or not peaks.get(key) else f"{achieved / peaks[key]:.1%}"
        for key in ("sheet", "measured")
    ]
    memory = f"{row['memory_bytes'] / GIB:.1f}" if "memory_bytes" in row else "–"
    return (
        f"| {' | '.join(how)} | {rate:.1f} | {1000 / rate:.2f} | {' | '.join(shares)} | {memory} | "
        f"{row['first_step_s']:.1f} |"
    )


def _bits(found: Found) -> Iterator[str]:
    rows = [row for row in found["rows"] if "same_bits_twice" in row]
    if not rows:
        return
    yield "## The same bits"
    yield ""
    yield "Weights and traces after some steps: of two runs, and of a run that was resumed."
    yield ""
    yield "| how | two runs | resumed |"
    yield "|---|---|---|"
    for row in rows:
        keys = ("same_bits_twice", "same_bits_resumed")
        words = ["same" if row[key] else "differ" for key in keys]
        yield f"| {row['name']} | {' | '.join(words)} |"
    yield ""


def _tests(found: Found) -> Iterator[str]:
    if not found["tests"]:
        return
    yield "## Tests"
    yield ""
    for tests in found["tests"]:
        passed = {True: "passed", False: "**failed**", None: "stopped, the time was up"}
        last = (tests["end"] or [""])[-1]
        yield f"- {tests['chosen']}: {passed[tests['passed']]} ({last})"
    yield ""


def _missing(found: Found) -> Iterator[str]:
    failed = [row for row in found["rows"] if "failed" in row]
    if failed:
        yield "## Failed"
        yield ""
        for row in failed:
            yield f"- {row['name']}: `{(row['failed'].splitlines() or [''])[-1]}`"
        yield ""
    if found["left_out"]:
        yield f"## Left out: {found['budget_s']:.0f} seconds were up"
        yield ""
        for name in found["left_out"]:
            yield f"- {name}"
