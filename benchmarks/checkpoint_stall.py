"""How long a save stalls training, compared with a copy of memory and with `torch.save`.

Starts SeaweedFS on loopback and makes a real session (DLSGAN, 20 M parameters, Adam, averages).
The three alternatives take turns. `benchmarks.checkpoint_slowdown` measures the cost of the upload
in the background.

    python -m benchmarks.checkpoint_stall --rounds 5
"""

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from cluster.checkpoints.contents import RunIdentity, tensors_of_this_rank
from cluster.checkpoints.saving import Saver
from cluster.config import CheckpointConfig
from cluster.seaweed import store as seaweed
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from ganinv.networks import conv
from ganinv.objectives import dlsgan
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.seams.stores import Store
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, new_session, train_batch
from tests.support.runs import RandomImages
from tests.support.saves import Counts, nothing

URL = "s3://bench/run"
NETWORK = conv.Config(latent_size=512, width=256, max_width=512)
TRAIN = TrainConfig(global_batch=2)
RESOLUTION = 16
IDENTITY = RunIdentity(
    seed=0, data_fingerprint="f", image_resolution=RESOLUTION, image_channels=3, config={}
)


def make_session() -> Session:
    """A session after one step, so that optimizer moments exist."""
    session = new_session(
        dlsgan.Objective(dlsgan.Config(), NETWORK.latent_size),
        conv.build(NETWORK, resolution=RESOLUTION, image_channels=3, seed=0),
        LocalEngine,
        config=TRAIN,
        device=torch.device("cpu"),
    )
    train_on(session, steps=1)
    return session


def train_on(session: Session, steps: int) -> None:
    layout = lay_out_batch(TRAIN, 1)
    batches = RandomImages(TRAIN.global_batch).batches(session.position)
    for batch in islice(batches, steps):
        train_batch(session, batch, TRAIN, layout, no_reduction)


def saver_to(store: Store, counts: Counts) -> Saver:
    keep = CheckpointConfig(keep_last=2, trouble_limit_s=0)
    return Saver(
        store,
        IDENTITY,
        keep,
        observer=counts,
        before_commit=nothing,
        give_up=counts.given_up.append,
        resumed=None,
    )


def took_s(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def stalls(session: Session, store: Store, rounds: int) -> dict[str, Any]:
    """Seconds that each alternative stalls training; the first round warms up."""
    tensors = dict(tensors_of_this_rank(session))
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    source = torch.ones(size_bytes, dtype=torch.uint8)
    target = torch.zeros_like(source)

    def by_hand() -> None:
        file = io.BytesIO()
        torch.save(tensors, file)
        store.write("by-hand.pt", file.getbuffer())

    found: dict[str, list[float]] = {"memcpy": [], "save": [], "upload": [], "by hand": []}
    with saver_to(store, Counts()) as saver:
        for _ in range(rounds + 1):
            found["memcpy"].append(took_s(lambda: target.copy_(source)))
            started = time.perf_counter()
            saver.save(session)
            found["save"].append(time.perf_counter() - started)
            found["upload"].append(took_s(saver.wait))
            found["by hand"].append(took_s(by_hand))
    summary = {name: spread(values[1:]) for name, values in found.items()}
    median = {name: row["median_s"] for name, row in summary.items()}
    return {
        "state_bytes": size_bytes,
        "first_save_s": found["save"][0],  # allocates the memory that later saves reuse
        "seconds": summary,
        "save/memcpy": median["save"] / median["memcpy"],
        "save/by hand": median["save"] / median["by hand"],
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values)}


def as_table(result: dict[str, Any]) -> str:
    lines = ["| seconds | median | min | max |", "|---|---|---|---|"]
    for name, row in result["seconds"].items():
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of training")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = seaweed.start(Path(folder), ["bench"])
            server.enter(os.environ)
            store = open_store(URL, retries=RetryPolicy(deadline_s=60, option="storage.deadline_s"))
            session = make_session()
            result = stalls(session, store, options.rounds)
        finally:
            seaweed.stop(Path(folder))
    print(as_table(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
