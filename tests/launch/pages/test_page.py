"""The result page is self-contained, deterministic, safe, and says everything in words too."""

import dataclasses
import math
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from launch.pages.page import Headline, Page, render
from launch.pages.sections import Section
from tests.support.pages import URL, Document, synthetic_page

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)> & {{ 7*7 }} $\\frac"


@pytest.fixture(scope="module")
def page() -> Page:
    return synthetic_page()


@pytest.fixture(scope="module")
def html(page: Page) -> str:
    return render(page)


def bare_page(page: Page, **changes: Any) -> Page:
    """`page` without anything that may be missing: quick to render."""
    values: dict[str, Any] = {"pictures": (), "curves": [], "headlines": (), "facts": {}}
    values |= {"spectra": {}, "evaluated_on": {}}
    return dataclasses.replace(page, **{**values, **changes})


def test_page_needs_nothing_but_itself(html: str) -> None:
    document = Document(html)
    links = document.attributes("src", "href", "xlink:href", "srcset", "data", "action")
    assert links
    assert all(link.startswith((URL, "#")) for link in links)
    assert not document.count("script")
    assert not document.count("link")
    assert not re.search(r"url\((?!#)|@import", html)
    assert len(html.encode()) < 1_500_000


def test_small_images_are_shown_pixel_for_pixel_in_order(page: Page, html: str) -> None:
    blocks = [block for s in page.pictures for block in (s.gallery, *s.grids) if block]
    expected = np.concatenate([b.images.reshape(-1, 32, 32, 3) for b in blocks])
    np.testing.assert_array_equal(np.stack(Document(html).images()), expected)


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
    assert len(alts) == document.count("img") == 64 + 2 * 16 + 2 * 2 * 5
    assert all(alts)
    assert len(set(alts)) == len(alts)
    drawings = [a["aria-label"] for _, a in document.elements if a.get("role") == "img"]
    assert document.count("figure") == document.count("figcaption") == len(drawings)
    assert len(drawings) == document.count("svg") == 2 + 7 + 2
    assert all(drawings)
    assert "discriminator from 1.31 to 0.826; generator from 0.861" in str(drawings[2])
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


def test_a_figure_says_which_way_is_better_and_where_it_was_best(page: Page) -> None:
    rows = [
        {"images_seen": 1000.0 * i, "eval/psnr_db_test": v} for i, v in enumerate((9.0, 12.5, 11.0))
    ]
    taken_on = {"Held-out images": "two hundred"}
    document = Document(render(bare_page(page, curves=rows, evaluated_on=taken_on)))
    assert "dB, higher is better" in document.text
    assert "held out 11 best 12.5 at 1,000 images" in " ".join(document.text.split())
    assert "two hundred" in document.text
    assert "DLSGAN figs. 4 and 8" in document.text


def test_a_section_without_pictures_says_why(page: Page) -> None:
    why = Section(anchor="noise", title="Noise", caption="There are no held-out images.")
    document = Document(render(bare_page(page, pictures=(why,))))
    assert "There are no held-out images." in document.text
    assert not document.count("img")


def test_charts_take_their_colours_from_the_page(html: str) -> None:
    document = Document(html)
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    assert used <= set(re.findall(r"(--[a-z0-9-]+):", html))
    assert not re.search(r"#[0-9a-f]{6}", html.replace(document.style, ""))


def test_parts_without_data_are_left_out(page: Page) -> None:
    document = Document(render(bare_page(page)))
    assert "No curves yet" in document.text
    assert document.attributes("href") == ["#run"]
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


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [math.nan, 0.5, 1e-9], [0.01] * 5])
def test_spectrum_of_odd_values(page: Page, values: list[float]) -> None:
    document = Document(render(bare_page(page, spectra={"generated images": np.array(values)})))
    finite = [v for v in values if math.isfinite(v)]
    active = sum(v > 0.1 for v in finite)
    assert f"generated images {active} of {len(finite)} active" in document.text
    assert document.count("svg") == 2
