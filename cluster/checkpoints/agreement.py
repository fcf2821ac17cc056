"""Whether all workers hold what they must hold alike: traces to the bit, and their place."""

import hashlib
from collections.abc import Mapping, Sequence

from cluster.collectives import gather_objects
from ganinv.errors import ClusterError
from ganinv.training.session import Session


def check_ranks_agree(session: Session) -> None:
    """Raises `ClusterError`, on all ranks alike, where any two of them differ.

    One gather of some hundred bytes a rank. All ranks call this together.
    """
    ranks = gather_objects(_held(session))
    if unequal := _unequal(ranks):
        raise ClusterError(
            f"no checkpoint at images_seen = {ranks[0]['images_seen']}: all workers must hold the "
            f"same, but on ranks 0 to {len(ranks) - 1} {'; '.join(unequal)}; start again, which "
            "goes on from the last checkpoint, and if this comes back look for a faulty node"
        )


def _held(session: Session) -> dict[str, str]:
    """What every rank must hold alike, by name; tensors as 128 bits of the hash of theirs."""
    held = {
        "images_seen": str(session.images_seen),
        "position": f"{session.position.images} in epoch {session.position.epoch}",
        "nonfinite_in_a_row": str(session.nonfinite_in_a_row),
    }
    for name, tensor in session.state.items():
        bits = tensor.detach().cpu().contiguous().numpy().tobytes()
        held[f"state/{name}"] = hashlib.sha256(bits).hexdigest()[:32]
    return held


def _unequal(ranks: Sequence[Mapping[str, str]]) -> list[str]:
    """A clause for each name that ranks differ in, with every rank's value."""
    return [
        f"{name} is {' / '.join(rank[name] for rank in ranks)}"
        for name in ranks[0]
        if len({rank[name] for rank in ranks}) > 1
    ]
