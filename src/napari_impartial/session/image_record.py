"""One image of the session, and its planes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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
    """

    store: Path
    table: Path
    places: Path
    level: int
    n_objects: int
    classes: dict[str, int] = field(default_factory=dict)
    predicted_by: int = UNKNOWN

    def words(self) -> str:
        """Count the objects, and where there are kinds, each of these."""
        told = f"{self.n_objects:,} object{'' if self.n_objects == 1 else 's'}"
        if len(self.classes) < 2:
            return told
        return f"{told} ({', '.join(f'{name} {n:,}' for name, n in self.classes.items())})"


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
        return self.reviewed or (bool(shown) and all(plane.is_decided for plane in shown))

    @property
    def tally(self) -> Tally:
        """Strokes, annotated cells and objects of all planes; what did not change is known."""
        painted = [p.scribbles for p in self.planes.values() if p.scribbles is not None]
        counts = [p.n_objects for p in self.planes.values() if p.instances is not None]
        counts += [] if self.on_disk is None else [self.on_disk.n_objects]
        return Tally(
            sum(sum(scribbles.strokes().values()) for scribbles in painted),
            sum(sum(scribbles.cells().values()) for scribbles in painted),
            sum(counts) if counts else None,
        )
