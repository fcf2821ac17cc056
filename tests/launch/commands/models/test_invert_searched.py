"""The verb `invert` where codes are searched and generators tuned."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganinv
from datasets.sources.photographs import Photographs
from ganinv.inversion.optimise import OptimiseConfig
from ganinv.metrics.psnr import psnr_db
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes, to_images
from ganinv.sizes import Size
from launch.evaluation import inversion
from launch.inversion.stages import Stages
from launch.progress import console
from tests.support.codecs import codec_without_encoder
from tests.support.families import LATENT_SIZE, build
from tests.support.inverted import NAMES, assert_refused, go, pixels, rows


def test_codes_are_searched_and_the_generator_is_tuned(
    run: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files agree with each other and with the model; the run itself does not change."""
    target = tmp_path / "out"
    before = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    words = ["--refine", "refine.steps=3", "refine.patience=2", "tune=2", "tune.learning_rate=1e-3"]
    found = go(capsys, run, str(images), f"invert.to={target}", *words)
    assert list(found["stages"]) == ["encoder", "searched", "tuned"]
    figures = json.loads((target / "inversion.json").read_text())
    assert figures["stages"] == found["stages"]
    assert figures["options"]["refine"]["steps"] == 3
    model, each = ganinv.load(run, device="cpu"), {e["image"]: e for e in figures["each"]}
    with np.load(target / "codes.npz") as codes:
        assert str(codes["space"]) == "u"
        decode = model.codec.spaces["u"].decode
        image_BCHW = decode(torch.from_numpy(codes["points"])).detach().clamp(-1, 1)
        torch.testing.assert_close(model.decode(codes["codes"]), image_BCHW, rtol=1e-4, atol=1e-4)
        order = codes["names"].tolist()
    for row in rows(target):
        with Image.open(images / row["image"]) as image:
            real = to_images(image, channels=3, size=Size(16, 16))
        i, own = order.index(row["image"]), each[row["image"]]
        searched_db = float(psnr_db(real, image_BCHW[i : i + 1]))
        assert own["searched"]["psnr_db"] == pytest.approx(searched_db, abs=1e-3)
        encoder_db = float(psnr_db(real, model.reconstruct(real)))
        assert own["encoder"]["psnr_db"] == pytest.approx(encoder_db, abs=1e-3)
        assert float(row["encoder_psnr_db"]) == pytest.approx(encoder_db, abs=1e-3)
        tuned = ganinv.load(run, device="cpu", delta=target / row["delta"])
        point = torch.from_numpy(np.load(target / "codes.npz")["points"][i : i + 1])
        decoded = tuned.codec.spaces["u"].decode(point).detach().clamp(-1, 1)
        saved = pixels(target / row["reconstruction"])
        assert (saved.int() - to_bytes(decoded)[0].int()).abs().max() <= 1
        assert float(row["psnr_db"]) == pytest.approx(float(psnr_db(real, decoded)), abs=1e-3)
    page = (target / "inversion.html").read_text()
    assert page.count("<li>") == len(NAMES)
    assert "http" not in re.sub('http://www.w3.org/[^"]*', "", page)  # nothing from elsewhere
    with Image.open(target / "strip.png") as strip:
        assert strip.size == (len(NAMES) * 68 - 4, 4 * 68 - 4)
    assert "<svg" in (target / "curves.svg").read_text()
    again = [f"storage.run={run}", f"invert.images={images}", f"invert.to={target}"]
    go(capsys, *again, "invert.overwrite=true")  # by the encoder alone
    assert sorted(path.name for path in target.iterdir()) == [
        "codes.npz",
        "psnr.csv",
        "reconstructions",
    ]
    assert not list(target.rglob("*.safetensors"))
    assert {path: path.read_bytes() for path in before} == before


def test_a_model_without_an_encoder_is_inverted_by_optimisation_alone(
    images: Path, tmp_path: Path
) -> None:
    generator = build("conv")["g"].requires_grad_(False)
    model = InvertibleGan(codec=codec_without_encoder(generator, LATENT_SIZE))
    config = OptimiseConfig(steps=2, starts=["mean"], features="none")
    photographs = Photographs(
        folder=images,
        names=NAMES,
        size=Size(16, 16),
        max_unreadable=0,
        max_pixels=999,
        options="here",
    )
    improve = Stages(model, config, None, section="optimise", origin="here")
    target = tmp_path / "out"
    summary = inversion.invert(
        model, photographs, target, codes="npz", screen=console(True), improve=improve
    )
    assert list(improve.record.plain()["stages"]) == ["searched"]
    with np.load(target / "codes.npz") as codes:
        assert codes["codes"].shape == codes["points"].shape == (len(NAMES), LATENT_SIZE)
    assert summary.images == len(rows(target)) == len(NAMES)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--refine", "optimise=true"], "give one of them"),
        (["--optimise", "optimise.space=y"], "optimise.space = 'y': this model has z, u"),
        (["optimise.starts=[nowhere]"], "choose among encoder, mean, random"),
        (["refine.steps=0"], "steps = 0: must be at least 1"),
        (["refine.feature_file=/none"], "refine.feature_file = /none: not a TorchScript file"),
    ],
)
def test_impossible_searches_are_refused_before_anything_is_written(
    run: str, images: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    assert_refused(run, images, tmp_path / "out", words, message)
