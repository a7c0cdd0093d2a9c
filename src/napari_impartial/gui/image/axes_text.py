"""Meaning of an image's axes in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from napari_impartial.core.words import count

_KINDS = {"T": "time point", "Z": "slice"}


def explain_axes(axes: str, shape: Sequence[int], several_layers: bool = False) -> str:
    """Say what an image of these axes is taken for.

    Parameters
    ----------
    axes
        One letter of ``TZCYX`` for each entry of `shape`.
    shape
        Lengths of the axes.
    several_layers
        Whether there are channels in other layers, too.

    Returns
    -------
    str
        A sentence, such as ``40 slices (Z) of 512 x 512 px, each segmented by itself; 3
        channels.``
    """
    length = dict(zip(axes, shape, strict=True))
    size = f"{length['Y']} x {length['X']} px"
    n = length.get("C", 1)
    channels = count(n, "channel")
    if several_layers:
        # Without it this would contradict the table, which lists the channels of all layers.
        channels += " in this layer"
    stacked = [f"{count(length[a], _KINDS[a])} ({a})" for a in "TZ" if a in axes]
    if not stacked:
        if several_layers and n == 1:
            return f"One picture of {size} in each layer."
        return f"One picture of {size} with {channels}."
    return f"{' x '.join(stacked)} of {size}, each segmented by itself; {channels}."


def other_readings(axes: str, shape: Sequence[int]) -> list[tuple[str, str]]:
    """Return what else axes of that number could be, with what the doubtful one is then.

    Only one axis is ever in doubt: the one that is taken for channels, or where there
    are none the one that is taken for slices or time points. One of a single entry is no matter.
    """
    words = {"C": "channels", "Z": "slices", "T": "time points"}
    doubtful = next((a for a in "CZT" if a in axes), None)
    if doubtful is None or shape[axes.index(doubtful)] == 1:
        return []
    others = [a for a in "ZTC" if a not in axes]
    return [(axes.replace(doubtful, other), words[other]) for other in others]
