"""Damaged exports are refused with a reason: by their hash, and without one by their content."""

import hashlib
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import ganinv
from cluster.storage.opening import open_store
from ganinv.errors import ConfigError, GanInvError, StorageError
from ganinv.saved.exports import DESCRIPTION_NAME, MODEL_NAME, Description, digest, export_files
from ganinv.saved.loading import load_run
from ganinv.saved.networks import check_finite
from tests.support.commands import ROOT

OLD = ROOT / "tests" / "fixtures" / "version_0.1"
EXPORT = OLD / "pvdgan-export.safetensors"  # without a hash

Tensors = dict[str, Tensor]
Told = dict[str, Any]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    run = load_run(open_store(str(OLD / "pvdgan")))
    return export_files(run.model, Description.of(run.manifest), {"generator.pt": b"graph"})


def test_no_flipped_bit_is_loaded(files: dict[str, bytes], tmp_path: Path) -> None:
    """Or none of the model: the name of the hash is the only text that no hash covers."""
    path, payload = tmp_path / "a.safetensors", files[MODEL_NAME]
    path.write_bytes(payload)
    expected = ganinv.load(path, device="cpu").sample(1, seed=0)
    (header,) = struct.unpack_from("<Q", payload)
    numbers = random.Random(0)
    places = [numbers.randrange(8 + header) for _ in range(40)]
    places += [numbers.randrange(8 + header, len(payload)) for _ in range(20)]
    for place in (*range(0, 64, 9), *places):
        bits = bytearray(payload)
        bits[place] ^= 1 << numbers.randrange(8)
        path.write_bytes(bits)
        try:
            found = ganinv.load(path, device="cpu").sample(1, seed=0)
        except GanInvError:
            continue
        assert torch.equal(found, expected)


def test_a_flipped_bit_is_called_by_its_name(files: dict[str, bytes], tmp_path: Path) -> None:
    path, bits = tmp_path / "a.safetensors", bytearray(files[MODEL_NAME])
    bits[-1] ^= 1
    path.write_bytes(bits)
    with pytest.raises(StorageError, match=r"a\.safetensors is not what was written \(SHA-256"):
        ganinv.load(path)


def test_the_hash_covers_description_names_types_shapes_and_numbers() -> None:
    zeros = torch.zeros(2, 3)
    found = {
        digest("a", {"x": zeros}),
        digest("b", {"x": zeros}),
        digest("a", {"y": zeros}),
        digest("a", {"x": zeros.int()}),
        digest("a", {"x": zeros.T.contiguous()}),
        digest("a", {"x": zeros + 1}),
        digest("a", {"x": torch.zeros(())}),
    }
    assert len(found) == 7
    assert digest("a", {"x": zeros, "y": zeros + 1}) == digest("a", {"y": zeros + 1, "x": zeros})


def test_model_json_has_the_hash_of_every_file(files: dict[str, bytes]) -> None:
    told = json.loads(files[DESCRIPTION_NAME])["files"]
    assert told.keys() == {MODEL_NAME, "generator.pt"}
    assert told["generator.pt"]["size_bytes"] == len(b"graph")
    assert told["generator.pt"]["sha256"] == hashlib.sha256(b"graph").hexdigest()


def put(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Tensors, Told], Any]:
    return lambda tensors, _: tensors.update({name: change(tensors[name])})


def doubled(tensors: Tensors, told: Told) -> None:
    del told
    tensors.update({name: tensor.double() for name, tensor in tensors.items()})


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (put("scale_L", lambda s: s * float("nan")), StorageError, "scale_L holds NaN or infinite"),
        (put("scale_L", lambda s: s[:1]), StorageError, "scale_L is float32, 1, .* float32, 6"),
        (put("scale_L", lambda s: s[:, None]), StorageError, "scale_L is float32, 6 × 1, "),
        (put("scale_L", lambda s: s[0]), StorageError, "scale_L is float32, a single number"),
        (put("scale_L", lambda s: s.half()), StorageError, "scale_L is float16, 6, "),
        (lambda t, _: t.pop("scale_L"), StorageError, "lacks the tensor scale_L"),
        (put("g/stem.bias", lambda b: b / 0), StorageError, r"network g: the tensor stem\.bias"),
        (put("g/stem.bias", lambda b: b[:1]), StorageError, r"g/stem\.bias is float32, 1, but"),
        (doubled, StorageError, r"the tensor g/stem\.weight is float64, .* must be float32"),
        (lambda t, _: t.pop("d/latent.bias"), StorageError, r"d/latent\.bias is missing"),
        (
            lambda t, _: t.update({"g/new": torch.zeros(1)}),
            StorageError,
            "no network has the tensor g/new",
        ),
        (lambda _, d: d.update(image_resolution=2**40), StorageError, "do not fit the networks"),
        (lambda _, d: d["network"].update(latent_size=2**62), StorageError, "no network can be"),
        (lambda _, d: d["network"].update(latent_size=10**9), StorageError, "do not fit the net"),
        (lambda _, d: d.update(image_channels=-1), StorageError, "no network can be built"),
        (lambda _, d: d.update(image_channels="3"), ConfigError, "image_channels = '3'"),
        (lambda _, d: d.update(image_channels=0), StorageError, "do not fit|no network"),
        (lambda _, d: d.update(network=3), ConfigError, "network = 3"),
        (lambda _, d: d.update(objective=None), ConfigError, "objective = None"),
        (lambda _, d: d.update(format="1"), StorageError, "has format '1', but this program"),
        (lambda _, d: d.pop("format"), StorageError, "not an exported model"),
    ],
)
def test_content_that_is_no_model_is_refused(
    tmp_path: Path,
    change: Callable[[Tensors, Told], object],
    kind: type[GanInvError],
    message: str,
) -> None:
    tensors = safetensors.torch.load_file(EXPORT)
    with safetensors.safe_open(EXPORT, "pt") as file:
        told = json.loads(file.metadata()["ganinv"])
    change(tensors, told)
    path = tmp_path / "a.safetensors"
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(contiguous, path, metadata={"ganinv": json.dumps(told)})
    with pytest.raises(kind, match=message):
        ganinv.load(path)


@pytest.mark.parametrize("text", ["[]", "[1]", "3", '"text"', "null", "{", "", "true", "1e5"])
def test_a_description_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.safetensors"
    tensors = safetensors.torch.load_file(EXPORT)
    safetensors.torch.save_file(tensors, path, metadata={"ganinv": text})
    with pytest.raises(StorageError, match="not an exported model of ganinv"):
        ganinv.load(path)


def test_tensors_of_a_run_are_checked_too() -> None:
    """Checkpoints have hashes, but training may have written what no model can use."""
    with pytest.raises(StorageError, match="a run, network g: the tensor x holds NaN"):
        check_finite({"x": torch.tensor([1.0, float("nan")])}, "a run, network g")
