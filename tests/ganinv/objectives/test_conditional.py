"""Conditional training: gradients in float64, micro-batches, classes of images, models and codes.

Shapes: N samples of a micro-batch, B samples, K classes, L latent elements, C × H × W image.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv import load, networks
from ganinv.augmentation.options import AugmentConfig
from ganinv.boundaries.boundary import Boundary
from ganinv.editing.edits import Editor
from ganinv.errors import ConfigError, DataError
from ganinv.inversion.optimise import Optimisation, OptimiseConfig
from ganinv.latents.hypersphere import Hypersphere
from ganinv.latents.labelled import Condition, Labelled
from ganinv.latents.scaled_normal import SCALE, ScaledNormal
from ganinv.model import InvertibleGan
from ganinv.networks.base import LabelledJudgement
from ganinv.objectives.base import MicroBatch, Objective, networks_asked
from ganinv.saved.exports import Description, export_files
from ganinv.saved.graphs import ENCODER, GENERATOR
from ganinv.saved.identity import identity
from ganinv.saved.torchscript import graph_files
from ganinv.seams.batches import Batch, Position
from ganinv.seams.engine import no_reduction
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.labels import class_name, labels_in
from ganinv.training.session import Session, train_batch
from ganinv.training.step import train_step
from tests.support.gradients import Gradients, KeepingEngine
from tests.support.micro_batches import random_batch
from tests.support.runs import LABELS, NETWORK, local_session, make_objective, snapshot

BATCH, LATENT = 8, 7
R3GAN = {"adversarial": "relativistic", "lambda_r1": 3.0, "lambda_r2": 2.0}


def conditional(name: str, **options: Any) -> Objective:
    return make_objective(name, latent_size=LATENT, condition=LABELS, **options)


def built(objective: Objective, family: str = "conv") -> dict[str, nn.Module]:
    """In float64, with random numbers in place of every 0 at the start."""
    module = networks.find(family)
    sizes = {"group_size": 4, "blocks": 1} if family == "r3gan" else {}
    config = module.Config(latent_size=LATENT, width=4, max_width=8, **sizes)
    made: dict[str, nn.Module] = module.build(
        config, resolution=16, image_channels=3, seed=0, **networks_asked(objective)
    )
    generator = torch.Generator().manual_seed(1)
    for network in made.values():
        for parameter in network.double().parameters():
            if not parameter.any():
                parameter.data.normal_(generator=generator)
    return made


def parts(whole: MicroBatch, count: int) -> list[MicroBatch]:
    """As `count` ranks get it."""
    assert whole.label_NK is not None
    return [
        replace(
            whole,
            real_NCHW=whole.real_NCHW[i::count],
            slots_N=whole.slots_N[i::count],
            noise={name: draw[i::count] for name, draw in whole.noise.items()},
            label_NK=whole.label_NK[i::count],
            micro_batches=count,
            carry={},
        )
        for i in range(count)
    ]


def step(
    objective: Objective, nets: Mapping[str, nn.Module], batches: list[MicroBatch]
) -> dict[str, Gradients]:
    own = copy.deepcopy(dict(nets))
    engines = {
        name: KeepingEngine(net, torch.optim.SGD(net.parameters(), lr=0.1), len(batches))
        for name, net in own.items()
    }
    state = objective.new_state(BATCH)
    assert train_step(objective, engines, batches, state, no_reduction, {}).applied
    return {name: engine.kept for name, engine in engines.items()}


def said(name: str, judged: LabelledJudgement, z: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """a(x, y) and the loss of the code, from what D gives, by the formulas of the papers.

    DEDGAN's value is −ln ‖softplus(h)‖ + yᵀ V φ(x), and its code has no part of the label.
    """
    projection_B = judged.projection_BK[label.bool()]
    if name == "dlsgan":  # the scale is 1
        return judged.adversarial_B + projection_B, F.mse_loss(judged.latent_BL, z)
    head_BE = torch.cat([judged.adversarial_B[:, None], judged.latent_BL], 1)
    embedded_BE = torch.log1p(head_BE.exp())
    sphere = Hypersphere(LATENT)
    cosine_B = F.cosine_similarity(embedded_BE, sphere.to_cartesian(sphere.angles(z)))
    return projection_B - embedded_BE.norm(dim=1).log(), cosine_B.arccos().tan().mean()


def reference(name: str, nets: Mapping[str, nn.Module], batch: MicroBatch) -> dict[str, Gradients]:
    """R3GAN's losses of a(x, y), and the loss of the code, by double backward."""
    label, found = batch.label_NK, {}
    assert label is not None
    z, x = batch.noise["z"], batch.real_NCHW.clone().requires_grad_()
    for network in ("g", "d", "c"):
        g, d, c = (copy.deepcopy(nets[key]) for key in ("g", "d", "c"))
        image = g(torch.cat([z, label], 1))
        image = image.detach().requires_grad_() if network == "d" else image
        real, fake = d(x), d(image)
        (real_B, _), (fake_B, code_loss) = (said(name, each, z, label) for each in (real, fake))
        delta = real_B - fake_B
        if network == "d":
            slopes = [
                torch.autograd.grad(value.sum(), i, create_graph=True)[0].square().sum((1, 2, 3))
                for value, i in ((real_B, x), (fake_B, image))
            ]
            loss = F.softplus(-delta).mean() + code_loss
            loss = loss + 3.0 * slopes[0].mean() + 2.0 * slopes[1].mean()
        elif network == "g":
            loss = F.softplus(delta).mean() + code_loss
        else:
            loss = -(c(real.feature_BF.detach()).log_softmax(1) * label).sum(1).mean()
        named = dict({"g": g, "d": d, "c": c}[network].named_parameters())
        gradients = torch.autograd.grad(loss, list(named.values()))  # all of them are in use
        found[network] = dict(zip(named, gradients, strict=True))
    return found


