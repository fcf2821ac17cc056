"""A result page of synthetic pictures and curves, and a reader of HTML that answers tests."""

import base64
import io
import math
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from ganinv.objectives import pvdgan
from launch.pages.page import Headline, Page
from launch.pages.sections import Gallery, Grid, Images, Section

URL = "data:image/webp;base64,"


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
    variance = 1 / (1 + np.exp((np.arange(128) - 52) / 6)) * rng.uniform(0.9, 1.02, 128) + 1e-4
    return Page(
        title="PVDGAN on avatars, 32 pixels",
        run_url="s3://experiments/avatars-32/pvdgan-seed-1",
        facts={"Objective": "pvdgan", "Versions": "ganinv 0.1.0, torch 2.9.0"},
        headlines=(
            Headline(
                label="PSNR on held-out images",
                value="19.3",
                unit="dB",
                meaning="Likeness of images after encoding and decoding; higher is closer.",
            ),
        ),
        evaluated_on={"Weights": "averaged", "Held-out images": "2,000"},
        pictures=synthetic_pictures(samples),
        curves=rows_of_training(rows),
        plots=pvdgan.Objective.plots,
        spectra={
            "generated images": variance,
            "real images": variance * rng.uniform(0.7, 1.1, 128),
        },
        config_yaml="objective:\n  name: pvdgan\n  lambda_enc: 1.0\n  lambda_r1: 5.0\ntrain:\n"
        "  images: 120000\n  global_batch: 32\n  seed: 1\n",
    )


def synthetic_pictures(samples: int) -> tuple[Section, ...]:
    grids = tuple(
        Grid(
            images=noise(element, 2, 5),
            columns=tuple(str(value) for value in range(-2, 3)),
            name=f"Element {element}",
            heading=f"Element {element}",
            remark="scale s 1.2",
            originals=frozenset({0}),
        )
        for element in (17, 3)
    )
    return (
        Section(
            anchor="samples",
            title="Samples",
            caption="Invented.",
            gallery=Gallery(images=noise(0, samples, 1), names=("Sample",)),
        ),
        Section(
            anchor="pairs",
            title="Reconstructions",
            caption="Top and below.",
            source="DLSGAN fig. 10",
            gallery=Gallery(
                images=noise(1, 16, 2),
                names=("Image", "Reconstruction"),
                notes=tuple(f"{i}.0 dB" for i in range(16)),
            ),
        ),
        Section(anchor="traversal", title="Traversal", caption="From −2 to 2.", grids=grids),
    )


def noise(seed: int, rows: int, columns: int, height: int = 32, channels: int = 3) -> Images:
    shape = (rows, columns, height, 32, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


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
        files = [a["src"] or "" for tag, a in self.elements if tag == "img"]
        assert all(file.startswith(URL) for file in files)
        data = [base64.b64decode(file.removeprefix(URL)) for file in files]
        return [np.asarray(Image.open(io.BytesIO(file))) for file in data]
