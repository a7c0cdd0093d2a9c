"""A spot check that is under way: what was drawn, what was said, what has changed since."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.spot_check import (
    Answer,
    Kind,
    PlaneLabels,
    PlaneTable,
    SpotCheck,
    Stratum,
    Unit,
    draw,
)

from .plane import Plane, PlaneKey
from .session import Session

_DAMAGED = "The sample of 'Is it good enough?' is damaged; draw a new one."


@dataclass
class JudgedSample:
    """A sample with the verdicts so far.

    Attributes
    ----------
    check : SpotCheck
    keys : list of int or None
        Key in the session of each image that was drawn from; None of one that is gone.
    prints : list of int
        What the pixels of each unit hashed to when it was drawn; 0 of slides.
    origins : mapping of (image, plane) to (int, str)
        Number of the round that each plane that was drawn from was predicted by, and the
        settings that it was cut with, or of a slide the mark of its result.
    answers : dict of int to Answer
        Verdicts by the unit's position.
    """

    check: SpotCheck
    keys: list[int | None]
    prints: list[int]
    origins: dict[tuple[int, tuple[int, ...]], tuple[int, str]]
    answers: dict[int, Answer] = field(default_factory=dict)

    def place(self, at: int) -> PlaneKey | None:
        """Return where a unit lies in the session; None if its image is gone."""
        unit = self.check.units[at]
        key = self.keys[unit.image]
        return None if key is None else (key, unit.plane)

    def next_open(self, after: int = -1) -> int | None:
        """Return the first unit without a verdict after another, or from the start."""
        n = len(self.check.units)
        turns = (i % n for i in range(after + 1, after + 1 + n))
        return next((i for i in turns if i not in self.answers), None)

    @property
    def n_open(self) -> int:
        """Number of units without a verdict."""
        return len(self.check.units) - len(self.answers)


def drawable(session: Session) -> list[PlaneKey]:
    """Return the planes whose objects are a result, and not what a training shows."""
    return [
        (key, index)
        for key, record in session.images.items()
        for index, plane in sorted(record.planes.items())
        if plane.instances is not None and not plane.previewed
    ]


def draw_sample(
    session: Session,
    n: int,
    seed: int,
    group_of: Callable[[int], str] = lambda _: "",
    slide: Sequence[PlaneTable] = (),
) -> JudgedSample:
    """Draw from all results of a session, or from the slide in front alone.

    Parameters
    ----------
    n : int
        Objects and places together.
    seed : int
    group_of : callable
        Gives the well or group of an image by its key; "" for none.
    slide : sequence of PlaneTable
        Of the slide in front, if that is to be judged: fields of it are parts of it.

    Raises
    ------
    ImPartialError
        If there is nothing to draw from.
    """
    if slide and session.record is not None and session.record.on_disk is not None:
        record, result = session.record, session.record.on_disk
        check = draw([record.name], slide, n, seed, [group_of(record.key)])
        origin = result.predicted_by, result.mark
        origins = {(0, one.plane): origin for one in slide}
        return JudgedSample(check, [record.key], [0] * len(check.units), origins)
    places = drawable(session)
    keys = list(dict.fromkeys(key for key, _ in places))
    planes = []
    for key, index in places:
        labels = session.images[key].planes[index].instances
        assert labels is not None
        planes.append(PlaneLabels(keys.index(key), labels, index))
    groups = [group_of(key) for key in keys]
    check = draw([session.images[key].name for key in keys], planes, n, seed, groups)
    known = {(one.image, one.plane): one.labels for one in planes}
    return JudgedSample(
        check,
        list(keys),
        [_print(known[unit.image, unit.plane], unit) for unit in check.units],
        {
            (keys.index(key), index): _origin(session.images[key].planes[index])
            for key, index in places
        },
    )


def is_outdated(session: Session, sample: JudgedSample) -> bool:
    """Return whether there are other objects by now than those that a sample was drawn from.

    Objects that were corrected, accepted or rejected meanwhile, or that follow strokes, are no
    reason: what was drawn is known, and the verdict is about that. Those that another round
    predicted are, and those that differ since they were cut with other settings.
    """
    for (image, index), (number, settings) in sample.origins.items():
        key = sample.keys[image]
        record = None if key is None else session.images.get(key)
        if record is not None and record.is_slide:
            if record.on_disk is not None and record.on_disk.mark != settings:
                return True
            continue
        plane = _plane(session, sample.keys[image], index)
        if plane is not None and plane.instances is not None and plane.predicted_by != number:
            return True
    for at, unit in enumerate(sample.check.units):
        plane = _plane(session, sample.keys[unit.image], unit.plane)
        if at in sample.answers or plane is None or plane.instances is None or plane.previewed:
            continue
        was = sample.origins.get((unit.image, unit.plane))
        # After a session was opened it is a moment until it is known how a plane was cut.
        if plane.cut_by is None or was == _origin(plane):
            continue
        if _print(plane.instances, unit) != sample.prints[at]:
            return True
    return False


def _origin(plane: Plane) -> tuple[int, str]:
    return plane.predicted_by, repr(plane.cut_by)


def _plane(session: Session, key: int | None, index: tuple[int, ...]) -> Plane | None:
    record = None if key is None else session.images.get(key)
    return None if record is None else record.planes.get(index)


def _print(labels: npt.NDArray[np.integer], unit: Unit) -> int:
    y0, x0, y1, x1 = unit.box
    part = labels[y0:y1, x0:x1]
    return zlib.crc32(np.packbits(part == unit.label if unit.label else part > 0).tobytes())


def to_plain(sample: JudgedSample, session: Session) -> dict[str, Any]:
    """Return a sample as plain values, its images by the names that they have now."""
    check = sample.check
    known = {key: record.name for key, record in session.images.items()}
    names = [None if key is None else known.get(key) for key in sample.keys]
    return {
        "images": list(check.images),
        "names": names,
        "groups": list(check.groups),
        "seed": check.seed,
        "strata": [
            {"kind": str(one.kind), "of_image": list(one.of_image.items())} for one in check.strata
        ],
        "units": [astuple(unit) for unit in check.units],
        "prints": list(sample.prints),
        "origins": [(*place, *origin) for place, origin in sample.origins.items()],
        "answers": [(at, *astuple(one)) for at, one in sample.answers.items()],
    }


def from_plain(saved: Mapping[str, Any], session: Session) -> JudgedSample:
    """Return the sample that :func:`to_plain` made plain values of.

    Raises
    ------
    ImPartialError
        If they are not.
    """
    try:
        sample = _sample(saved, session)
        positions = range(len(sample.check.units))
        images, strata = (range(len(x)) for x in (sample.check.images, sample.check.strata))
        fits = (
            len(sample.keys) == len(sample.check.groups) == len(images)
            and len(sample.prints) == len(positions)
            and all(u.image in images and u.stratum in strata for u in sample.check.units)
            and all(image in images for image, _ in sample.origins)
            and all(at in positions and one.cells >= 0 for at, one in sample.answers.items())
            and all(type(v) is bool for a in saved["answers"] for v in (a[1], a[3]))
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ImPartialError(_DAMAGED) from error
    if not fits:
        raise ImPartialError(_DAMAGED)
    return sample


def _sample(saved: Mapping[str, Any], session: Session) -> JudgedSample:
    by_name = {record.name: key for key, record in session.images.items()}
    check = SpotCheck(
        tuple(saved["images"]),
        tuple(saved["groups"]),
        tuple(
            Stratum(Kind(one["kind"]), {int(i): int(n) for i, n in one["of_image"]})
            for one in saved["strata"]
        ),
        tuple(
            Unit(int(image), tuple(plane), (box[0], box[1], box[2], box[3]), int(label), int(at))
            for image, plane, box, label, at in saved["units"]
        ),
        int(saved["seed"]),
    )
    return JudgedSample(
        check,
        [by_name.get(name) for name in saved["names"]],
        [int(value) for value in saved["prints"]],
        {(int(i), tuple(plane)): (int(n), str(by)) for i, plane, n, by in saved["origins"]},
        {int(at): Answer(bool(r), int(n), bool(sure)) for at, r, n, sure in saved["answers"]},
    )
