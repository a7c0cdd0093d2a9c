"""A report of the demo as one HTML file that needs no other file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pillow

from .output import number_text
from .pictures import Rgb

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6678; --line: #dfe3ea;
  --page: #f6f7f9; --card: #ffffff; --accent: #0b6bcb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --soft: #9aa5b5;
  --line: #2d3442; --page: #12161d; --card: #1a202a; --accent: #6db3ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 22px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 24px 0 8px; }
p { margin: 0 0 12px; max-width: 76ch; }
.soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 24px; margin-top: 28px; }
.facts { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0 20px; padding: 0; }
.facts div { border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; }
.facts dt { color: var(--soft); font-size: 12.5px; }
.facts dd { margin: 0; font-size: 18px; font-weight: 600; font-variant-numeric: tabular-nums; }
.pictures { display: grid; gap: 22px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); }
figure { margin: 0; }
figure img { width: 100%; display: block; border-radius: 6px; background: #000; }
figcaption { font-size: 13.5px; color: var(--soft); margin-top: 6px; }
figcaption b { color: var(--ink); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 28px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
td.n { font-variant-numeric: tabular-nums; }
pre { background: var(--page); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 14px; overflow-x: auto; font-size: 13px; line-height: 1.45; margin: 0; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  vertical-align: -1px; margin-right: 5px; }
svg { width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; }
"""


@dataclass(frozen=True)
class Figure:
    """A picture with its caption."""

    title: str
    caption: str
    picture: Rgb


@dataclass(frozen=True)
class Chapter:
    """Part of the report about one sample.

    Attributes
    ----------
    facts : dict of str to str
        Short figures, shown large.
    places : sequence of (int, str, float)
        Suggestions: rank, reason, score.
    history : sequence of dict
        The model card's.
    commands : str
        Lines to type that do the same.
    """

    title: str
    text: str
    facts: Mapping[str, str]
    figures: Sequence[Figure]
    places: Sequence[tuple[int, str, float]]
    history: Sequence[Mapping[str, Any]]
    commands: str


def _image_tag(figure: Figure) -> str:
    """Embed a picture; JPEG, a fifth of the size of PNG and as good to look at."""
    buffer = io.BytesIO()
    Pillow.fromarray(figure.picture).save(buffer, "JPEG", quality=90, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure><img alt="{html.escape(figure.title)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption><b>{html.escape(figure.title)}.</b> {html.escape(figure.caption)}"
        "</figcaption></figure>"
    )


def loss_curve(history: Sequence[Mapping[str, Any]]) -> str:
    """Draw the total loss over time, training and held out, as SVG; empty without history."""
    series = {
        name: [
            (float(entry["elapsed_s"]), float(entry[name]["total"]))
            for entry in history
            if entry.get(name)
        ]
        for name in ("training", "validation")
    }
    points = [point for line in series.values() for point in line]
    if len(points) < 2:
        return ""
    width, height, left, bottom = 520, 220, 40, 24
    latest = max(x for x, _ in points) or 1.0
    highest = max(y for _, y in points) * 1.05 or 1.0

    def place(point: tuple[float, float]) -> str:
        x = left + (width - left - 8) * point[0] / latest
        y = (height - bottom) * (1 - point[1] / highest) + 4
        return f"{x:.1f},{y:.1f}"

    base = height - bottom + 4
    parts = [
        f'<line x1="{left}" y1="4" x2="{left}" y2="{base}" stroke="var(--line)"/>',
        f'<line x1="{left}" y1="{base}" x2="{width}" y2="{base}" stroke="var(--line)"/>',
        f'<text x="{left - 6}" y="{base}" text-anchor="end">0</text>',
        f'<text x="{left - 6}" y="14" text-anchor="end">{highest:.2g}</text>',
        f'<text x="{width - 2}" y="{height - 2}" text-anchor="end">{latest:.0f} s</text>',
    ]
    for name, colour in (("training", "#0b6bcb"), ("validation", "#e8710a")):
        line = " ".join(place(point) for point in series[name])
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    key = (
        '<p class="soft"><span class="key" style="background:#0b6bcb"></span>training '
        '&nbsp; <span class="key" style="background:#e8710a"></span>held-out scribbles</p>'
    )
    label = "Loss over the seconds of training"
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>{key}"
    )


def _chapter(chapter: Chapter) -> str:
    """Return one sample's section."""
    facts = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in chapter.facts.items()
    )
    places = "".join(
        f'<tr><td class="n">{rank}</td><td>{html.escape(reason)}</td>'
        f'<td class="n">{number_text(score, 2)}</td></tr>'
        for rank, reason, score in chapter.places
    )
    return f"""<section>
<h2>{html.escape(chapter.title)}</h2>
<p class="soft">{html.escape(chapter.text)}</p>
<dl class="facts">{facts}</dl>
<div class="pictures">{"".join(_image_tag(figure) for figure in chapter.figures)}</div>
<div class="columns">
<div><h3>Loss while training</h3>{loss_curve(chapter.history)}</div>
<div><h3>Where to scribble next</h3>
<table><tr><th>place</th><th>why</th><th>uncertainty</th></tr>{places}</table></div>
</div>
<h3>The same by hand, in this folder</h3>
<pre>{html.escape(chapter.commands)}</pre>
</section>"""


def page(introduction: str, chapters: Sequence[Chapter]) -> str:
    """Return the whole report.

    Parameters
    ----------
    introduction : str
        Plain text, below the title.
    chapters : sequence of Chapter
    """
    title = "ImPartial: cells from a few scribbles"
    body = "".join(_chapter(chapter) for chapter in chapters)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{title}</h1>"
        f"<p>{html.escape(introduction)}</p>{body}</main></body></html>\n"
    )
