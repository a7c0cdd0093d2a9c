"""Names of classes: one rule for models, tables and the window."""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_impartial.core.errors import ImPartialError

from .scribbles import BACKGROUND, FOREGROUND

LONGEST = 40
"""Characters of a name, at most."""

# What earlier models call kinds of cell that nobody named.
_MADE_UP = re.compile(r"foreground( \d+)?")


def usual_name(label: int) -> str:
    """Return what a class is called, by the label that it is painted with, until it has a name."""
    if label <= FOREGROUND:
        return "Background" if label == BACKGROUND else "Cell"
    return f"Cell {label - BACKGROUND}"


def is_usual(label: int, name: str) -> bool:
    """Return whether a name is one that nobody gave."""
    return name == usual_name(label) or bool(_MADE_UP.fullmatch(name))


def check_name(name: str) -> str:
    """Return a name as it is kept, with single spaces; empty for none.

    Raises
    ------
    ImPartialError
        If it cannot be a name in tables, commands and buttons.
    """
    name = " ".join(name.split())
    if len(name) > LONGEST:
        raise ImPartialError(
            f"'{name[:LONGEST]}...' is too long for a name; use {LONGEST} characters at most."
        )
    if name and not (name[0].isalnum() and name.isprintable()):
        raise ImPartialError(
            f"'{name}' cannot be a name; begin with a letter or a digit, such as 'CD8+'."
        )
    return name


def same_name(one: str, other: str) -> bool:
    """Return whether a reader would take two names for the same."""
    return one.casefold() == other.casefold()


def check_order(kinds: Sequence[str], known: Sequence[str]) -> None:
    """Check that kinds of cell are not called what a model calls others of its kinds.

    Parameters
    ----------
    kinds, known : sequence of str
        Names that are given, and those of the model, in the order of their labels from 2 on.

    Raises
    ------
    ImPartialError
        Naming the first one.
    """
    for label, name in enumerate(kinds, start=FOREGROUND):
        for other, earlier in enumerate(known, start=FOREGROUND):
            if label != other and same_name(name, earlier):
                raise ImPartialError(
                    f"Label {label} is called {name}, which is label {other} in the model to "
                    f"continue from ({', '.join(known)}); name the kinds in its order, or train a "
                    "new model."
                )


def class_names(
    n_classes: int, kinds: Sequence[str] = (), known: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the classes' names, background first.

    Parameters
    ----------
    n_classes : int
        2 or more.
    kinds : sequence of str, optional
        Names of the kinds of cell, in the order of their labels from 2 on; empty ones, and those
        that are missing, are as in `known`, or usual ones.
    known : sequence of str, optional
        Those of the model that is gone on from.

    Raises
    ------
    ImPartialError
        If there are more names than kinds, or two classes have the same.
    """
    if len(kinds) > n_classes - 1:
        raise ImPartialError(
            f"{len(kinds)} kinds of cell are named ({', '.join(kinds)}), but {n_classes - 1} "
            f"{'is' if n_classes == 2 else 'are'} painted; name those that are, in the order of "
            "their labels from 2 on."
        )
    names = ["background"]
    for number, label in enumerate(range(FOREGROUND, n_classes + 1)):
        given = check_name(kinds[number]) if number < len(kinds) else ""
        earlier = known[number] if number < len(known) else ""
        names.append(given or earlier or usual_name(label))
    for number, name in enumerate(names):
        if any(same_name(name, other) for other in names[:number]):
            raise ImPartialError(f"Two classes are called '{name}'; give each its own name.")
    return tuple(names)
