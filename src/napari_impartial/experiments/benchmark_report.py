"""Output of a benchmark: tables, JSON and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_impartial.cli.output import markdown_table, number_text, to_json

FIGURES = ("f1", "ap", "map", "miou", "mdice")
TITLES = {"f1": "F1@0.5", "ap": "AP@0.5", "map": "mAP", "miou": "mIoU", "mdice": "mDice"}
COSTS = ("train_s", "predict_s", "peak_rss_mb")


def summarize(
    results: list[dict[str, Any]],
    keys: Sequence[str] = ("set", "method", "percent"),
    figures: Sequence[str] = (*FIGURES, *COSTS),
) -> list[dict[str, Any]]:
    """Mean and standard deviation over the runs that are the same in `keys`.

    Returns
    -------
    list of dict
        The keys, ``runs``, and for each figure ``NAME`` (mean) and ``NAME_std`` (of the sample;
        None with a single run).
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(tuple(result[key] for key in keys), []).append(result)
    return [
        {**dict(zip(keys, of, strict=True)), "runs": len(runs), **spread(runs, figures)}
        for of, runs in groups.items()
    ]


def spread(runs: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Mean and standard deviation of some figures over runs, as in :func:`summarize`.

    A figure that no run has (the memory, on Windows) is None.
    """
    row: dict[str, Any] = {}
    for name in names:
        values = [run[name] for run in runs if run[name] is not None]
        row[name] = statistics.fmean(values) if values else None
        row[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
    return row


def spread_text(entry: dict[str, Any], figure: str, digits: int = 3) -> str:
    """Mean, and standard deviation where there is one."""
    text = number_text(entry[figure], digits)
    deviation = entry[f"{figure}_std"]
    return text if deviation is None else f"{text} ± {number_text(deviation, digits)}"


def full_table(summary: list[dict[str, Any]]) -> str:
    """All figures and costs, a row for each set, percentage and method, as Markdown."""
    heading = ["set", "%", "method", "runs", *TITLES.values(), "train s", "predict s", "peak MB"]
    rows = [heading]
    for entry in summary:
        percent = number_text(entry["percent"])
        cells = [entry["set"], percent, entry["method"], str(entry["runs"])]
        cells += [spread_text(entry, figure) for figure in FIGURES]
        cells += [spread_text(entry, "train_s", 1), spread_text(entry, "predict_s", 1)]
        cells.append(number_text(entry["peak_rss_mb"], 0))
        rows.append(cells)
    return markdown_table(rows)


def pivot_table(summary: list[dict[str, Any]], across: str) -> str:
    """F1 with the values of `across` ("method" or "percent") side by side, as Markdown.

    Labels of other programs, which have no percentage, stand beside each percentage.

    With several sets a last row has the means over the sets that have all figures. Side
    by side with 100 %, the last column says what the lowest percentage reaches of it.
    """
    down = "percent" if across == "method" else "method"
    known = [entry for entry in summary if entry["percent"] is not None]
    others = [e for e in summary if e["percent"] is None] if across == "method" else []
    columns = list(dict.fromkeys(entry[across] for entry in known + others))
    lines = list(dict.fromkeys((e["set"], e[down]) for e in known))
    by_place = {(e["set"], e[down], e[across]): e for e in known}
    for other in others:
        by_place |= {(*line, other["method"]): other for line in lines if line[0] == other["set"]}
    show_share = across == "percent" and 100 in columns and len(columns) > 1
    title = "F1 at {} %" if across == "percent" else "F1 {}"
    heading = ["set", down if down == "method" else "%", *(title.format(c) for c in columns)]
    if show_share:
        heading.append(f"{min(columns)} % of 100 %")
    rows = [heading]
    means: dict[Any, list[list[float]]] = {}
    for name, place in lines:
        entries = [by_place.get((name, place, column)) for column in columns]
        cells = ["-" if e is None else spread_text(e, "f1") for e in entries]
        rows.append([name, str(place), *cells])
        values = [e["f1"] for e in entries if e is not None]
        if len(values) == len(columns):
            means.setdefault(place, []).append(values)
        if show_share:
            rows[-1].append(_share(columns, values))
    for place, values in means.items():
        if len({name for name, _ in lines}) > 1:
            mean = [statistics.fmean(column) for column in zip(*values, strict=True)]
            rows.append(["mean", str(place), *(number_text(value) for value in mean)])
            if show_share:
                rows[-1].append(_share(columns, mean))
    return markdown_table(rows)


def _share(columns: list[Any], values: list[float]) -> str:
    """Say which share of full annotation's figure the lowest percentage reaches."""
    if len(values) != len(columns):
        return "-"
    full = values[columns.index(100)]
    return number_text(values[columns.index(min(columns))] / full if full else None)


def tables(summary: list[dict[str, Any]]) -> str:
    """Return the tables that this summary has something to say in, as Markdown."""
    if not summary:
        return "No run was completed."
    parts = [full_table(summary)]
    for across in ("percent", "method"):
        values = {entry[across] for entry in summary if entry["percent"] is not None}
        if across == "method" and values:
            values = {entry[across] for entry in summary}
        if len(values) > 1:
            parts.append(pivot_table(summary, across))
    return "\n\n".join(parts)


def write_report(out: Path, report: dict[str, Any], text: str) -> dict[str, Path]:
    """Write ``table.md``, ``results.json`` and, with matplotlib, ``plot.png``.

    Returns
    -------
    dict of str to Path
        The files by kind; without ``plot`` where matplotlib is missing.
    """
    files = write_texts(out, text, report)
    if report["summary"] and plot(report["summary"], out / "plot.png"):
        files["plot"] = out / "plot.png"
    return files


def write_texts(out: Path, text: str, report: dict[str, Any]) -> dict[str, Path]:
    """Write ``table.md`` and ``results.json``; return where they are."""
    from napari_impartial.core.atomic_write import atomic_path

    files = {"table": out / "table.md", "results": out / "results.json"}
    for file, content in zip(files.values(), (text, to_json(report, indent=1)), strict=True):
        with atomic_path(file) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8", errors="backslashreplace")
    return files


def plot(summary: list[dict[str, Any]], file: Path) -> bool:
    """Draw all figures over the percentage, a row for each set, a line for each method.

    Returns
    -------
    bool
        False if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    from napari_impartial.core.atomic_write import atomic_path

    sets = list(dict.fromkeys(entry["set"] for entry in summary))
    methods = list(dict.fromkeys(entry["method"] for entry in summary))
    size = (2.6 * len(FIGURES), 2.4 * len(sets) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(sets), len(FIGURES), squeeze=False, sharex=True)
    for row, name in zip(panels, sets, strict=True):
        for panel, merit in zip(row, FIGURES, strict=True):
            for method in methods:
                mine = [e for e in summary if (e["set"], e["method"]) == (name, method)]
                line = sorted(
                    (e["percent"], e[merit], e[f"{merit}_std"] or 0.0)
                    for e in mine
                    if e["percent"] is not None
                )
                for e in mine:
                    if e["percent"] is None:
                        panel.axhline(e[merit], linestyle="--", color="0.4", label=method)
                if line:
                    x, y, deviation = zip(*line, strict=True)
                    panel.errorbar(x, y, deviation, marker="o", capsize=3, label=method)
            panel.set_title(f"{name}, {TITLES[merit]}", fontsize=9)
            panel.grid(alpha=0.3)
    for panel in panels[-1]:
        panel.set_xlabel("cells annotated, %")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=120)
    return True
