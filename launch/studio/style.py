"""The look of the page: one column on a phone, two on a wide screen; light and dark."""

CSS = """
:root { --line: #d9dce1; --card: #fff; --paper: #f4f5f7; --ink: #1c1f24; --faint: #646b76;
  --accent: #2f6fde; }
body { background: var(--paper); color: var(--ink); }
body.body--dark { --line: #31363f; --card: #1c2027; --paper: #12151a; --ink: #e8eaee;
  --faint: #98a0ad; --accent: #7aa7ff; background: var(--paper); }
.nicegui-content { padding: 0; display: block; }
.studio { box-sizing: border-box; min-height: 100vh; max-width: 1200px; margin: 0 auto;
  padding: 12px; }
.studio header { display: flex; align-items: baseline; gap: 10px; padding: 4px 4px 12px; }
.studio h1 { font-size: 18px; font-weight: 600; margin: 0; line-height: 1.3; }
.studio header .name { color: var(--faint); flex: 1; overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: minmax(0, 1fr); gap: 12px; }
.column-of { display: contents; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px; display: flex; flex-direction: column; gap: 10px; }
.card h2 { font-size: 12px; font-weight: 600; margin: 0; line-height: 1.4;
  color: var(--faint); text-transform: uppercase; letter-spacing: .04em; }
.line { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; }
.hint { color: var(--faint); font-size: 13px; line-height: 1.4; }
.grow { flex: 1; min-width: 0; }
.pictures { display: grid; gap: 8px;
  grid-template-columns: calc((100% - 16px) * 2 / 3 + 8px) minmax(0, 1fr); position: sticky; top: 0;
  z-index: 5; }
.tile { position: relative; margin: 0; border-radius: 8px; overflow: hidden; aspect-ratio: 1;
  background: var(--line); }
.tile img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain;
  display: block; -webkit-user-drag: none; user-select: none; }
.tile img[src=""], .tile img:not([src]) { visibility: hidden; }
.tile .label { position: absolute; left: 6px; bottom: 6px; padding: 1px 6px; border-radius: 6px;
  font-size: 12px; line-height: 1.5; background: #000a; color: #fff; pointer-events: none; }
.tile.result { grid-row: span 2; cursor: pointer; touch-action: manipulation; }
.tile.result .label.pressed { display: none; }
.tile.result:active img.after, .tile.result:active .label.edited { display: none; }
.tile.result:active .label.pressed { display: block; }
.slider-line { display: grid; grid-template-columns: minmax(0, 1fr) auto; column-gap: 8px;
  align-items: baseline; }
.slider-line .what { overflow-wrap: anywhere; font-size: 14px; }
.slider-line .value { font-variant-numeric: tabular-nums; font-size: 13px; }
.slider-line .value { display: flex; gap: 10px; }
.slider-line.centred .q-slider__track::before { content: ""; position: absolute; left: 50%;
  top: -4px; bottom: -4px; width: 2px; margin-left: -1px; background: var(--faint); opacity: .6; }
.slider-line .value .faint { color: var(--faint); }
.slider-line .q-slider { grid-column: 1 / -1; padding: 0 8px; }
.studio .q-btn { border-radius: 8px; text-transform: none; font-weight: 500; }
.number { width: 9.5em; }
.away { display: none; }
.studio a, .studio .q-btn:focus-visible { outline-offset: 2px; }
@media (min-width: 900px) {
  .studio { padding: 20px; }
  .columns { grid-template-columns: minmax(0, 11fr) minmax(0, 12fr); gap: 20px;
    align-items: start; }
  .column-of { display: flex; flex-direction: column; gap: 12px; min-width: 0; }
  .column-of.first { position: sticky; top: 20px; }
  .pictures { position: static; }
}
"""
