"""Checks that all ranks have the same objective state (to the bit) and the same data position."""

import hashlib
from collections.abc import Mapping, Sequence

from cluster.collectives import gather_objects
from ganinv.errors import ClusterError
from ganinv.training.session import Session


def check_ranks_agree(session: Session) -> None:
    """Raises `ClusterError` on every rank if any two ranks differ.

    Gathers some hundred bytes per rank. A collective: all ranks must call it.
    """
    ranks = gather_objects(_shared_values(session))
    if unequal := _unequal(ranks):
        raise ClusterError(
            f"no checkpoint at images_seen = {ranks[0]['images_seen']}: all workers must have the "
            f"same values, but on ranks 0 to {len(ranks) - 1} {'; '.join(unequal)}; start again to "
            "resume from the last checkpoint; if the error returns, look for a faulty node"
        )


def _shared_values(session: Session) -> dict[str, str]:
    """The values that must be equal on all ranks, by name; for a tensor, 128 bits of its hash."""
    values = {
        "images_seen": str(session.images_seen),
        "position": f"{session.position.images} in epoch {session.position.epoch}",
        "nonfinite_in_a_row": str(session.nonfinite_in_a_row),
    }
    for name, tensor in session.state.items():
        bits = tensor.detach().cpu().contiguous().numpy().tobytes()
        values[f"state/{name}"] = hashlib.sha256(bits).hexdigest()[:32]
    return values


def _unequal(ranks: Sequence[Mapping[str, str]]) -> list[str]:
    """One clause per name whose values differ, with the value of every rank."""
    return [
        f"{name} is {' / '.join(rank[name] for rank in ranks)}"
        for name in ranks[0]
        if len({rank[name] for rank in ranks}) > 1
    ]
