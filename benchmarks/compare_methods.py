"""Tests the claims of both papers on drawn faces: five methods, trained on equally many images.

    MSE-D   plain squared error, in the loss of D only      (DLSGAN paper, figures 1–11)
    MSE-DG  the same, in the losses of D and G
    DLS-D   dynamic latent scale, in the loss of D only
    DLS-DG  the same, in the losses of D and G: DLSGAN
    PVDGAN  DLS-DG and the perceptual VAE loss

Claims: MSE's L_enc stays near 1 while DLS's falls, lower for DG than for D; the latent entropy
falls faster with DG; DLS-DG reconstructs clearly better than MSE-DG; PVDGAN reconstructs held-out
images better than DLS-DG.

Everything but the method is equal: networks, data, seed, images, learning rate. After an
interruption `train` resumes. `evaluate` evaluates every second checkpoint that has no figures yet;
it may run while trainings still run. `page` writes docs/results/.

    python -m benchmarks.compare_methods train --to runs/compare
    python -m benchmarks.compare_methods evaluate --to runs/compare
    python -m benchmarks.compare_methods page --to runs/compare
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.compare_methods_page import write_page
from cluster.run_folder.evaluation_log import read_records, write_record
from cluster.storage.opening import open_store
from ganinv.saved.manifest import manifests_newest_first
from launch.options.places import StorageConfig
from launch.progress import console
from launch.wiring.evaluate_run import EvaluateOptions, evaluate_here

DLSGAN, PVDGAN = "avatars32-dlsgan", "avatars32-pvdgan"
METHODS: dict[str, tuple[str, ...]] = {
    "DLS-DG": (DLSGAN, "objective.scale=dls", "objective.encoder_loss_to=dg"),
    "PVDGAN": (PVDGAN,),
    "MSE-DG": (DLSGAN, "objective.scale=mse", "objective.encoder_loss_to=dg"),
    "DLS-D": (DLSGAN, "objective.scale=dls", "objective.encoder_loss_to=d"),
    "MSE-D": (DLSGAN, "objective.scale=mse", "objective.encoder_loss_to=d"),
}
# The trace's decay scales with the length of the training: the papers average over some 500 of half
# a million steps, this comparison over 100 of several thousand.
EQUAL_FOR_ALL = (
    "network.latent_size=128",
    "objective.trace.decay=0.99",
    "train.log_every=1000",
    "train.checkpoint_every=4000",
    "checkpoint.keep_every_images=4000",
    "evaluate.every=4000",
    "cluster.workers=1",
)
EVALUATE_EVERY = 8_000  # images
SAMPLES = 512  # test images per evaluation, and as many generated images


def run_folder(to: Path, method: str, seed: int) -> Path:
    return to / f"{method.lower()}-seed{seed}"


def command(to: Path, method: str, seed: int, images: int) -> list[str]:
    """The command line that trains this method."""
    recipe, *options = METHODS[method]
    places = (f"storage.run={run_folder(to, method, seed)}", f"data.url={to / 'avatars32'}")
    size = (f"train.images={images}", f"train.seed={seed}")
    return ["python", "-m", "launch", "train", recipe, *places, *size, *options, *EQUAL_FOR_ALL]


def train(to: Path, methods: list[str], seed: int, images: int) -> None:
    for method in methods:
        words = command(to, method, seed, images)
        print(" ".join(words), flush=True)
        subprocess.run([sys.executable, *words[1:]], check=True)  # noqa: S603 - our own command


def evaluate(to: Path, methods: list[str], seed: int) -> None:
    """Evaluate checkpoints, on the features of EfficientNet-Lite0 besides."""
    screen = console(as_json=False)
    for method in methods:
        folder = run_folder(to, method, seed)
        store = open_store(str(folder))
        taken = {record["checkpoint"] for record in read_records(store)}
        for manifest in reversed(manifests_newest_first(store)):
            if manifest.name in taken or manifest.images_seen % EVALUATE_EVERY:
                continue
            options = EvaluateOptions(samples=SAMPLES, features=["lite0"], checkpoint=manifest.name)
            found = evaluate_here(StorageConfig(run=str(folder)), options, screen)
            write_record(store, found.conditions, found.figures)
            print(method, manifest.images_seen, found.figures["eval/psnr_db_test"], flush=True)


def page(to: Path, methods: list[str], seed: int, images: int) -> None:
    runs = {method: str(run_folder(to, method, seed)) for method in methods}
    home = Path("runs/compare")  # the folder of the usage above, not `to`
    commands = {method: " ".join(command(home, method, seed, images)) for method in methods}
    write_page(runs, commands, samples=SAMPLES)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("train", "evaluate", "page"))
    parser.add_argument("--to", type=Path, required=True, help="folder for data and runs")
    parser.add_argument("--images", type=int, default=48_000, help="to train each method on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    to, methods, seed = arguments.to, arguments.methods, arguments.seed
    if arguments.stage == "train":
        train(to, methods, seed, arguments.images)
    elif arguments.stage == "evaluate":
        evaluate(to, methods, seed)
    else:
        page(to, methods, seed, arguments.images)


if __name__ == "__main__":
    main()
