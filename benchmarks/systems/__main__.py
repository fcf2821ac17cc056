"""Trains the systems, so that what is measured on them need not wait.

    python -m benchmarks.systems FOLDER                       # on drawn faces, seeds 0, 1, 2
    python -m benchmarks.systems FOLDER --fashion DATA        # besides, on Fashion-MNIST

Every model is kept in FOLDER as it ends, and is not trained again. `python -m benchmarks.editing`
and `python -m benchmarks.claims` take the same FOLDER.
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.systems.photographs import drawn_faces, photographs
from benchmarks.systems.training import SYSTEMS, trained
from cluster.workers.heap import keep_freed_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fashion", help="a data set of Fashion-MNIST at 32 pixels")
    parser.add_argument("--systems", nargs="+", choices=[*SYSTEMS], default=[*SYSTEMS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    sets = [drawn_faces(options.folder)]
    if options.fashion:
        sets.append(photographs("fashion32", options.fashion))
    for data in sets:
        for seed in options.seeds:
            for name in options.systems:
                began = time.process_time()
                trained(name, data, seed, options.folder)
                print(
                    f"{data.name}, {name}, seed {seed}: {time.process_time() - began:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
