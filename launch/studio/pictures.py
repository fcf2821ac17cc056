"""The three pictures of the page, and the bar of a refinement."""

import base64

from nicegui import ui

from launch.studio.controls import Pressed, button

PROGRESS_EVERY_S = 0.2


class Pictures:
    """The edited picture, which shows the one before while it is pressed; and what it came from."""

    def __init__(self) -> None:
        with ui.element("div").classes("card pictures"):
            with ui.element("figure").classes("tile result"):
                self._before = _image("reconstruction")
                self._after = _image("edited picture").classes("after")
                ui.label("edited · press to compare").classes("label edited")
                ui.label("before").classes("label pressed")
            with ui.element("figure").classes("tile"):
                self._photo = _image("photograph")
                self._photo_label = ui.label().classes("label")
            with ui.element("figure").classes("tile"):
                self._plain = _image("reconstruction")
                ui.label("reconstruction").classes("label")

    def put_edited(self, png: bytes) -> None:
        _put(self._after, png)

    def put_source(self, reconstruction: bytes, photograph: bytes | None) -> None:
        """What the edits start from, as PNG."""
        for image in (self._before, self._plain):
            _put(image, reconstruction)
        _put(self._photo, photograph)
        self._photo_label.set_text("no photograph" if photograph is None else "photograph")


class RefineButton:
    """A button in whose place a bar stands while its work runs."""

    def __init__(self, pressed: Pressed, cancelled: Pressed) -> None:
        self._button = button("Refine", "auto_fix_high", pressed)
        self._bar = ui.linear_progress(0.0, show_value=False).classes("grow")
        self._stop = button("Cancel", "close", cancelled)
        self.show(False)

    def enable(self, on: bool) -> None:
        self._button.set_enabled(on)

    def show(self, running: bool) -> None:
        self._bar.set_value(0.0)
        self._button.set_visibility(not running)
        for element in (self._bar, self._stop):
            element.set_visibility(running)

    def put(self, share: float) -> None:
        """How much is done, 0–1."""
        self._bar.set_value(share)


def _image(name: str) -> ui.element:
    """An image element, empty at first."""
    found = ui.element("img")
    found.props["alt"] = name
    found.props["draggable"] = "false"
    return found


def _put(image: ui.element, png: bytes | None) -> None:
    coded = "" if png is None else base64.b64encode(png).decode("ascii")
    image.props["src"] = coded and f"data:image/png;base64,{coded}"
