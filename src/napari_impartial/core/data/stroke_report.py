"""Agreement of a model with the strokes that it learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Place = tuple[int, int, int]
"""Image number, row and column."""

# Share of a class's strokes that is predicted as another from which this alone is reported.
MISTAKEN = 0.3
_UNLIKE = "unlike the others"


@dataclass(frozen=True)
class StrokeReport:
    """Agreement of a model's own predictions with the strokes it learned from.

    Attributes
    ----------
    strokes : int
        Foreground strokes that were looked at.
    foreground_fit, background_fit : float
        Share of the pixels of strokes that are predicted as cells, of whatever class, and as
        background, 0 to 1.
    divided, shared : int
        Foreground strokes that run through several objects, and that share one, before
        the strokes are imposed on the objects.
    in_no_object, contradicting : tuple of (image, y, x)
        Where foreground strokes lie in no object, and where strokes of any class are
        predicted as another although they were learned.
    class_fit : float
        Share of the pixels of foreground strokes that are predicted as their class rather than
        another foreground class, 0 to 1.
    """

    strokes: int
    foreground_fit: float
    background_fit: float
    divided: int
    shared: int
    in_no_object: tuple[Place, ...]
    contradicting: tuple[Place, ...]
    class_fit: float = 1.0

    @property
    def fit(self) -> float:
        """Share of strokes that fit, cells and background counting the same."""
        return (self.foreground_fit + self.background_fit) / 2

    def remarks(self, n_objects: int | None = None) -> list[tuple[str, str]]:
        """Return what there is to say to the user, in words.

        Parameters
        ----------
        n_objects : int, optional
            Objects that were found, where they are to be told.

        Returns
        -------
        list of (words, places)
            `places` names the attribute that holds where; empty where it is nowhere.
        """
        for share, painted, seen in (
            (1 - self.foreground_fit, "cell", "background"),
            (1 - self.background_fit, "background", "cells"),
            (1 - self.class_fit, "cell", "cells of another class"),
        ):
            if share >= MISTAKEN:
                words = (
                    f"{share:.0%} of your {painted} strokes are still predicted as {seen}: "
                    "check these strokes, or train longer"
                )
                return [(words, "contradicting" if self.contradicting else "")]
        found = [(f"{self.fit:.0%} of your strokes fit", "")]
        if n_objects is not None:
            found.append((f"{n_objects} object{'' if n_objects == 1 else 's'}", ""))
        for places, said in (("in_no_object", "in no object"), ("contradicting", _UNLIKE)):
            if count := len(getattr(self, places)):
                found.append((f"{count} stroke{' is' if count == 1 else 's are'} {said}", places))
        return found

    def verdict(self, n_objects: int | None = None) -> str:
        """Return the remarks as one sentence."""
        return "; ".join(words for words, _ in self.remarks(n_objects)) + "."

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StrokeReport:
        """Return the report that ``dataclasses.asdict`` made, after a way through JSON.

        Raises
        ------
        KeyError, TypeError, ValueError, OverflowError
            If it is not one.
        """
        report = cls(
            int(values["strokes"]),
            float(values["foreground_fit"]),
            float(values["background_fit"]),
            int(values["divided"]),
            int(values["shared"]),
            _places(values["in_no_object"]),
            _places(values["contradicting"]),
            # Cards of earlier versions do not say it.
            float(values.get("class_fit", 1.0)),
        )
        shares = report.foreground_fit, report.background_fit, report.class_fit
        if min(report.strokes, report.divided, report.shared) < 0:
            raise ValueError("a count is negative")
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("a share is not between 0 and 1")
        return report


def _places(values: list[list[int]]) -> tuple[Place, ...]:
    return tuple((int(number), int(y), int(x)) for number, y, x in values)
