"""Annotation derived from decisions about objects, and the form that is stored."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_impartial.core.data.mask_scribbles import from_instances
from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND, NOT_ANNOTATED, Scribbles
from napari_impartial.core.errors import ImPartialError

from .review import Labels, Mask, Region, Review, Verdict

_EIGHT = np.ones((3, 3), dtype=bool)


def background_stroke(labels: Labels, region: Region) -> Mask:
    """Return the pixels of a rejected object's mask to paint as background.

    Pixels next to another object are left out, because its outline may be off by one;
    unless that leaves less than half.
    """
    height, width = labels.shape
    y0, x0 = max(region.y0 - 1, 0), max(region.x0 - 1, 0)
    rows, cols = region.window
    outer = slice(y0, min(rows.stop + 1, height)), slice(x0, min(cols.stop + 1, width))
    others = labels[outer] > 0
    inner = (
        slice(region.y0 - y0, region.y0 - y0 + region.mask.shape[0]),
        slice(region.x0 - x0, region.x0 - x0 + region.mask.shape[1]),
    )
    others[inner] &= ~region.mask
    near = ndimage.binary_dilation(others, structure=_EIGHT)[inner]
    stroke = region.mask & ~near
    return stroke if 2 * stroke.sum() >= region.mask.sum() else region.mask


def annotation(review: Review, labels: Labels) -> Scribbles:
    """Turn decisions into scribbles.

    A corrected object gives what a drawn mask gives (:func:`mask_scribbles.from_instances`):
    foreground inside, background round it, but no background where another object is
    shown. An accepted one gives foreground alone: its outline is still the model's, and a
    ring round it would teach the model its own opinion. Erased pixels are background.
    Rejected objects give nothing here; their background stands in the scribble layer.

    Parameters
    ----------
    labels : (Y, X) int32
        What is shown.

    Returns
    -------
    Scribbles
        Of the labels' shape.
    """
    out = np.zeros(labels.shape, dtype=np.uint8)
    for region in review.empty:
        if region.verdict is Verdict.ERASED:
            free = region.mask & (labels[region.window] == 0)
            out[region.window][free] = BACKGROUND
    if not review.kept:
        return Scribbles(out)
    window = _padded_window(review.kept.values(), labels.shape)
    drawn = {
        verdict: np.zeros(labels[window].shape, np.int32)
        for verdict in (Verdict.ACCEPTED, Verdict.CORRECTED)
    }
    kind = np.zeros(drawn[Verdict.ACCEPTED].shape, np.uint8)
    at = np.array([window[0].start, window[1].start])
    for number, region in enumerate(review.kept.values(), start=1):
        part = tuple(slice(s.start - o, s.stop - o) for s, o in zip(region.window, at, strict=True))
        drawn[region.verdict][part][region.mask] = number
        kind[part][region.mask] = region.kind
    strokes = from_instances(drawn[Verdict.CORRECTED]).labels
    others = (labels[window] > 0) & (drawn[Verdict.CORRECTED] == 0)
    strokes[(strokes == BACKGROUND) & others] = NOT_ANNOTATED
    accepted = from_instances(drawn[Verdict.ACCEPTED]).labels
    strokes[accepted == FOREGROUND] = FOREGROUND
    inside = strokes == FOREGROUND
    strokes[inside] = kind[inside]
    part_of_all = out[window]
    part_of_all[strokes > 0] = strokes[strokes > 0]
    return Scribbles(out)


def withdrawn(review: Review, scribbles: npt.NDArray[np.integer] | None) -> list[Region]:
    """Return rejected objects whose background stroke has been taken away again.

    That is how a rejection is undone with the scribble layer's own undo or eraser.

    Parameters
    ----------
    scribbles : (Y, X) integer array or None
        The scribble layer; None if there is none any more, which takes nothing back.
    """
    if scribbles is None:
        return []
    return [
        region
        for region in review.empty
        if region.verdict is Verdict.REJECTED
        and 4 * int((scribbles[region.window][region.mask] == BACKGROUND).sum())
        < int(region.mask.sum())
    ]


def to_bytes(review: Review) -> npt.NDArray[np.uint8]:
    """Return a review as the bytes of an .npz file, to be saved without pickle.

    It holds ``labels``, ``verdicts`` (text), ``kinds``, ``boxes`` (N, 4) as y0, x0, height,
    width; ``pixels``, the masks one after the other, packed into bits.
    """
    regions = [*review.kept.values(), *review.empty]
    masks = [region.mask.reshape(-1) for region in regions]
    boxes = [(region.y0, region.x0, *region.mask.shape) for region in regions]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        allow_pickle=False,
        labels=np.array([region.label for region in regions], dtype=np.int64),
        verdicts=np.array([str(region.verdict) for region in regions], dtype="U9"),
        kinds=np.array([region.kind for region in regions], dtype=np.uint8),
        boxes=np.array(boxes, dtype=np.int64).reshape(-1, 4),
        pixels=np.packbits(np.concatenate([np.zeros(0, dtype=bool), *masks])),
    )
    return np.frombuffer(file.getvalue(), dtype=np.uint8)


def from_bytes(content: npt.NDArray[np.uint8]) -> Review:
    """Return the review that :func:`to_bytes` was given.

    Raises
    ------
    ImPartialError
        If the bytes are damaged.
    """
    try:
        with np.load(io.BytesIO(content.tobytes()), allow_pickle=False) as arrays:
            return _from_arrays(arrays)
    except Exception as error:
        # A flipped bit may ask for a password, another compression or a year's memory.
        raise ImPartialError(f"The decisions about objects cannot be read ({error}).") from error


def _from_arrays(arrays: Mapping[str, npt.NDArray[np.generic]]) -> Review:
    boxes = np.asarray(arrays["boxes"]).reshape(-1, 4)
    bits = np.unpackbits(np.asarray(arrays["pixels"], dtype=np.uint8)).astype(bool)
    kept: dict[int, Region] = {}
    empty: list[Region] = []
    at = 0
    for label, word, kind, (y0, x0, height, width) in zip(
        arrays["labels"], arrays["verdicts"], arrays["kinds"], boxes, strict=True
    ):
        mask = bits[at : at + height * width].reshape(height, width)
        at += height * width
        region = Region(int(label), Verdict(str(word)), int(y0), int(x0), mask, int(kind))
        if region.label < 0 or region.kind < FOREGROUND or not mask.any():
            raise ValueError("an object has no pixels, or is of no class")
        if region.verdict in (Verdict.ACCEPTED, Verdict.CORRECTED):
            kept[region.label] = region
        else:
            empty.append(region)
    return Review(kept, tuple(empty))


def _padded_window(regions: Iterable[Region], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the box round all regions and their rings."""
    pad = 3
    windows = [region.window for region in regions]
    y0, x0 = (max(min(w[axis].start for w in windows) - pad, 0) for axis in (0, 1))
    y1, x1 = (min(max(w[axis].stop for w in windows) + pad, shape[axis]) for axis in (0, 1))
    return slice(y0, y1), slice(x0, x1)
