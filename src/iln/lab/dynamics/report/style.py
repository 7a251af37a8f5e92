"""How the page looks: light and dark, phone to desktop, screen and paper."""

from iln.lab.dynamics.drawing import HUES

# Of the same palette, the two that stand out on dark paper take the place of the first two.
_ON_LIGHT = f"""
  --paper: #fbfbfa; --card: #ffffff; --ink: #1d2126; --quiet: #5d6570; --line: #dfe2e6;
  --grid: #e9ebee; --hue0: {HUES[0]}; --hue1: {HUES[1]}; --limit: #a3264e;
  --good: #00745a; --warning: #9a5b00; --bad: #b3261e; --tint: 7%;
"""
_ON_DARK = f"""
  --paper: #14171b; --card: #1b1f25; --ink: #e7e9ec; --quiet: #a1a9b4; --line: #333a43;
  --grid: #2a3038; --hue0: {HUES[5]}; --hue1: {HUES[4]}; --limit: #ff8fb1;
  --good: #4fd1ab; --warning: #f0b44c; --bad: #ff8a80; --tint: 12%;
"""
_COLOURS = f"""
:root {{ color-scheme: light dark; {_ON_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_ON_DARK} }} }}
"""
_RULES = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.2rem 1.25rem 4rem; max-width: 70rem; background: var(--paper);
  color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1 {
  font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em;
  overflow-wrap: anywhere;
}
h2 { font-size: 1.2rem; margin: 2.6rem 0 .9rem; letter-spacing: -.005em; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; overflow-wrap: anywhere; }
.pair h3 { margin-top: 0; }
p { margin: .5rem 0; max-width: 46rem; text-wrap: pretty; }
header p { max-width: none; }
.quiet, .says, footer { color: var(--quiet); }
.over { font-size: .85rem; letter-spacing: .04em; color: var(--quiet); margin: 0 0 .4rem; }
.pair {
  display: grid; gap: 1.1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
}
.verdict {
  border: 1px solid var(--line); border-left: 5px solid var(--tone); border-radius: 8px;
  padding: 1.05rem 1.25rem 1rem; margin-top: 1.4rem;
  background: var(--card);
  background: color-mix(in srgb, var(--tone) var(--tint), var(--card));
}
.pair > .verdict { margin-top: 0; }
.verdict .whose { margin: 0 0 .35rem; font-weight: 650; overflow-wrap: anywhere; }
.headline {
  font-size: 1.18rem; line-height: 1.4; font-weight: 600; margin: 0; max-width: 56rem;
  overflow-wrap: anywhere; text-wrap: pretty;
}
.findings { list-style: none; margin: .9rem 0 0; padding: 0; font-size: .93rem; }
.findings li {
  display: grid; grid-template-columns: 1.4rem 6.2rem 1fr; gap: .2rem .3rem; padding: .4rem 0;
  border-top: 1px solid color-mix(in srgb, var(--line) 80%, transparent);
}
.findings li > :last-child { overflow-wrap: anywhere; }
.topic { font-weight: 600; }
.icon { color: var(--tone); font-weight: 700; }
.good { --tone: var(--good); } .warning { --tone: var(--warning); } .bad { --tone: var(--bad); }
.notice {
  border: 1px dashed var(--warning); border-radius: 8px; padding: .65rem 1rem; margin: 1.1rem 0 0;
  background: color-mix(in srgb, var(--warning) var(--tint), transparent); font-size: .95rem;
  max-width: none;
}
.comparison { margin: 1.1rem 0 0; padding-left: 1.2rem; }
.comparison li { margin: .25rem 0; }
.charts {
  display: grid; gap: 1.1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr));
}
figure { margin: 0; }
.chart {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .85rem 1rem .6rem; break-inside: avoid; max-width: 40rem;
}
.charts .chart { display: flex; flex-direction: column; justify-content: space-between; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; margin-top: .35rem; }
.chart .legend svg { width: 28px; margin: 0; }
figcaption strong { display: block; overflow-wrap: anywhere; }
.says { display: block; font-size: .86rem; line-height: 1.4; }
.legend {
  display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .86rem; margin-top: .25rem;
}
.key { display: inline-flex; align-items: center; gap: .4rem; overflow-wrap: anywhere; }
.key svg { flex: none; }
svg text {
  font-size: 11.5px; fill: var(--quiet); font-family: inherit; font-variant-numeric: tabular-nums;
}
svg text.note {
  fill: var(--ink); font-size: 11px; paint-order: stroke; stroke: var(--card); stroke-width: 3px;
}
.grid { stroke: var(--grid); stroke-width: 1; }
.limit { stroke: var(--limit); stroke-width: 1.3; stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.curve.hue0 { stroke: var(--hue0); } .curve.hue1 { stroke: var(--hue1); stroke-dasharray: 6 3; }
.mark { stroke: var(--card); stroke-width: .8; }
.mark.hue0 { fill: var(--hue0); } .mark.hue1 { fill: var(--hue1); }
.bar { fill: var(--hue0); } .bar.strongest { fill: var(--hue1); }
.scroll { overflow-x: auto; margin: .6rem 0; }
.scroll:focus-visible, summary:focus-visible {
  outline: 2px solid var(--hue0); outline-offset: 2px;
}
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td {
  padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap;
}
thead th {
  vertical-align: bottom; color: var(--quiet); font-weight: 600;
  border-bottom-color: var(--quiet);
}
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th.words { text-align: left; }
th[scope=row] { font-weight: 500; }
td.words { text-align: left; white-space: normal; min-width: 11rem; overflow-wrap: anywhere; }
tr.alarm td, tr.alarm th { color: var(--bad); }
code {
  font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .9em;
}
details { border-top: 1px solid var(--line); padding: .2rem 0; }
details details { border: 0; }
details details summary { font-weight: 500; }
main > details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .65rem 0; font-weight: 600; }
summary .quiet { font-weight: 400; }
details > :not(summary) { margin: 0 0 .9rem 1.05rem; }
.samples {
  display: grid; grid-template-columns: repeat(4, minmax(0, 12rem)); gap: .9rem;
  margin: .8rem 0 1.1rem;
}
.samples figcaption { font-size: .86rem; margin-top: .3rem; }
.sample {
  display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 4px;
  outline: 1px solid var(--line); background: #000;
}
.maps { display: flex; flex-wrap: wrap; gap: .7rem; }
.maps figcaption { font-size: .82rem; color: var(--quiet); margin-top: .2rem; }
.map {
  display: block; width: 84px; height: 84px; image-rendering: pixelated;
  border: 1px solid var(--line); border-radius: 3px; background: var(--card);
}
dl {
  display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .2rem 1.2rem;
  font-size: .93rem; margin: .6rem 0;
}
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 2.4rem; font-size: .86rem; }
@media (max-width: 34rem) {
  body { padding: 1.3rem .9rem 3rem; }
  .samples { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .findings li { grid-template-columns: 1.4rem 1fr; }
  .findings li > :last-child { grid-column: 2; }
  svg text { font-size: 12.5px; } svg text.note { font-size: 12px; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
}
@media print {
  :root { --paper: #ffffff; }
  h2, h3, summary { break-after: avoid; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  .charts { grid-template-columns: 1fr 1fr; }
  details::details-content { content-visibility: visible; display: block; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; } th, td { padding: .15rem .4rem; }
  .verdict, .chart, .samples, .maps { break-inside: avoid; }
  .verdict, .bar, .mark { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
STYLE = _COLOURS + _RULES
