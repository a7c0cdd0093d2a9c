"""The result of a spot check in words, for a person and for a paper."""

from __future__ import annotations

from .intervals import Interval
from .spot_check import Answer, Kind
from .spot_report import Estimate, Outlier, Report

RIGHT_WORD = "right"
WRONG_WORD = "wrong outline"
SEVERAL_WORD = "several cells"
NO_CELL_WORD = "not a cell"
FINE_WORD = "fine"
MISSED_WORD = "missed cell"
UNSURE_WORD = "cannot tell"

OBJECT_QUESTION = "Is the outline right? If not: how many cells have their middle in it?"
PLACE_QUESTION = "How many cells have their middle in the square, but no outline?"


def question(kind: Kind) -> str:
    """Return what is asked about a unit."""
    return PLACE_QUESTION if kind.is_place else OBJECT_QUESTION


def verdict_word(kind: Kind, answer: Answer) -> str:
    """Return a verdict in words."""
    if not answer.sure:
        return UNSURE_WORD
    if kind.is_place:
        return MISSED_WORD if answer.cells else FINE_WORD
    if answer.right:
        return RIGHT_WORD
    return {0: NO_CELL_WORD, 1: WRONG_WORD}.get(answer.cells, SEVERAL_WORD)


def share_text(found: Interval | None) -> str:
    """Return a share with its limits, such as ``93 % (84 to 98)``."""
    if found is None:
        return "not known"
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"


def count_text(found: Interval | None) -> str:
    """Return a number of cells with its limits, such as ``1,040 (980 to 1,130)``."""
    if found is None:
        return "not known"
    return f"{found.value:,.0f} ({found.low:,.0f} to {found.high:,.0f})"


def sentences(report: Report) -> list[str]:
    """Say what the verdicts show, in plain words.

    Returns
    -------
    list of str
        One a line; the first is the verdict as a whole.
    """
    whole = report.overall
    lines = [
        f"Of the {whole.n_objects:,} objects, {share_text(whole.precision)} are right (precision)."
        if whole.precision is not None
        else "There is no verdict on an object yet.",
        f"Of all cells, {share_text(whole.recall)} have a right outline (recall)."
        if whole.recall is not None
        else "How many cells are missed is not known yet: no place has been judged.",
    ]
    if whole.cells is not None:
        lines.append(
            f"There are about {count_text(whole.cells)} cells, and {whole.n_objects:,} objects."
        )
    lines.append("In brackets: the limits that hold the truth 95 times in 100.")
    lines += [outlier_text(one) for one in report.outliers]
    if report.unsure:
        lines.append(f"{report.unsure} could not be told and count for nothing.")
    if report.open:
        lines.append(f"{report.open} have no verdict yet; the limits get narrower with each.")
    return lines


def outlier_text(one: Outlier) -> str:
    """Name an image or group that falls out, and why."""
    if one.of is Kind.OBJECT:
        what = f"{one.faulty} of {one.judged} objects judged there are wrong"
    else:
        what = f"cells are missed at {one.faulty} of {one.judged} places judged there"
    return f"'{one.name}' is worse than the others: {what} (p = {one.p:.2g})."


def methods(report: Report, program: str) -> str:
    """Return the sentences for a paper's Methods section.

    Parameters
    ----------
    report : Report
    program : str
        Name and version of the program.

    Returns
    -------
    str
        Empty where nothing was judged.
    """
    whole = report.overall
    if whole.precision is None:
        return ""
    images = "1 image" if report.n_images == 1 else f"{report.n_images:,} images"
    squares = (
        f" and {whole.places} square fields, five object diameters wide," if whole.places else ""
    )
    text = (
        f"Segmentation quality was estimated from a stratified random sample of {whole.objects} of "
        f"{whole.n_objects:,} segmented objects{squares} in {images} "
        f"(random seed {report.seed}), each judged by eye: "
        "whether the outline was right, and how many cells had their middle in the outline"
    )
    text += " or, without an outline, in the field. " if whole.places else ". "
    text += f"Precision was {_figure(whole.precision)}"
    if whole.recall is not None and whole.f1 is not None and whole.cells is not None:
        hold = "the image holds" if report.n_images == 1 else "the images hold"
        text += (
            f", recall {_figure(whole.recall)} and F1 {_figure(whole.f1)}; {hold} an "
            f"estimated {whole.cells.value:,.0f} cells ({whole.cells.low:,.0f} to "
            f"{whole.cells.high:,.0f})"
        )
    text += " (estimates weighted by inclusion probability; brackets: 95 % confidence intervals, "
    text += "mid-P exact for precision"
    text += " and mid-P gamma for the others" if whole.recall is not None else ""
    text += f"; {program})."
    if report.unsure:
        text += f" {report.unsure} that could not be judged were left out."
    return text


def _figure(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def row(name: str, found: Estimate) -> list[str]:
    """Return the cells of a table's row on an image, a group or all."""
    return [
        name,
        f"{found.n_objects:,}",
        f"{found.right} of {found.objects}",
        share_text(found.precision),
        f"{found.missed} at {found.places}",
        share_text(found.recall),
        count_text(found.cells),
    ]


ROW_NAMES = ("", "objects", "right", "precision", "missed", "recall", "cells")