def assert_close(found: dict[str, Gradients], expected: dict[str, Gradients]) -> None:
    assert found.keys() == expected.keys()
    for network, gradients in expected.items():
        total = torch.stack([value.norm() for value in gradients.values()]).norm()
        for name, value in gradients.items():
            error = (found[network][name] - value).norm() / (value.norm() + 1e-4 * total)
            assert float(error) <= 1e-10, f"{network}/{name}"


@pytest.mark.parametrize("family", ["conv", "r3gan"])
@pytest.mark.parametrize("name", ["dlsgan", "dedgan"])
def test_a_step_has_the_gradients_of_a_plain_reference(name: str, family: str) -> None:
    options = {"scale": "mse"} if name == "dlsgan" else {}
    objective = conditional(name, **R3GAN, **options)
    nets = built(objective, family)
    whole = random_batch(objective, global_batch=BATCH)
    assert_close(step(objective, nets, parts(whole, 1)), reference(name, nets, whole))


@pytest.mark.parametrize("kind", ["none", "fixed"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dlsgan", {"schedule": "simultaneous"}),
        ("dlsgan", {"schedule": "sequential"}),
        ("pvdgan", {"schedule": "simultaneous"}),
        ("pvdgan", {"schedule": "sequential"}),
        ("dedgan", {}),
    ],
)
def test_labels_survive_micro_batches_and_ranks(
    name: str, options: dict[str, Any], kind: Any
) -> None:
    """And count: with other labels, the gradients are others. With and without augmentation."""
    augment = AugmentConfig(kind=kind, p=0.5 if kind == "fixed" else 0.0)
    objective = conditional(name, augment=augment, **options)
    nets, whole = built(objective), random_batch(objective, global_batch=BATCH)
    found = step(objective, nets, parts(whole, 1))
    assert_close(step(objective, nets, parts(whole, 4)), found)
    assert whole.label_NK is not None
    others = step(objective, nets, [replace(whole, label_NK=whole.label_NK.roll(1, 1))])
    for network, gradients in found.items():
        assert any(not torch.equal(others[network][n], value) for n, value in gradients.items())


def test_the_classifier_leaves_the_gan_alone() -> None:
    """Gradients of G and D do not depend on its weights."""
    objective = conditional("pvdgan")
    nets, whole = built(objective), random_batch(objective, global_batch=BATCH)
    found = step(objective, nets, [whole])
    nets["c"].weight.data.mul_(5)  # type: ignore[operator]
    again = step(objective, nets, [whole])
    assert all(torch.equal(found[n][p], again[n][p]) for n in ("g", "d") for p in found[n])
    assert not torch.equal(found["c"]["weight"], again["c"]["weight"])


COLOURS = torch.tensor([[230, 40, 40], [40, 40, 230]])
TWO = Condition(attribute="kind", classes=["red", "blue"], counts=[1, 1])
TOY = TrainConfig(
    images=10_000, global_batch=16, learning_rate=0.01, weight_average=0.9, flip=False
)


