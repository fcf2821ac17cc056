"""R3GAN's parts and augmentation, in equal processor time: three seeds, thresholds set before.

    python -m benchmarks.quality --fashion DATA --digits DATA    # all; two hours of one core
    python -m benchmarks.quality faces --seeds 0
    python -m benchmarks.quality --page                          # the page alone, from the JSON

Every run is kept in docs/results/quality.json as it ends, and is not repeated. The page is
docs/results/quality.md. `--models` names the folder of the drawn faces (runs/systems).
"""

import argparse
from pathlib import Path

from benchmarks.claims import models
from benchmarks.claims.page import Page
from benchmarks.claims.running import run
from benchmarks.quality.comparisons import CLAIMS
from benchmarks.quality.trainings import SECONDS
from cluster.workers.heap import keep_freed_memory

PAGE = Page(
    name="quality",
    claims=CLAIMS,
    preamble=f"""\
# Pictures in equal time

Written by `python -m benchmarks.quality` from [quality.json](quality.json). Small models of 32
pixels, {SECONDS} seconds of one core for each run: what such runs say of large ones is a guess.
Thresholds were written down before the runs; each must be met by every seed. Thick curves are means
over seeds, thin ones the seeds.
""",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("claims", nargs="*", choices=[*CLAIMS, []], help="all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", type=Path, help="keeps the drawn faces (runs/systems)")
    parser.add_argument("--fashion", help="a data set of Fashion-MNIST at 32 pixels")
    parser.add_argument("--digits", help="a data set of MNIST at 32 pixels")
    parser.add_argument("--page", action="store_true", help="write the page from the JSON alone")
    options = parser.parse_args()
    models.PLACES.folder = options.models or models.PLACES.folder
    models.PLACES.fashion = options.fashion
    models.PLACES.digits = options.digits
    keep_freed_memory()
    run(PAGE, [] if options.page else options.claims or list(CLAIMS), options.seeds)


if __name__ == "__main__":
    main()
