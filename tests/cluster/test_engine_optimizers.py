"""All engines with scheduled options and two kinds of optimizers.

Half a run on some ranks, the other half on another number of ranks, against one process.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from ganinv.objectives import dlsgan
from ganinv.saved.format import STATE, average, below, weights
from ganinv.seams.batches import Position
from ganinv.seams.engine import Engine, Fragment, LocalEngine
from ganinv.training.config import lay_out_batch
from ganinv.training.session import Session
from tests.support.engines import KINDS, Kind, distributed_session
from tests.support.gloo import run_ranks
from tests.support.loops import whole_moments
from tests.support.runs import NETWORK, build_networks, local_session, snapshot, train
from tests.support.scheduled import SCHEDULED, DiscriminatorByRmsProp

pytestmark = pytest.mark.integration
IMAGES = 64
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


class Saved(NamedTuple):
    """What a rank holds of a run: all of the equal tensors, its own fragments of the optimizers'.

    `options`: of every step, of each network's optimizer.
    """

    tensors: dict[str, Tensor]
    fragments: dict[str, list[Fragment]]
    steps: dict[str, int]
    options: list[dict[str, dict[str, Any]]]


Moments = dict[str, dict[str, dict[str, Tensor]]]  # network → moment → parameter → tensor


def two_optimizers() -> DiscriminatorByRmsProp:
    """G is trained by Adam, D by RMSProp, both with scheduled options."""
    return DiscriminatorByRmsProp(dlsgan.Config(), NETWORK.latent_size)


def saved_of(session: Session, options: list[dict[str, dict[str, Any]]]) -> Saved:
    fragments, steps = {}, {}
    for name, engine in session.engines.items():
        found, steps[name] = engine.optimizer_fragments()
        fragments[name] = [f._replace(values=f.values.clone()) for f in found]
    return Saved(snapshot(session), fragments, steps, options)


def optimizer_of(engine: Engine) -> torch.optim.Optimizer:
    if isinstance(engine, LocalEngine):  # the flat engine is one
        return engine.optimizer
    optimizer: torch.optim.Optimizer = engine._torch_optimizer()  # type: ignore[attr-defined]  # DeepSpeedEngine's
    return optimizer


def train_noting_options(session: Session, images: int) -> Saved:
    """Train to `images`; the options with which every step was taken."""
    from cluster.collectives import all_reduce_sum

    layout = lay_out_batch(SCHEDULED, dist.get_world_size())
    options = []
    while session.images_seen < images:
        at = session.images_seen + SCHEDULED.global_batch
        train(session, SCHEDULED, layout, at, rank=dist.get_rank(), reduce=all_reduce_sum)
        optimizers = {name: optimizer_of(engine) for name, engine in session.engines.items()}
        options.append(
            {
                name: {key: value for key, value in group.items() if key != "params"}
                for name, optimizer in optimizers.items()
                for group in optimizer.param_groups
            }
        )
    return saved_of(session, options)


def first_half() -> dict[Kind, Saved]:
    """By engine."""
    return {
        kind: train_noting_options(
            distributed_session(two_optimizers(), kind, SCHEDULED), IMAGES // 2
        )
        for kind in KINDS
    }


def second_half(
    halves: Mapping[Kind, tuple[dict[str, Tensor], Moments, dict[str, int]]],
) -> dict[Kind, tuple[Saved, Saved]]:
    """From what was saved: right after loading, and at the end."""
    return {kind: load_and_train(kind, *half) for kind, half in halves.items()}


def load_and_train(
    kind: Kind, tensors: dict[str, Tensor], moments: Moments, steps: dict[str, int]
) -> tuple[Saved, Saved]:
    session = distributed_session(two_optimizers(), kind, replace(SCHEDULED, seed=7))
    for name, network in session.networks.items():
        network.load_state_dict(below(tensors, weights(name)))
        session.averages[name].network.load_state_dict(below(tensors, average(name)))
    for name, engine in session.engines.items():
        engine.load_optimizer(moments[name], steps[name])
    session.state = below(tensors, STATE)
    session.images_seen = IMAGES // 2
    session.position = Position(epoch=0, images=IMAGES // 2)
    return saved_of(session, []), train_noting_options(session, IMAGES)


def put_together(ranks: list[Saved]) -> Moments:
    """Whole moments from the fragments of all ranks; every element comes from exactly one."""
    whole: Moments = {}
    for name, network in build_networks().items():
        shapes = {key: parameter.shape for key, parameter in network.named_parameters()}
        held = sorted((f for rank in ranks for f in rank.fragments[name]), key=lambda f: f.start)
        runs: dict[tuple[str, str], list[Tensor]] = {}
        for parameter, moment, start, values in held:
            before = runs.setdefault((moment, parameter), [])
            assert start == sum(map(len, before)), f"{name}: {moment} of {parameter} has a gap"
            before.append(values)
        whole[name] = {}
        for (moment, parameter), pieces in runs.items():
            tensor = torch.cat(pieces).view(shapes[parameter])
            whole[name].setdefault(moment, {})[parameter] = tensor
        assert all(moment.keys() == shapes.keys() for moment in whole[name].values())
    return whole


def local_moments(session: Session) -> Moments:
    return {name: whole_moments(engine)[0] for name, engine in session.engines.items()}


@pytest.mark.parametrize(("world", "later"), [(1, 2), (2, 1)])
def test_scheduled_options_and_two_optimizers_on_every_engine(world: int, later: int) -> None:
    """Half a run on `world` ranks, the rest on `later` ones, against one process without a stop."""
    reference = local_session(two_optimizers(), SCHEDULED)
    train(reference, SCHEDULED, lay_out_batch(SCHEDULED, 1), IMAGES // 2)
    half_moments = local_moments(reference)
    train(reference, SCHEDULED, lay_out_batch(SCHEDULED, 1), IMAGES)
    ranks = run_ranks(first_half, world)
    halves = {}
    for kind in KINDS:
        saved = [rank[kind] for rank in ranks]
        moments = put_together(saved)
        assert moments["g"].keys() == {"exp_avg", "exp_avg_sq"}
        assert moments["d"].keys() == {"square_avg"}
        torch.testing.assert_close(moments, half_moments, **CLOSE)
        halves[kind] = saved[0].tensors, moments, saved[0].steps
        assert saved[0].steps == {"g": 2, "d": 2}
    resumed = run_ranks(second_half, later, halves)
    for kind in KINDS:
        loaded = put_together([rank[kind][0] for rank in resumed])
        torch.testing.assert_close(loaded, halves[kind][1], rtol=0, atol=0)  # the same bits
        ends = [rank[kind][1] for rank in resumed]
        torch.testing.assert_close(ends[0].tensors, snapshot(reference), **CLOSE)
        torch.testing.assert_close(put_together(ends), local_moments(reference), **CLOSE)
        assert ends[0].steps == {"g": 4, "d": 4}
        for rank_before, rank_after in ((ranks[0], ends[0]), (ranks[-1], ends[-1])):
            check_options([*rank_before[kind].options, *rank_after.options])


def check_options(options: list[dict[str, dict[str, Any]]]) -> None:
    """The options of all steps are those of the clock."""
    assert len(options) == IMAGES // SCHEDULED.global_batch
    for step, found in enumerate(options):
        seen = step * SCHEDULED.global_batch
        g, d = SCHEDULED.knobs("g", seen), SCHEDULED.knobs("d", seen)
        expected: dict[str, dict[str, Any]] = {
            "g": {"lr": g.learning_rate, "betas": (g.beta1, g.beta2), "eps": g.epsilon},
            "d": {"lr": d.learning_rate, "alpha": d.beta2, "eps": d.epsilon},
        }
        for name, values in expected.items():
            assert {key: found[name][key] for key in values} == values, (name, seen)
    rates = [found["g"]["lr"] for found in options]
    assert len(set(rates)) == len(rates)