class Colours:
    """A class for each colour: image number n has class n mod 2, and noise."""

    def batches(self, start: Position) -> Iterator[Batch]:
        seen = start.images
        while True:
            numbers = range(seen, seen := seen + TOY.global_batch)
            yield Batch(
                images_BCHW=torch.stack([self.image(n) for n in numbers]),
                slots=tuple(range(TOY.global_batch)),
                keys=tuple(map(str, numbers)),
                after=Position(epoch=0, images=seen),
                attributes=tuple({"kind": TWO.classes[n % 2]} for n in numbers),
            )

    @staticmethod
    def image(number: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(number)
        noise_CHW = torch.randint(-25, 26, (3, 16, 16), generator=generator)
        return (COLOURS[number % 2, :, None, None] + noise_CHW).to(torch.uint8)


def trained(session: Session, images: int) -> Session:
    layout = lay_out_batch(TOY, 1)
    for batch in Colours().batches(session.position):
        train_batch(session, batch, TOY, layout, no_reduction)
        if session.images_seen >= images:
            return session
    raise AssertionError


@pytest.fixture(scope="module", params=["dlsgan", "dedgan"])
def toy(request: pytest.FixtureRequest) -> Session:
    with torch.random.fork_rng(devices=[]):
        return trained(local_session(make_objective(request.param, condition=TWO), TOY), 800)


def test_classes_of_a_toy_are_learned(toy: Session) -> None:
    """Of generated images by label, and of unseen images by the classifier."""
    model = toy.model()
    assert model.classes == ("red", "blue")
    for number, name in enumerate(model.classes):
        mean_BC = model.sample(32, seed=0, label=name)[:, [0, 2]].mean((2, 3))
        assert (mean_BC.argmax(1) == number).float().mean() >= 0.9, name
    unseen = torch.stack([Colours.image(10_000 + n) for n in range(30)]) / 127.5 - 1
    right = ["red", "blue"] * 15
    found = model.labels_of(model.encode(unseen))
    assert sum(a == b for a, b in zip(found, right, strict=True)) >= 29


def test_labels_of_codes(toy: Session) -> None:
    model = toy.model()
    images = torch.stack([Colours.image(n) for n in range(3)]) / 127.5 - 1
    known = model.encode(images, label=["blue", "red", "blue"])
    assert model.labels_of(known) == ["blue", "red", "blue"]
    assert torch.equal(known[:, :LATENT], model.encode(images)[:, :LATENT])
    assert torch.equal(replace(model, label="blue").encode(images), model.encode(images, "blue"))
    assert not torch.equal(model.decode(known), model.decode(model.relabelled(known, "red")))
    options = OptimiseConfig(steps=3, random_starts=1, features="none")
    searched = Optimisation(replace(model, label="blue"), options)(images)
    assert searched.code_NL is not None
    assert model.labels_of(searched.code_NL) == ["blue"] * 3  # from every start
    with pytest.raises(ConfigError, match="label = 'hat': this model knows red, blue"):
        model.sample(1, seed=0, label="hat")
    with pytest.raises(DataError, match="2 labels for 3 codes"):
        model.encode(images, label=["red", "red"])
    plain = local_session(make_objective("dlsgan")).model()
    with pytest.raises(ConfigError, match="was trained without labels"):
        plain.sample(1, seed=0, label="red")
    with pytest.raises(ConfigError, match="was trained without labels"):
        InvertibleGan(codec=plain.codec, label="red")


@pytest.mark.parametrize("name", ["pvdgan", "dedgan"])
def test_a_resumed_session_is_the_uninterrupted_one(name: str) -> None:
    objective = make_objective(name, condition=TWO)
    whole = snapshot(trained(local_session(objective, TOY), 64))
    first = trained(local_session(objective, TOY), 32)
    second = trained(copy.deepcopy(first), 64)
    again = snapshot(second)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_an_export_has_classes_and_gives_their_images(toy: Session, tmp_path: Path) -> None:
    model = toy.model()
    description = Description(
        objective={"name": toy.objective.config.name, "condition": asdict(TWO)},
        network=asdict(NETWORK),
        image_resolution=16,
        image_channels=3,
        checkpoint="000000000800-00000000",
        images_seen=800,
        train={},
        data_fingerprint="none",
        versions={},
    )
    for name, payload in export_files(model, description, graph_files(model)).items():
        (tmp_path / name).write_bytes(payload)
    read = load(tmp_path, device="cpu")
    assert read.classes == model.classes
    code_BL = model.prior(range(4), 0, label="blue")
    image_BCHW = model.decode(code_BL)
    assert torch.equal(read.sample(4, 0, label="blue"), image_BCHW)
    assert torch.equal(read.encode(image_BCHW), model.encode(image_BCHW))
    graphs = {name: torch.jit.load(str(tmp_path / f"{name}.pt")) for name in (GENERATOR, ENCODER)}
    torch.testing.assert_close(graphs[GENERATOR](code_BL), image_BCHW, rtol=1e-4, atol=1e-5)
    found_BL = graphs[ENCODER](image_BCHW)
    assert torch.equal(found_BL[:, LATENT:], model.encode(image_BCHW)[:, LATENT:])


def test_an_edit_keeps_the_label(toy: Session) -> None:
    """Even along a direction in which the label's elements count."""
    model = toy.model()
    way_P = torch.ones(model.latent_size) / model.latent_size**0.5
    way_P[-1] *= -1
    space = list(model.codec.spaces)[-1]  # u where it is another than z
    boundary = Boundary(
        name="all", model=identity(model), space=space, normal_P=way_P, offset=0.0, spread=1.0
    )
    editor = Editor(model, [boundary])
    points = editor.sample(range(6), 0)
    edited = editor.edited(points, {"all": 9.0})
    to_code = model.codec.spaces[space].to_code
    assert to_code is not None
    assert model.labels_of(to_code(edited.values)) == model.labels_of(points.values)
    assert not torch.equal(editor.decode(edited), editor.decode(points))


def test_labels_of_the_prior_have_the_shares_of_the_data() -> None:
    latent = Labelled(ScaledNormal(4), ("a", "b"), (3, 1))
    share = latent.labels(0, range(2_000)).mean(0)
    assert share.tolist() == pytest.approx([0.75, 0.25], abs=0.03)
    code_BL = latent.draw(0, "prior", range(3))
    assert latent.spread({SCALE: torch.ones(4)}).shape == code_BL.shape[1:]
    assert not code_BL[:, 4:].any()  # noise on a code leaves its label as it is


def test_a_label_changes_halfway_and_is_no_part_of_the_direction() -> None:
    sphere = Hypersphere(7)
    latent = Labelled(sphere, ("a", "b"), (3, 1))
    first_BL, second_BL = (latent.prior(seed, "prior", [5, 6, 7]) for seed in range(2))
    label_BK = torch.eye(2)[[0, 0, 0]]
    first_BL = latent.with_label(first_BL, label_BK)
    second_BL = latent.with_label(second_BL, label_BK.flip(1))
    for share in (0.0, 0.49, 0.51, 1.0):
        share_B = torch.full((3,), share)
        way_BL = latent.interpolate(first_BL, second_BL, share_B)
        assert latent.label_of(way_BL)[:, 1].tolist() == [float(share > 0.5)] * 3
        inner_BL = sphere.interpolate(first_BL[:, :7], second_BL[:, :7], share_B)
        assert torch.equal(way_BL[:, :7], inner_BL)


@pytest.mark.parametrize(
    ("value", "name"),
    [(3, "3"), (3.0, "3"), (0.5, "0.5"), ("a b", "a b"), (True, "true"), (-1, "-1")],
)
def test_names_of_classes(value: object, name: str) -> None:
    assert class_name({"kind": value}, "kind", "0001") == name


def test_labels_that_cannot_be_used() -> None:
    without: list[dict[str, Any]] = [{}, {"kind": None}, {"kind": []}, {"other": 1}]
    for attributes in without:
        with pytest.raises(DataError, match="'kind': the sample '0001' has no such attribute"):
            class_name(attributes, "kind", "0001")
    batch = replace(next(Colours().batches(Position(epoch=0, images=0))), attributes=None)
    with pytest.raises(DataError, match="the sample '0' has no such attribute"):
        labels_in(LABELS, batch)
    strange = replace(batch, attributes=({"kind": "hat"},) * len(batch.keys))
    with pytest.raises(DataError, match="'0' is of the class 'hat', but the run knows bag"):
        labels_in(LABELS, strange)
    with pytest.raises(ConfigError, match="at least 2 different classes"):
        Condition(attribute="kind", classes=["bag"], counts=[3])
