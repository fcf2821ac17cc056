"""The result page: its contents, and their rendering as one self-contained HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from ganinv.declarations import Plot
from launch.pages.charts import curve_charts
from launch.pages.curves import Floats, Rows, number
from launch.pages.evaluations import evaluation_groups
from launch.pages.sections import AS_STORED, CONTENT_PX, Section, image_url, shown_px
from launch.pages.spectrum import spectrum_charts
from launch.pages.style import FONT, themed
from launch.pages.training import training_groups


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """One of the few large figures at the top of the page."""

    label: str
    value: str  # formatted, without its unit
    unit: str = ""
    meaning: str = ""  # one short sentence for newcomers


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The contents of the page. A part without values is left out."""

    title: str
    run_url: str
    facts: Mapping[str, str]  # name → value, in the order in which they are shown
    evaluated_on: Mapping[str, str]  # conditions of the evaluation figures: name → value
    headlines: tuple[Headline, ...]
    pictures: tuple[Section, ...]
    curves: Rows  # of metrics.jsonl, with `images_seen` ascending; missing keys and NaN are fine
    plots: Sequence[Plot]  # the charts that the method declares
    spectra: Mapping[str, Floats]  # whose codes → v of each latent element; empty without traces
    config_yaml: str


def render(page: Page) -> str:
    """The page as one HTML document without external files; equal pages give equal text."""
    return fill(
        "report.html.j2",
        page=page,
        evaluations=curve_charts("evaluation", evaluation_groups(page.curves), page.curves),
        training=curve_charts("training", training_groups(page.curves, page.plots), page.curves),
        spectra=spectrum_charts(page.spectra),
        as_stored=AS_STORED,
    )


def fill(template: str, **values: object) -> str:
    """Render a template of `templates/` with these values; all text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"url": image_url, "number": number}
    environment.globals |= {
        "shown_px": shown_px,
        "themed": themed,
        "font": FONT,
        "content_px": CONTENT_PX,
    }
    return environment.get_template(template).render(**values)
