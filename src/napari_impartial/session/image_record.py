"""One image of the session, and its planes."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass
class ImageRecord:
    """One image of the session, by the key that its owner gave it.

    `asleep` are planes as they were before the image's pixels became of another size
    (:mod:`.misfits`).
    """

    key: int
    name: str
    channel_names: tuple[str, ...]
    planes: dict[PlaneIndex, Plane] = field(default_factory=dict)
    asleep: dict[PlaneIndex, Plane] = field(default_factory=dict)
    reviewed: bool = False

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
        return self.reviewed or (bool(shown) and all(plane.is_decided for plane in shown))

    @property
    def tally(self) -> Tally:
        """Strokes, annotated cells and objects of all planes; what did not change is known."""
        painted = [p.scribbles for p in self.planes.values() if p.scribbles is not None]
        counts = [p.n_objects for p in self.planes.values() if p.instances is not None]
        return Tally(
            sum(sum(scribbles.strokes().values()) for scribbles in painted),
            sum(sum(scribbles.cells().values()) for scribbles in painted),
            sum(counts) if counts else None,
        )
