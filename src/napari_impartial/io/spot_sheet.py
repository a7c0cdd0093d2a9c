"""The protocol of a spot check as a sheet: written, filled in by hand, read back.

Each row is an object or a place. Beside verdict and place it says what it was drawn from, so
that the sheet alone is enough to estimate from; images of which nothing was drawn have a row at
the end. All numbers are whole: spreadsheet programs of many countries take a decimal point for
something else.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_impartial.core.atomic_write import atomic_path
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.spot_check import UNSURE, Answer, Kind, SpotCheck, Stratum, Unit
from napari_impartial.core.review.spot_words import (
    FINE_WORD,
    MISSED_WORD,
    NO_CELL_WORD,
    RIGHT_WORD,
    SEVERAL_WORD,
    UNSURE_WORD,
    WRONG_WORD,
    question,
    verdict_word,
)

from .limits import check_file

COLUMNS = (
    "number",
    "image",
    "group",
    "plane",
    "y",
    "x",
    "y0",
    "x0",
    "y1",
    "x1",
    "kind",
    "label",
    "question",
    "verdict",
    "cells",
    "picture",
    "stratum",
    "stratum_size",
    "units_of_image",
    "seed",
)

NOT_DRAWN = "not drawn"
"""Kind of the row of an image of which nothing was drawn."""

_UNITS = re.compile(r"(\d+)=(\d+)")

# Verdict, whether it is of a place, the least number of cells, which goes without saying, and
# whether it is the only one.
_WORDS = {
    RIGHT_WORD: (False, 1, False),
    WRONG_WORD: (False, 1, True),
    "wrong": (False, 1, True),
    SEVERAL_WORD: (False, 2, False),
    NO_CELL_WORD: (False, 0, True),
    "no cell": (False, 0, True),
    FINE_WORD: (True, 0, True),
    MISSED_WORD: (True, 1, False),
    "missed cells": (True, 1, False),
    "missed": (True, 1, False),
}
_UNSURE_WORDS = (UNSURE_WORD, "can't tell", "unsure", "?")


def write_sheet(
    path: str | os.PathLike[str],
    check: SpotCheck,
    answers: Mapping[int, Answer],
    pictures: Sequence[str] = (),
) -> None:
    """Write the protocol as comma-separated values, whole or not at all.

    Parameters
    ----------
    path
        Where to.
    check : SpotCheck
    answers : mapping of int to Answer
        Verdicts so far, by the unit's position.
    pictures : sequence of str
        Names of the pictures of the units, if there are.

    Raises
    ------
    ImPartialError
        If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for at, unit in enumerate(check.units):
        kind, answer = check.kind(unit), answers.get(at)
        y0, x0, y1, x1 = unit.box
        writer.writerow(
            {
                **_of_image(check, unit.image),
                "number": at + 1,
                "plane": " ".join(str(i) for i in unit.plane),
                "y": (y0 + y1) // 2,
                "x": (x0 + x1) // 2,
                **dict(zip(("y0", "x0", "y1", "x1"), unit.box, strict=True)),
                "kind": str(kind),
                "label": unit.label or "",
                "question": question(kind),
                "verdict": "" if answer is None else verdict_word(kind, answer),
                "cells": answer.cells if answer is not None and answer.sure else "",
                "picture": pictures[at] if pictures else "",
                "stratum": unit.stratum + 1,
                "stratum_size": check.strata[unit.stratum].size,
            }
        )
    drawn = {unit.image for unit in check.units}
    for image in range(len(check.images)):
        if image not in drawn:
            writer.writerow({**_of_image(check, image), "kind": NOT_DRAWN})
    with atomic_path(path) as temporary:
        # The mark at the beginning tells spreadsheet programs how letters are written.
        temporary.write_text(text.getvalue(), encoding="utf-8-sig", newline="")


def read_sheet(path: str | os.PathLike[str]) -> tuple[SpotCheck, dict[int, Answer]]:
    """Read a protocol with its verdicts, as :func:`write_sheet` or a spreadsheet left it.

    Returns
    -------
    SpotCheck, dict of int to Answer
        The verdicts by the unit's position. Rows without a verdict are open.

    Raises
    ------
    ImPartialError
        If it is no such sheet, or a verdict is none; the message names the row.
    """
    images: dict[str, int] = {}
    groups: list[str] = []
    strata: dict[int, tuple[Kind, int]] = {}
    of_image: dict[int, dict[int, int]] = {}
    units: list[Unit] = []
    answers: dict[int, Answer] = {}
    rows = _rows(Path(path))
    for number, row in rows:
        where = f"Row {number} of {path}"
        image = images.setdefault(row["image"], len(images))
        if image == len(groups):
            groups.append(row["group"])
        for at, n in _UNITS.findall(row["units_of_image"]):
            of_image.setdefault(int(at) - 1, {})[image] = int(n)
        if row["kind"] == NOT_DRAWN:
            continue
        unit, kind = _unit(row, image, where)
        strata[unit.stratum] = kind, _whole(row, "stratum_size", where)
        answer = _answer(row, kind, where)
        if answer is not None:
            answers[len(units)] = answer
        units.append(unit)
    check = SpotCheck(
        images=tuple(images),
        groups=tuple(groups),
        strata=tuple(Stratum(strata[at][0], of_image.get(at, {})) for at in sorted(strata)),
        units=tuple(units),
        seed=_whole(rows[0][1], "seed", f"Row {rows[0][0]} of {path}"),
    )
    _check_whole(check, strata, path)
    return check, answers


