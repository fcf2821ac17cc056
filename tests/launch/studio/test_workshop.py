"""What the studio computes: pictures, refinements, files that give the same picture again."""

import io
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganinv.errors import ConfigError, DataError
from ganinv.inversion.optimise import RefineConfig
from ganinv.model import InvertibleGan
from ganinv.pictures import to_bytes
from launch.studio.session import State
from launch.studio.workshop import StoppedError, Workshop
from tests.support.codecs import codec_of, codec_without_encoder
from tests.support.families import LATENT_SIZE, build

# By the squared error alone, so that the PSNR must rise.
QUICK = RefineConfig(steps=5, features="none", prior_weight=0.0)
MODEL = InvertibleGan(codec=codec_of(build("conv"), torch.linspace(1.5, 0.1, LATENT_SIZE)))


def workshop(model: InvertibleGan = MODEL) -> Workshop:
    return Workshop(model, [], elements=2, principal=1, refine=QUICK)


SHOP = workshop()
PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
SOURCE = SHOP.photograph(PHOTOGRAPH, "me.png")
SAMPLE = SHOP.sample(7)


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_without_edits_the_picture_is_the_models_reconstruction() -> None:
    (image_CHW,) = to_bytes(MODEL.reconstruct(Image.fromarray(PHOTOGRAPH)))
    shown_HWC = pixels(SHOP.show(State(first=SOURCE)).png)
    assert np.array_equal(shown_HWC, image_CHW.permute(1, 2, 0))


def test_an_edit_moves_the_code_by_its_strength_and_nothing_else() -> None:
    before = SHOP.show(State(first=SOURCE))
    after = SHOP.show(State(first=SOURCE).with_strength("element 0", 2.0))
    assert after.png != before.png
    moved = {n: after.distances[n] - before.distances[n] for n in SHOP.groups[0].names}
    assert moved == pytest.approx({"element 0": 2.0, "element 1": 0.0}, abs=1e-4)


def test_the_ends_of_the_way_to_a_second_picture_are_the_pictures() -> None:
    both = State(first=SOURCE, second=SAMPLE)
    ends = [SHOP.show(replace(both, share=share)).png for share in (0.0, 1.0)]
    assert ends == [SHOP.show(State(first=one)).png for one in (SOURCE, SAMPLE)]
    assert SHOP.show(replace(both, share=0.5)).png not in ends


def test_settings_give_the_same_picture_again() -> None:
    refined = SHOP.refine(SOURCE, lambda _: None, threading.Event())
    mixed = State(first=refined, second=SAMPLE, share=0.3)
    for state in (State(first=SOURCE), State(first=refined), mixed):
        edited = state.with_strength("principal 1", 1.5).with_strength("element 1", -0.5)
        opened = SHOP.opened(SHOP.settings(edited).encode(), "settings.json")
        assert SHOP.show(opened).png == SHOP.show(edited).png


def test_the_file_of_codes_gives_the_same_picture_again() -> None:
    state = State(first=SOURCE).with_strength("element 0", 1.0)
    with np.load(io.BytesIO(SHOP.codes(state))) as found:
        assert found["names"].tolist() == ["me.png"]
        again_1CHW = MODEL.decode(found["codes"])
    shown_HWC = to_bytes(again_1CHW)[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(shown_HWC - pixels(SHOP.show(state).png)).max() <= 1  # rounding of z ∘ s ∘ 1/s


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"\x89PNG", "are not JSON"),
        (b"[" * 100_000, "settings|nested"),
        (b'{"ganinv-edit": 1}', "settings"),
        (b'{"ganinv-edit": 9}', "format 9"),
    ],
)
def test_other_files_are_refused_as_settings(text: bytes, says: str) -> None:
    with pytest.raises((DataError, ConfigError), match=says):
        SHOP.opened(text, "a.json")


def test_settings_of_another_model_are_refused() -> None:
    fields = json.loads(SHOP.settings(State(first=SOURCE)))
    fields["model"] = "0" * 64
    with pytest.raises(DataError, match="belong to the model 0000"):
        SHOP.opened(json.dumps(fields).encode(), "a.json")


def test_a_refinement_comes_nearer_to_the_photograph_and_tells_how_far_it_is() -> None:
    told = list[float]()
    refined = SHOP.refine(SOURCE, told.append, threading.Event())
    assert refined.refined
    before, after = SHOP.psnr_db(SOURCE), SHOP.psnr_db(refined)
    assert before is not None
    assert after is not None
    assert after > before
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_a_refinement_stops_where_it_is_told_to() -> None:
    stop, told = threading.Event(), list[float]()

    def progress(share: float) -> None:
        told.append(share)
        stop.set()

    with pytest.raises(StoppedError):
        SHOP.refine(SOURCE, progress, stop)
    assert len(told) == 1


def test_a_model_without_encoder_makes_samples_and_refuses_photographs() -> None:
    shop = workshop(InvertibleGan(codec=codec_without_encoder(build("conv")["g"], LATENT_SIZE)))
    assert shop.show(State(first=shop.sample(0))).png
    with pytest.raises(ConfigError, match="has no encoder"):
        shop.photograph(PHOTOGRAPH, "me.png")


def test_photographs_become_input_as_the_models_data_did_or_as_told() -> None:
    whole = Workshop(
        replace(MODEL, alignment="pad"), [], elements=1, principal=0, refine=QUICK
    ).photograph(PHOTOGRAPH, "me.png")
    told = Workshop(MODEL, [], elements=1, principal=0, refine=QUICK, alignment="pad").photograph(
        PHOTOGRAPH, "me.png"
    )
    assert whole.photo_1CHW is not None
    assert told.photo_1CHW is not None
    assert torch.equal(whole.photo_1CHW, told.photo_1CHW)
    assert (whole.photo_1CHW[..., 0, :] == -1).all()  # black above a photograph that is wide


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_impossible_seeds_are_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed"):
        SHOP.sample(seed)
