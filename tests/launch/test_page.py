"""The result page is self-contained, deterministic, safe, and says everything in words too."""

import base64
import dataclasses
import io
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from launch.page import Headline, Page, Traversal, render

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)> & {{ 7*7 }} $\\frac"

Images = npt.NDArray[np.uint8]


def faces(features_NF: npt.NDArray[np.float64], px: int = 32) -> Images:
    """Drawings of heads, N × px × px × 3, that vary smoothly with ten features in [-1, 1]."""
    f = features_NF[:, :, None, None]
    y, x = np.mgrid[0:px, 0:px] * (2 / (px - 1)) - 1
    x, y = x[None] - 0.15 * f[:, 8], y[None] - 0.1 * f[:, 9]

    def colour(*channels: Any) -> npt.NDArray[np.float64]:
        return np.stack(np.broadcast_arrays(*channels), axis=-1)

    def paint(under: Any, mask: Any, over: Any) -> npt.NDArray[np.float64]:
        soft = np.clip(mask * px / 2 + 0.5, 0, 1)[..., None]
        return np.asarray(under * (1 - soft) + over * soft)

    hue = 3 * f[:, 0]
    image = colour(*(0.72 + 0.22 * np.cos(hue + shift) + 0 * x for shift in (0.0, 2.1, 4.2)))
    skin = colour(0.8 + 0.17 * f[:, 1], 0.62 + 0.2 * f[:, 1], 0.5 + 0.22 * f[:, 1])
    hair = colour(0.35 + 0.3 * f[:, 2], 0.24 + 0.16 * f[:, 2], 0.2 - 0.12 * f[:, 2])
    shirt = colour(0.45 + 0.4 * f[:, 3], 0.45 - 0.3 * f[:, 4], 0.55 + 0.35 * f[:, 4])
    image = paint(image, 0.75 - np.hypot(x * 0.9, y - 1.25), shirt)
    image = paint(image, 0.66 + 0.1 * f[:, 5] - np.hypot(x, (y + 0.2) * 0.95), hair)
    image = paint(image, 0.5 - np.hypot(x, (y - 0.03) * 0.85), skin)
    for side in (-0.2, 0.2):
        image = paint(image, 0.075 + 0.03 * f[:, 6] - np.hypot(x - side, y + 0.05), np.array(0.1))
    smile = (
        0.045
        - np.abs(y - 0.28 - 0.9 * f[:, 7] * (0.03 - x**2))
        - 4 * np.maximum(np.abs(x) - 0.18, 0)
    )
    image = paint(image, smile, np.array([0.7, 0.2, 0.25]))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def rows_of_training(count: int = 400) -> list[dict[str, float]]:
    """Noisy curves as a run of 120 thousand images leaves them; every 40th row is evaluated."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(1, count + 1):
        t = i / count
        row = {
            "images_seen": float(i * 300),
            "wall_time": 1.7e9 + i,
            "loss/d": 0.85 + 0.5 * math.exp(-8 * t) + 0.1 * rng.normal(),
            "loss/g": 1.5 - 0.7 * math.exp(-5 * t) + 0.18 * rng.normal(),
            "loss/enc": 0.18 + 0.8 * math.exp(-6 * t) + 0.012 * rng.normal(),
            "loss/rec": 0.3 + 0.4 * math.exp(-3 * t) + 0.03 * rng.normal(),
            "loss/r1": abs(0.02 + 0.015 * t + 0.02 * rng.standard_cauchy() * 0.1),
            "latent/entropy_nats": 180 - 60 * (1 - math.exp(-4 * t)) + 0.3 * rng.normal(),
            "latent/active": float(round(128 - 70 * (1 - math.exp(-5 * t)))),
            "d/real": 0.7 * (1 - math.exp(-9 * t)) + 0.12 * rng.normal(),
            "d/fake": -0.7 * (1 - math.exp(-9 * t)) + 0.12 * rng.normal(),
            "throughput/images_per_second": 212 + 6 * rng.normal() - 120 * (i % 100 == 0),
        }
        if i % 40 == 0:
            row["eval/psnr_db_test"] = 20.5 - 9 * math.exp(-4 * t) + 0.1 * rng.normal()
            row["eval/psnr_db_generated"] = 26 - 12 * math.exp(-5 * t) + 0.1 * rng.normal()
        rows.append(row)
    return rows


def synthetic_page(samples: int = 64, rows: int = 400) -> Page:
    rng = np.random.default_rng(0)
    held_out, ends = rng.uniform(-1, 1, (16, 10)), rng.uniform(-1, 1, (4, 2, 10))
    shrunk = 0.75 * ends
    way = np.linspace(0, 1, 9)[None, :, None]
    steps = shrunk[:, :1] * (1 - way) + shrunk[:, 1:] * way
    values = np.linspace(-2, 2, 9)
    variance = 1 / (1 + np.exp((np.arange(128) - 52) / 6)) * rng.uniform(0.9, 1.02, 128) + 1e-4
    scale = np.sqrt(128) * np.sqrt(variance) / np.linalg.norm(np.sqrt(variance))
    traversals = []
    for feature, element in enumerate((17, 3, 101)):
        codes = np.repeat(held_out[:1], len(values), axis=0)
        codes[:, feature] = values / 2
        traversal = Traversal(
            images=faces(codes),
            values=tuple(float(v) for v in values),
            element=element,
            scale=float(scale[feature]),
            variance=float(variance[feature]),
        )
        traversals.append(traversal)
    return Page(
        title="PVDGAN on avatars, 32 pixels",
        run_url="s3://experiments/avatars-32/pvdgan-seed-1",
        facts={
            "Objective": "pvdgan",
            "Data set": "avatars, 60,000 images for training and 2,000 held out",
            "Resolution": "32 × 32 pixels, RGB",
            "Images seen": "120,000",
            "Workers": "2 on CPU, global batch 32",
            "Speed": "212 images per second",
            "Training time": "9 min 26 s",
            "Parameters": "1.9 million (generator), 2.1 million (discriminator with encoder)",
            "Versions": "ganinv 0.1.0, torch 2.9.0, deepspeed 0.18.1, ray 2.51.1",
        },
        headlines=(
            Headline(
                label="PSNR on held-out images",
                value="19.3",
                unit="dB",
                meaning="Likeness of images after encoding and decoding; higher is closer.",
            ),
            Headline(
                label="Error of the code, L_enc",
                value="0.184",
                meaning="0 if codes are read back perfectly, 1 if not at all.",
            ),
            Headline(
                label="Latent entropy",
                value="121",
                unit="nats",
                meaning="How much a code can say about its image.",
            ),
            Headline(
                label="Active elements",
                value="58",
                unit="of 128",
                meaning="Elements of the code that images really use.",
            ),
        ),
        samples=faces(rng.uniform(-1, 1, (samples, 10))),
        held_out=faces(held_out),
        reconstructions=faces(0.75 * held_out),
        reconstruction_psnr_db=rng.normal(19.3, 1.5, 16),
        interpolations=np.stack([faces(codes) for codes in steps]),
        interpolation_ends=np.stack([faces(codes) for codes in ends]),
        traversals=tuple(traversals),
        curves=rows_of_training(rows),
        variance_fake=variance,
        variance_real=variance * rng.uniform(0.7, 1.1, 128),
        config_yaml="objective:\n  name: pvdgan\n  lambda_enc: 1.0\n  lambda_r1: 5.0\ntrain:\n"
        "  images: 120000\n  global_batch: 32\n  seed: 1\n",
    )


class Document(HTMLParser):
    """What a test wants to know of a page: elements, their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self._in_style = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data
        else:
            self.text += data

    def attributes(self, *names: str) -> list[str]:
        return [a[name] or "" for _, a in self.elements for name in names if name in a]

    def count(self, tag: str) -> int:
        return sum(element == tag for element, _ in self.elements)

    def images(self) -> list[Images]:
        prefix = "data:image/png;base64,"
        files = [a["src"] or "" for tag, a in self.elements if tag == "img"]
        assert all(file.startswith(prefix) for file in files)
        data = [base64.b64decode(file.removeprefix(prefix)) for file in files]
        return [np.asarray(Image.open(io.BytesIO(png))) for png in data]