def _of_image(check: SpotCheck, image: int) -> dict[str, object]:
    """Return what all rows of an image say."""
    there = [(at, one.of_image.get(image, 0)) for at, one in enumerate(check.strata, start=1)]
    return {
        "image": check.images[image],
        "group": check.groups[image],
        "units_of_image": " ".join(f"stratum {at}={n}" for at, n in there if n),
        "seed": check.seed,
    }


def _unit(row: Mapping[str, str], image: int, where: str) -> tuple[Unit, Kind]:
    try:
        kind = Kind(row["kind"])
    except ValueError:
        raise ImPartialError(f"{where} is of the unknown kind {row['kind']!r}.") from None
    try:
        plane = tuple(int(part) for part in row["plane"].split())
    except ValueError:
        raise ImPartialError(f"{where} names no plane with {row['plane']!r}.") from None
    y0, x0, y1, x1 = (_whole(row, edge, where) for edge in ("y0", "x0", "y1", "x1"))
    label = _whole(row, "label", where) if row["label"] else 0
    at = _whole(row, "stratum", where) - 1
    return Unit(image, plane, (y0, x0, y1, x1), label, at), kind


def _check_whole(
    check: SpotCheck, strata: Mapping[int, tuple[Kind, int]], path: str | os.PathLike[str]
) -> None:
    """Check that rows were neither copied nor lost, but for those of some objects and places."""
    gap = next(at for at in range(len(strata) + 1) if at not in strata)
    if gap < len(strata):
        raise ImPartialError(
            f"{path} lacks rows: there is none of stratum {gap + 1}; leave the verdict empty where "
            "there is none, and keep the row."
        )
    for at, stratum in enumerate(check.strata):
        drawn = [unit.image for unit in check.units if unit.stratum == at]
        if stratum.size != strata[at][1] or any(
            drawn.count(image) > stratum.of_image.get(image, 0) for image in set(drawn)
        ):
            raise ImPartialError(
                f"The rows of stratum {at + 1} in {path} do not add up to what it was drawn from; "
                "rows must be neither copied nor removed."
            )


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows with their numbers, as a spreadsheet counts them."""
    content = check_file(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    names = [name.strip().lower() for name in table[0]] if table else []
    missing = [name for name in COLUMNS if name not in names and name != "picture"]
    if missing:
        raise ImPartialError(
            f"{path} is no protocol of a spot check: it lacks the column {missing[0]!r}; give the "
            "sheet that --sheet or the window wrote."
        )
    rows = [
        (number, {name: cell.strip() for name, cell in zip(names, cells, strict=False)})
        for number, cells in enumerate(table[1:], start=2)
        if any(cell.strip() for cell in cells)
    ]
    if not rows:
        raise ImPartialError(f"{path} has no rows; draw a sample with --sheet first.")
    return [(number, {name: row.get(name, "") for name in names}) for number, row in rows]


def _whole(row: Mapping[str, str], name: str, where: str) -> int:
    try:
        value = int(row[name])
    except ValueError:
        value = -1
    if value < 0:
        raise ImPartialError(f"{where} has {row[name]!r} for {name!r}; that is no whole number.")
    return value


def _answer(row: Mapping[str, str], kind: Kind, where: str) -> Answer | None:
    word = " ".join(row["verdict"].lower().replace("\u2019", "'").split())
    if not word:
        if row["cells"]:
            raise ImPartialError(f"{where} has a number of cells and no verdict; fill both in.")
        return None
    if word in _UNSURE_WORDS:
        return UNSURE
    place, least, only = _WORDS.get(word, (not kind.is_place, 0, False))
    if place != kind.is_place:
        allowed = [
            f"'{one}'"
            for one in (RIGHT_WORD, WRONG_WORD, SEVERAL_WORD, NO_CELL_WORD, FINE_WORD, MISSED_WORD)
            if _WORDS[one][0] == kind.is_place
        ]
        raise ImPartialError(
            f"{where} has the verdict {row['verdict']!r}; it can be {', '.join(allowed)} or "
            f"'{UNSURE_WORD}'."
        )
    cells = _whole(row, "cells", where) if row["cells"] else least
    if cells < least or (only and cells > least):
        raise ImPartialError(f"{where} says {row['verdict']!r} and {cells} cells; correct one.")
    return Answer(word == RIGHT_WORD, cells)
