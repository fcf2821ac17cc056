"""ONNX graphs in onnxruntime give what the model gives.

A graph takes the exporter some seconds, so all tests that export belong to the slower part.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from ganinv import objectives
from ganinv.codec import Codec
from ganinv.errors import ConfigError
from ganinv.latents.scaled_normal import SCALE
from ganinv.model import InvertibleGan
from ganinv.objectives.base import Objective
from ganinv.objectives.traced import EncoderInDiscriminator
from ganinv.saved.exports import Description
from ganinv.saved.onnx_graphs import GRAPH_NAMES, OPSET, check_packages, onnx_files
from tests.support.codecs import codec_of
from tests.support.families import LATENT_SIZE, build, families
from tests.support.runs import make_objective
from tests.support.steps import networks_of

DESCRIPTION = Description(
    objective={"name": "some"},
    network={"name": "some"},
    image_resolution="8x6",
    image_channels=2,
    checkpoint="000000000016-00000000",
    images_seen=16,
    train={},
    data_fingerprint="none",
    versions={},
)
EXACT = 1e-4  # images lie in [−1, 1]


def runs(files: Mapping[str, bytes]) -> dict[str, onnxruntime.InferenceSession]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    return {
        name: onnxruntime.InferenceSession(payload, options, providers)
        for name, payload in files.items()
    }


def call(session: onnxruntime.InferenceSession, argument: Tensor) -> Tensor:
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()
    (found,) = session.run([wanted.name], {given.name: argument.numpy()})
    assert found.dtype == np.float32
    return torch.from_numpy(found)


def assert_graphs_equal(files: Mapping[str, bytes], model: InvertibleGan, whose: str = "") -> None:
    sessions = runs(files)
    for samples in (1, 3):
        code_BL = 2 * model.prior(range(samples), seed=3)
        image_BCHW = model.decode(code_BL)
        expected = {"generator.onnx": (code_BL, image_BCHW)}
        if model.encodes:
            expected["encoder.onnx"] = (image_BCHW, model.encode(image_BCHW))
            expected["autoencoder.onnx"] = (image_BCHW, model.reconstruct(image_BCHW))
        assert sessions.keys() == expected.keys()
        for name, (argument, answer) in expected.items():
            torch.testing.assert_close(
                call(sessions[name], argument),
                answer,
                rtol=0,
                atol=EXACT,
                msg=lambda text, name=name: f"{whose} {name}: {text}",
            )


def ends(files: Mapping[str, bytes]) -> dict[str, tuple[Any, Any]]:
    """Name and shape of each graph's input and output."""
    found = {}
    for name, session in runs(files).items():
        (given,), (wanted,) = session.get_inputs(), session.get_outputs()
        found[name] = ((given.name, given.shape), (wanted.name, wanted.shape))
    return found


def integrated(name: str, channels: int = 2, **options: Any) -> InvertibleGan:
    built = build(name, resolution="8x6", channels=channels, feature_block=-1, **options)
    return InvertibleGan(codec=codec_of(built, torch.linspace(0.2, 3.0, LATENT_SIZE)))


@pytest.mark.integration
@families
def test_graphs_of_every_family_give_the_same(name: str) -> None:
    model = integrated(name)
    files = onnx_files(model, DESCRIPTION)
    assert_graphs_equal(files, model)
    images, codes = ["batch", 2, 6, 8], ["batch", LATENT_SIZE]
    assert ends(files) == {
        "generator.onnx": (("codes", codes), ("images", images)),
        "encoder.onnx": (("images", images), ("codes", codes)),
        "autoencoder.onnx": (("images", images), ("reconstructions", images)),
    }
    assert tuple(files) == GRAPH_NAMES
    for payload in files.values():
        graph = onnx.load_from_string(payload)
        assert [(each.domain, each.version) for each in graph.opset_import] == [("", OPSET)]
        assert not graph.functions
        told = {each.key: each.value for each in graph.metadata_props}
        assert json.loads(told["ganinv"]) == json.loads(json.dumps(DESCRIPTION.plain()))
        assert told["opset"] == str(OPSET)
        assert len(json.loads(told["scale"])) == LATENT_SIZE
        assert b".py" not in payload  # no file names of this host


def model_of(objective: Objective) -> InvertibleGan:
    """A method's model at its first weights."""
    built = networks_of(objective)
    exported = {
        name: built[name].eval().requires_grad_(False)
        for name, role in objective.roles.items()
        if role.exported
    }
    tensors = {SCALE: torch.linspace(0.2, 3.0, LATENT_SIZE)}  # of the methods that have a scale
    return InvertibleGan(codec=objective.codec(exported, tensors))


@pytest.mark.integration
def test_graphs_of_every_kind_of_codec_give_the_same() -> None:
    """Methods that share a codec share their graphs; that of the families' test is not repeated."""
    seen: set[type[Codec]] = {EncoderInDiscriminator}
    for name in objectives.names():
        model = model_of(make_objective(name))
        if type(model.codec) not in seen:
            seen.add(type(model.codec))
            assert_graphs_equal(onnx_files(model, DESCRIPTION), model, name)
    assert len(seen) > 2


@pytest.mark.integration
def test_half_weights_are_those_of_a_half_export() -> None:
    """The same function as that of rounded weights, from about half the bytes."""
    model = integrated("conv", channels=4, width=64, max_width=64)
    whole, half = (onnx_files(model, DESCRIPTION, half=half) for half in (False, True))
    for network in model.codec.networks.values():
        network.load_state_dict({at: w.half().float() for at, w in network.state_dict().items()})
    assert_graphs_equal(half, model)
    assert ends(half) == ends(whole)
    assert len(half["autoencoder.onnx"]) < 0.7 * len(whole["autoencoder.onnx"])


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"'onnxscript' is not installed; type pip install onnx "):
        check_packages()