@pytest.fixture(scope="module")
def page() -> Page:
    return synthetic_page()


@pytest.fixture(scope="module")
def html(page: Page) -> str:
    return render(page)


def bare_page(page: Page, **changes: Any) -> Page:
    """`page` without anything that may be missing: quick to render."""
    nothing = dict.fromkeys(
        ("samples", "held_out", "reconstructions"), np.zeros((0, 4, 4, 3), "u1")
    )
    nothing |= dict.fromkeys(
        ("interpolations", "interpolation_ends"), np.zeros((0, 2, 4, 4, 3), "u1")
    )
    values: dict[str, Any] = {"reconstruction_psnr_db": None, "traversals": (), "curves": []}
    values |= {"variance_fake": np.zeros(0), "variance_real": None, "headlines": (), "facts": {}}
    return dataclasses.replace(page, **{**nothing, **values, **changes})


def test_page_needs_nothing_but_itself(html: str) -> None:
    document = Document(html)
    links = document.attributes("src", "href", "xlink:href", "srcset", "data", "action")
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert not document.count("script")
    assert not document.count("link")
    assert not re.search(r"url\((?!#)|@import", html)
    assert len(html.encode()) < 1_500_000


def test_images_are_shown_pixel_for_pixel(page: Page, html: str) -> None:
    pairs = np.stack([page.held_out, page.reconstructions], axis=1).reshape(-1, 32, 32, 3)
    ends = page.interpolation_ends
    rows = np.concatenate([ends[:, :1], page.interpolations, ends[:, 1:]], axis=1)
    traversals = [t.images for t in page.traversals]
    expected = np.concatenate([page.samples, pairs, rows.reshape(-1, 32, 32, 3), *traversals])
    np.testing.assert_array_equal(np.stack(Document(html).images()), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_colour_and_transparent_images(page: Page, channels: int) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (3, 6, 4, channels), dtype=np.uint8)
    document = Document(render(bare_page(page, samples=samples)))
    shown = np.stack(document.images()).reshape(samples.shape)
    np.testing.assert_array_equal(shown, samples)
    assert document.attributes("width") == ["128"] * 3
    assert document.attributes("height") == ["192"] * 3


