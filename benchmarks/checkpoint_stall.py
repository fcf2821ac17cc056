"""What a save costs training: stall against a copy of memory and a save by hand, and slowdown.

Starts SeaweedFS on loopback, and makes a real session (DLSGAN, 20 M parameters, Adam, averages).
Rounds of the three ways to save are interleaved, and so are windows of training with one save and
without any. Server, uploads and training share this machine's cores, which a run on a cluster
would not.

    python -m benchmarks.checkpoint_stall                      # about five minutes
    python -m benchmarks.checkpoint_stall --rounds 3 --windows 0
"""

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cluster import seaweed
from cluster.checkpoint import RunIdentity, part
from cluster.config import CheckpointConfig
from cluster.saving import Saver
from cluster.storage import open_store
from cluster.storage_patience import Patience
from ganinv.networks import conv
from ganinv.objectives import dlsgan
from ganinv.seams import LocalEngine, Store, no_reduction
from ganinv.training import Session, TrainConfig, new_session, split_batch, train_batch
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
    """After one step, so that there are optimizer moments."""
    pair = conv.build(NETWORK, resolution=RESOLUTION, image_channels=3, seed=0)
    session = new_session(
        dlsgan.Objective(dlsgan.Config()),
        pair,
        lambda network: LocalEngine(network, TRAIN.optimizer(network)),
        config=TRAIN,
        latent_size=NETWORK.latent_size,
        device=torch.device("cpu"),
    )
    train_for(session, steps=1)
    return session


def train_for(session: Session, *, steps: int = 0, seconds: float = 0) -> int:
    """Train so many steps, or at least so long; the number of steps."""
    split = split_batch(TRAIN, 1)
    end = time.perf_counter() + seconds
    done = 0
    for batch in RandomImages(TRAIN.global_batch).batches(session.position):
        if done >= steps and time.perf_counter() >= end:
            break
        train_batch(session, batch, TRAIN, split, no_reduction)
        done += 1
    return done


def saver_to(store: Store) -> Saver:
    keep = CheckpointConfig(keep_last=2, trouble_limit_s=0)
    counts = Counts()
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
    """Seconds that training stands still, by way of saving; the first round warms up."""
    tensors = dict(part(session))
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    source = torch.ones(size_bytes, dtype=torch.uint8)
    target = torch.zeros_like(source)

    def by_hand() -> None:
        file = io.BytesIO()
        torch.save(tensors, file)
        store.write("by-hand.pt", file.getbuffer())

    found: dict[str, list[float]] = {"memcpy": [], "save": [], "upload": [], "by hand": []}
    with saver_to(store) as saver:
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
        "first_save_s": found["save"][0],  # it makes the memory that later ones use again
        "seconds": summary,
        "save/memcpy": median["save"] / median["memcpy"],
        "save/by hand": median["save"] / median["by hand"],
    }


def slowdown(session: Session, store: Store, windows: int, window_s: float) -> dict[str, Any]:
    """Seconds a step in windows with one save at their beginning, and in windows without."""
    per_step: dict[str, list[float]] = {"without": [], "with a save": []}
    train_for(session, steps=5)
    with saver_to(store) as saver:
        for turn in range(2 * windows):
            kind = ("without", "with a save")[turn % 2]
            started = time.perf_counter()
            if kind == "with a save":
                saver.save(session)
            steps = train_for(session, seconds=window_s)
            per_step[kind].append((time.perf_counter() - started) / steps)
            saver.wait()
    means = {kind: statistics.mean(values) for kind, values in per_step.items()}
    return {
        "window_s": window_s,
        "seconds_per_step": per_step,
        "slowdown": means["with a save"] / means["without"] - 1,
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
    parser.add_argument("--windows", type=int, default=2, help="of each kind")
    parser.add_argument("--window", type=float, default=60, help="seconds")
    parser.add_argument("--threads", type=int, default=1, help="of training")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = seaweed.start(Path(folder), ["bench"])
            os.environ.update(server.environment())
            store = open_store(URL, patience=Patience(deadline_s=60, option="storage.deadline_s"))
            session = make_session()
            result = stalls(session, store, options.rounds)
            if options.windows:
                result |= slowdown(session, store, options.windows, options.window)
        finally:
            seaweed.stop(Path(folder))
    print(as_table(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
