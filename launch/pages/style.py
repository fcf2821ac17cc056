"""The colours of the pages, light and dark, as custom properties of their style.

The colours of series can be told apart with every kind of colour blindness. They are those of
M. Okabe and K. Ito, "Color Universal Design" (2008), made darker or lighter for the background.
"""

LIGHT = {
    "--ground": "#f7f6f3",
    "--card": "#ffffff",
    "--ink": "#1c1d1f",
    "--muted": "#5d6168",
    "--rule": "#e0dfd9",
    "--accent": "#0072b2",
    "--chart-grid": "#e3e2dd",
    "--chart-text": "#5d6168",
    "--chart-mark": "#1c1d1f",
    "--series-1": "#0072b2",
    "--series-2": "#d55e00",
    "--series-3": "#00805d",
    "--series-4": "#b0568a",
    "--series-5": "#a87400",
    "--series-6": "#3d9fd6",
    "--series-7": "#6b3d9a",
    "--series-8": "#3c3e42",
}
DARK = {
    "--ground": "#141618",
    "--card": "#1c1f22",
    "--ink": "#eceae6",
    "--muted": "#a3a8af",
    "--rule": "#32363b",
    "--accent": "#62b8ec",
    "--chart-grid": "#33373c",
    "--chart-text": "#a3a8af",
    "--chart-mark": "#eceae6",
    "--series-1": "#62b8ec",
    "--series-2": "#f0894a",
    "--series-3": "#2fc497",
    "--series-4": "#e39ac4",
    "--series-5": "#f0c040",
    "--series-6": "#a9dcfa",
    "--series-7": "#b795e6",
    "--series-8": "#d8d6d0",
}
SERIES = tuple(name for name in LIGHT if name.startswith("--series-"))
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Inter, "Noto Sans", "DejaVu Sans", sans-serif'


def declarations(colours: dict[str, str]) -> str:
    """The declarations of a CSS rule."""
    return " ".join(f"{name}: {colour};" for name, colour in colours.items())


def themed(selector: str) -> str:
    """The CSS rules that give an element the light colours, or the dark ones if preferred."""
    dark = f"@media (prefers-color-scheme: dark) {{ {selector} {{ {declarations(DARK)} }} }}"
    return f"{selector} {{ {declarations(LIGHT)} }}\n{dark}"