def test_images_larger_than_their_place_are_not_pixelated(page: Page) -> None:
    samples = np.zeros((1, 256, 256, 3), dtype=np.uint8)
    document = Document(render(bare_page(page, samples=samples)))
    assert document.attributes("width") == ["128"]
    assert "pixels" not in document.attributes("class")


def test_equal_pages_give_equal_files(html: str) -> None:
    assert render(synthetic_page()) == html


def test_hostile_words_stay_words(page: Page) -> None:
    hostile = bare_page(
        page,
        title=HOSTILE,
        run_url=HOSTILE,
        facts={HOSTILE: HOSTILE},
        headlines=(Headline(label=HOSTILE, value=HOSTILE, unit=HOSTILE, meaning=HOSTILE),),
        config_yaml=HOSTILE,
        curves=[{"images_seen": 1.0, f"loss/{HOSTILE}": 1.0}],
    )
    document = Document(render(hostile))
    assert document.text.count(HOSTILE) == 11  # the title and the unknown loss stand there twice
    assert not document.count("script")
    assert not document.count("img")
    assert not document.attributes("onerror")


def test_everything_is_said_in_words_too(html: str) -> None:
    document = Document(html)
    alts = document.attributes("alt")
    assert len(alts) == document.count("img") == 64 + 2 * 16 + 4 * 11 + 3 * 9
    assert all(alts)
    assert len(set(alts)) == len(alts)
    assert document.count("figure") == document.count("figcaption") == 3 + 3 + 9 + 2
    drawings = [a["aria-label"] for _, a in document.elements if a.get("role") == "img"]
    assert len(drawings) == document.count("svg") == 9 + 2
    assert all(drawings)
    assert "discriminator from 1.31 to 0.826; generator from 0.861" in str(drawings[0])
    assert document.elements[0] == ("html", {"lang": "en"})
    headings = [int(tag[1]) for tag, _ in document.elements if re.fullmatch(r"h\d", tag)]
    assert headings.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(headings))


def test_ids_are_unique_and_links_arrive(html: str) -> None:
    document = Document(html)
    ids = document.attributes("id")
    assert len(set(ids)) == len(ids)
    used = document.attributes("href", "xlink:href", "aria-labelledby")
    used += re.findall(r"url\((#[^)]*)\)", html)
    assert {name.removeprefix("#") for name in used} <= set(ids)


def test_charts_take_their_colours_from_the_page(html: str) -> None:
    document = Document(html)
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    assert used <= set(re.findall(r"(--[a-z0-9-]+):", html))
    assert not re.search(r"#[0-9a-f]{6}", html.replace(document.style, ""))


def test_parts_without_data_are_left_out(page: Page) -> None:
    document = Document(render(bare_page(page)))
    assert "No curves yet" in document.text
    assert document.attributes("href") == ["#training", "#run"]
    assert not document.count("figure")


@pytest.mark.parametrize(
    "rows",
    [
        [{"images_seen": 64.0, "loss/d": 0.7, "latent/active": 5.0}],
        [{"images_seen": 0.0, "loss/d": 0.7, "latent/active": 5.0}],
        [
            {"images_seen": 64.0, "loss/d": 0.7, "loss/g": math.nan, "latent/active": 5.0},
            {"images_seen": 128.0, "loss/d": math.inf, "loss/g": math.nan},
            {"loss/d": 3.0, "d/fake": 1.0},
        ],
    ],
    ids=["one row", "at the start", "not finite"],
)
def test_curves_show_what_there_is(page: Page, rows: list[dict[str, float]]) -> None:
    document = Document(render(bare_page(page, curves=rows)))
    assert document.count("svg") == 2
    assert "discriminator 0.7" in document.text
    assert "generator" not in document.text
    assert "nan" not in " ".join(document.attributes("d", "x", "y", "aria-label"))


def test_psnr_that_is_unknown_or_perfect(page: Page) -> None:
    images = page.held_out[:3]
    shown = {"held_out": images, "reconstructions": images}
    psnr_db = np.array([19.32, math.nan, math.inf])
    document = Document(render(bare_page(page, reconstruction_psnr_db=psnr_db, **shown)))
    assert "19.3 dB" in document.text
    assert "∞ dB" in document.text
    assert document.count("span") == 2
    assert "dB" not in Document(render(bare_page(page, **shown))).text


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [math.nan, 0.5, 1e-9], [0.01] * 5])
def test_spectrum_of_odd_values(page: Page, values: list[float]) -> None:
    document = Document(render(bare_page(page, variance_fake=np.array(values))))
    finite = [v for v in values if math.isfinite(v)]
    active = sum(v > 0.1 for v in finite)
    assert f"generated images {active} of {len(finite)} active" in document.text
    assert document.count("svg") == 2
