"""One image of the session, and its planes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_impartial.core.review.review import Verdict
from napari_impartial.core.review.round_changes import UNKNOWN

from .plane import Plane, PlaneIndex


@dataclass(frozen=True)
class Tally:
    """Counts over all planes of one image.

    Attributes
    ----------
    strokes : int
        Connected pieces of any class.
    cells : int
        Annotated cells (:meth:`Scribbles.cells`).
    objects : int or None
        Objects found; None where nothing is predicted.
    """

    strokes: int
    cells: int
    objects: int | None


@dataclass(frozen=True)
class SlideDecision:
    """Decision about an object of a slide.

    Attributes
    ----------
    verdict : Verdict
        Accepted or rejected; corrections are made in fields.
    box : (y0, x0, y1, x1)
        Round the object, in pixels of the slide's finest resolution.
    plane : tuple of int
    kind : str
        What the object was counted as; "" where there are no kinds.
    """

    verdict: Verdict
    box: tuple[float, float, float, float]
    plane: PlaneIndex = ()
    kind: str = ""


@dataclass(frozen=True)
class SlideResult:
    """Results of a slide, which are on disk.

    Attributes
    ----------
    store, table, places : Path
        The OME-Zarr store, the measurements and the suggestions.
    level : int
        Resolution that was predicted, 0 the finest.
    n_objects : int
    classes : dict of str to int
        Objects of each kind.
    predicted_by : int
        Number of the round, or `LOADED` and its like, as of a plane.
    mark : str
        What tells this result from others of the same slide.
    decided : mapping of int to SlideDecision
        Decisions about objects, by their numbers.
    decided_on : str
        The mark of the result that the numbers are of.
    """

    store: Path
    table: Path
    places: Path
    level: int
    n_objects: int
    classes: dict[str, int] = field(default_factory=dict)
    predicted_by: int = UNKNOWN
    mark: str = ""
    decided: Mapping[int, SlideDecision] = field(default_factory=dict)
    decided_on: str = ""

    @property
    def decisions(self) -> Mapping[int, SlideDecision]:
        """Decisions about objects of this result, and none about those of an earlier one."""
        return self.decided if self.decided_on == self.mark else {}

    @property
    def is_settled(self) -> bool:
        """Return whether no decisions about an earlier result wait to be taken over."""
        return not self.decided or self.decided_on == self.mark

    @property
    def rejected(self) -> list[int]:
        """Numbers of the objects that were rejected."""
        return [i for i, one in self.decisions.items() if one.verdict is Verdict.REJECTED]

    @property
    def n_left(self) -> int:
        """Number of objects but for those that were rejected."""
        return self.n_objects - len(self.rejected)

    @property
    def is_decided(self) -> bool:
        """Return whether there is a decision about each object."""
        return bool(self.decisions) and len(self.decisions) >= self.n_objects

    def with_decisions(self, decisions: Mapping[int, SlideDecision]) -> SlideResult:
        """Return the result with other decisions about its objects."""
        return replace(self, decided=decisions, decided_on=self.mark)

    def words(self) -> str:
        """Count the objects that are left, and where there are kinds, each of these."""
        told = f"{self.n_left:,} object{'' if self.n_left == 1 else 's'}"
        if len(self.classes) < 2:
            return told
        gone = Counter(self.decisions[i].kind for i in self.rejected)
        kinds = (f"{name} {n - gone[name]:,}" for name, n in self.classes.items())
        return f"{told} ({', '.join(kinds)})"

    def decided_plain(self) -> dict[str, Any]:
        """Return the decisions in plain values."""
        return {
            str(label): [str(one.verdict), list(one.box), list(one.plane), one.kind]
            for label, one in self.decided.items()
        }


def decided_of(plain: Mapping[str, Any]) -> dict[int, SlideDecision]:
    """Return decisions from what :meth:`SlideResult.decided_plain` has returned.

    Raises
    ------
    ValueError, TypeError
        If it is damaged.
    """
    found = {}
    for label, (verdict, (y0, x0, y1, x1), plane, kind) in plain.items():
        box = float(y0), float(x0), float(y1), float(x1)
        where = tuple(int(i) for i in plane)
        found[int(label)] = SlideDecision(Verdict(verdict), box, where, str(kind))
    return found


@dataclass
class ImageRecord:
    """One image of the session, by the key that its owner gave it.

    `asleep` are planes as they were before the image's pixels became of another size
    (:mod:`.misfits`). `is_slide` says that it is too large to be worked on whole, and `on_disk`
    what there is of it then.
    """

    key: int
    name: str
    channel_names: tuple[str, ...]
    planes: dict[PlaneIndex, Plane] = field(default_factory=dict)
    asleep: dict[PlaneIndex, Plane] = field(default_factory=dict)
    reviewed: bool = False
    is_slide: bool = False
    on_disk: SlideResult | None = None

    @property
    def n_channels(self) -> int:
        """Number of channels in use."""
        return len(self.channel_names)

    def plane(self, index: PlaneIndex) -> Plane:
        """Return what is known of a plane, nothing at first."""
        return self.planes.setdefault(index, Plane())

    @property
    def annotated(self) -> list[PlaneIndex]:
        """Planes with scribbles."""
        return [index for index, plane in sorted(self.planes.items()) if plane.classes]

    @property
    def is_reviewed(self) -> bool:
        """Return whether the user said so, or has decided on each object."""
        shown = [plane for plane in self.planes.values() if plane.instances is not None]
        if self.on_disk is not None and self.on_disk.is_decided:
            return True
        return self.reviewed or (bool(shown) and all(plane.is_decided for plane in shown))

    @property
    def tally(self) -> Tally:
        """Strokes, annotated cells and objects of all planes; what did not change is known."""
        painted = [p.scribbles for p in self.planes.values() if p.scribbles is not None]
        counts = [p.n_objects for p in self.planes.values() if p.instances is not None]
        counts += [] if self.on_disk is None else [self.on_disk.n_left]
        return Tally(
            sum(sum(scribbles.strokes().values()) for scribbles in painted),
            sum(sum(scribbles.cells().values()) for scribbles in painted),
            sum(counts) if counts else None,
        )
