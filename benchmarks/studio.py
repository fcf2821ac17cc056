"""How long the studio takes to answer, in a headless Chromium on this machine.

    python -m benchmarks.studio MODEL

From a photograph of 12 megapixels that is dropped on the page to its reconstruction; from a press
on a slider to the edited picture; and what a long drag leaves to be done once it ends. Prints the
figures; the aims are 1 s and 150 ms at 64 pixels.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.browser import Tab, chromium
from tests.support.commands import start, wait_until

PHOTOGRAPHS, PRESSES, MOVES = 5, 20, 200
SLIDER = ".slider-line.centred .q-slider"
# Notes each new picture, in milliseconds after the last mouse button or dropped file.
WATCH = """(() => {
  window.took = []; window.began = 0;
  const now = () => { window.began = performance.now(); };
  for (const kind of ["mousedown", "mouseup", "drop"]) document.addEventListener(kind, now, true);
  new MutationObserver(() => took.push(performance.now() - began)).observe(
    document.querySelector("img.after"), {attributes: true, attributeFilter: ["src"]});
})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    model = str(Path(parser.parse_args().model).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = folder / "studio.log"
        with said.open("w") as output:
            process = start("studio", model, output=output)
        try:
            wait_until(lambda: "Ctrl-C ends" in said.read_text(), 120, "the page's address")
            with chromium(folder) as browser, browser.tab() as tab:
                tab.open(said.read_text().split()[0], width=1440)
                tab.wait_for("document.querySelector('img.after')?.src", "the first picture")
                tab.evaluate(WATCH)
                print(json.dumps(measure(tab, folder), indent=2))
        finally:
            process.terminate()
            process.wait(30)


def measure(tab: Tab, folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds."""
    random = np.random.default_rng(0)
    first = []
    for number in range(PHOTOGRAPHS):  # each another one: an equal picture would not be new
        pixels = random.integers(0, 256, (60, 80, 3), np.uint8)
        photograph = folder / f"photograph-{number}.jpg"
        Image.fromarray(pixels).resize((4000, 3000), Image.Resampling.BICUBIC).save(photograph)
        first.append(_after(tab, partial(tab.drop, photograph)))
    left, top, width = tab.evaluate(
        f"(() => {{ const box = document.querySelector('{SLIDER}').getBoundingClientRect();"
        "return [box.left, box.top + box.height / 2, box.width]; })()"
    )

    def press(number: int) -> float:
        x = left + width * (0.1 + 0.8 * number / PRESSES)

        def pressed() -> None:
            tab.mouse("mousePressed", x, top)
            tab.mouse("mouseReleased", x, top)

        return _after(tab, pressed)

    slider = [press(number) for number in range(PRESSES)]
    tab.evaluate("took.length = 0")
    tab.mouse("mousePressed", left + width * 0.1, top)
    for number in range(MOVES):
        tab.mouse("mouseMoved", left + width * (0.1 + 0.8 * number / MOVES), top)
    tab.mouse("mouseReleased", left + width * 0.9, top)
    drawn = _settled(tab)
    return {
        "first reconstruction": _summary(first),
        "slider": _summary(slider),
        "drag": {"moves": MOVES, "pictures": len(drawn), "last picture after its end": drawn[-1]},
    }


def _after(tab: Tab, action: Callable[[], None]) -> float:
    """Milliseconds from an action to its first new picture."""
    tab.evaluate("took.length = 0")
    action()
    tab.wait_for("took.length", "a new picture")
    return _settled(tab)[0]


def _settled(tab: Tab) -> list[float]:
    """The times of all pictures, once no more come for half a second."""
    found: list[float] = tab.evaluate(
        "(async () => { let seen = -1; while (took.length != seen) { seen = took.length;"
        "await new Promise(done => setTimeout(done, 500)); } return took; })()"
    )
    return found


def _summary(times_ms: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(times_ms), 1), "longest": round(max(times_ms), 1)}


if __name__ == "__main__":
    main()
