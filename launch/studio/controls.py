"""The parts that the page is built of."""

import math
import re
import secrets
from collections.abc import Awaitable, Callable

from nicegui import events, ui

REACH = 3.0  # σ, of the sliders on either side
STEP = 0.05
SEEDS = 100_000  # from which one is drawn; people can tell each other short numbers
UpdateValue = Callable[[float], Awaitable[None]]
Pressed = Callable[[], Awaitable[None] | None]
Uploaded = Callable[[events.UploadEventArguments], Awaitable[None]]


def words_of(name: str) -> str:
    """A boundary's name for people: `glasses!=none` is `glasses ≠ none`."""
    return re.sub(r"\s*(=|≠|<|>)\s*", r" \1 ", name.replace("!=", "≠").replace("_", " "))


def card(title: str) -> ui.element:
    """A frame with a heading."""
    frame = ui.element("section").classes("card")
    with frame, ui.element("h2"):
        ui.label(title)
    return frame


def line() -> ui.element:
    return ui.element("div").classes("line")


def caption(text: str = "") -> ui.label:
    return ui.label(text).classes("hint")


def button(
    text: str, icon: str, pressed: Pressed | None = None, *, main: bool = False
) -> ui.button:
    """`main`: the one that most people look for."""
    found = ui.button(text, icon=icon, on_click=pressed)
    return found.props("no-caps unelevated" if main else "no-caps outline")


def chooser(pressing: ui.button, max_bytes: int, uploaded: Uploaded, refused: str) -> ui.upload:
    """An unseen field for one file, which the button opens. `refused`: said if it is too large."""

    def not_taken() -> None:
        field.reset()
        ui.notify(refused, type="negative", multi_line=True)

    field = ui.upload(auto_upload=True, max_file_size=max_bytes, on_upload=uploaded)
    field.classes("away").on("rejected", not_taken, []).on("failed", not_taken, [])
    # Not before: the browser still waits for the answer when the server has the file.
    field.on("uploaded", field.reset, [])
    # In the browser itself: it opens its window for files only as the answer to a click.
    pressing.on("click", js_handler=f"() => getElement({field.id}).$refs.qRef.pickFiles()")
    return field


def take_drops(field: ui.upload) -> None:
    """A file dropped anywhere on the page goes to this field, instead of being opened."""
    ui.run_javascript(
        "document.addEventListener('dragover', (e) => e.preventDefault());"
        "document.addEventListener('drop', (e) => { e.preventDefault();"
        f"getElement({field.id}).$refs.qRef.addFiles(e.dataTransfer.files); }});"
    )


class SeedField:
    """A number for a seed, and a button that draws one."""

    def __init__(self, value: int | None, chosen: Callable[[int], Awaitable[None]]) -> None:
        self._chosen = chosen
        self._field = ui.number("Seed", value=value, min=0, precision=0).props("dense outlined")
        self._field.classes("number").on("change", self._take, [])
        button("Random", "casino", self._draw)

    async def _take(self) -> None:
        if self._field.value is None:
            ui.notify("Seed: type a whole number from 0 on.", type="negative")
        else:
            await self._chosen(int(self._field.value))

    async def _draw(self) -> None:
        self._field.set_value(secrets.randbelow(SEEDS))
        await self._take()


class SliderLine:
    """A slider with its name and value; `note` says more about the value."""

    def __init__(
        self,
        name: str,
        *,
        least: float,
        most: float,
        step: float,
        form: str,
        drag: UpdateValue,
        settle: UpdateValue,
    ) -> None:
        """`drag` is called while the slider moves, `settle` where it is let go."""
        self._form = form
        self._line = ui.element("div").classes("slider-line")
        with self._line:
            ui.label(name).classes("what")
            with ui.element("div").classes("value"):
                self._note = ui.label().classes("faint")
                self._value = ui.label()
            self._slider = ui.slider(
                min=least,
                max=most,
                step=step,
                value=0.0,
                on_change=lambda event: drag(_number(event.value)),
            )
        if least < 0:
            self._line.classes("centred")  # nothing is the middle, not the left end
            self._slider.props["selection-color"] = "transparent"
        self._slider.props["aria-label"] = name
        # The browser's last value comes with this event: the slider's own may still be on its way.
        self._slider.on("change", lambda event: settle(_number(event.args)))
        self.put(0.0)

    def put(self, value: float) -> None:
        """Show a value; the handlers hear of it, too."""
        self._value.set_text(format(value, self._form))
        self._slider.set_value(value)

    def note(self, text: str) -> None:
        self._note.set_text(text)

    def show(self, on: bool) -> None:
        self._line.set_visibility(on)


def _number(value: object) -> float:
    """What a browser sends as a slider's value; 0 for what is no number."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
