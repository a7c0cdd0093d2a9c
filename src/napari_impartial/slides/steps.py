"""Steps on a block, for any worker, in any order within a stage, and repeatable.

Each step writes files of its own, whole or not at all, and the same whoever does it. A step that
has been done is not done again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels

from napari_impartial.core.data.image import scale, to_float32
from napari_impartial.core.data.label_images import numbered
from napari_impartial.core.instances.doubt import settled
from napari_impartial.core.instances.linking import REACH, renumbered
from napari_impartial.core.instances.object_sums import ObjectSums, add_up
from napari_impartial.core.instances.overlaps import Overlaps, find_overlaps
from napari_impartial.core.instances.parts import Whole, cut_part, prepare
from napari_impartial.core.instances.seams import claim
from napari_impartial.core.instances.strokes import find_strokes, impose
from napari_impartial.core.network.model_file import load_model
from napari_impartial.core.prediction.blocks import BlockPredictor
from napari_impartial.core.prediction.segment import heatmap
from napari_impartial.core.prediction.suggestions import box_side, suggest
from napari_impartial.io.lazy_files import open_lazy
from napari_impartial.io.ome_zarr import is_zarr
from napari_impartial.io.ome_zarr_writer import shrunk

from .engine import rest
from .job import (
    Job,
    all_blocks,
    at,
    blocks_of,
    cut_labels,
    foreground,
    information_array,
    layouts,
    level_arrays,
    packed,
    source_of,
    unpacked,
)
from .kept import links_of, numbers_of, of_plane, place, whole_of, write, write_arrays
from .reuse import foreground_px, map_files, write_mark

Area = tuple[slice, slice]

# What a block sees round it when it is cut, in typical diameters, and at least in px. Real maps
# in blocks of five cells: at three diameters one of 2,600 objects differed, at four none.
_MARGIN_DIAMETERS, _LEAST_MARGIN_PX = 4.0, 64
# Large objects are given more room, up to so many blocks, and so many px in all.
_MOST_MARGIN_BLOCKS, _MOST_SEEN_PX = 4, 4096
# Blurs reach so many standard deviations.
_BLUR_REACH = 4

_mine = threading.local()


def predict_block(job: Job, plane: int, block: int) -> None:
    """Predict a block and write its maps."""
    mark = place(job, "predicted", plane, block, "json")
    if mark.exists():
        return
    source, core = source_of(job), blocks_of(job).core(block)
    ranges = json.loads(of_plane(job, "ranges", plane, "json").read_text("utf-8"))

    def read(area: Area) -> NDArray[np.float32]:
        return scale(to_float32(source.read(plane, area)), ranges)

    found = _predictor(job).predict(read, core)
    maps = np.concatenate([found.probability[1:], found.entropy[None]])
    files = map_files(job, plane, block)
    for file in files:
        # One may be a link to that of an earlier result, which stays as it is.
        file.unlink(missing_ok=True)
    written, _ = level_arrays(job)
    index = at(job, plane, core, maps=True)
    written[0][index] = maps if _channels_first(job) else np.moveaxis(maps, 0, -3)
    information = information_array(job)
    if information is not None:
        information[at(job, plane, core)] = packed(found.mutual_information)
    write_mark(mark, files, foreground(maps))


def cut_block(job: Job, plane: int, block: int) -> None:
    """Cut a block into objects and keep those that are its own."""
    file = place(job, "cut", plane, block, "npz")
    if file.exists():
        return
    blocks, whole = blocks_of(job), whole_of(job, plane)
    if joined(job):
        # What touches is one object however large it is: no block knows its size.
        core = blocks.core(block)
        mask = _prepared(job, plane, core, whole) >= job.instances.threshold
        labels = ndimage.label(mask, output=np.int32)[0]
        edges = {
            "top": labels[0],
            "bottom": labels[-1],
            "left": labels[:, 0],
            "right": labels[:, -1],
            "areas": np.bincount(labels.reshape(-1))[1:],
        }
        write_arrays(file, labels=labels, corner=_corner(core), count=labels.max(), **edges)
        return
    margin = int(max(_LEAST_MARGIN_PX, _MARGIN_DIAMETERS * whole.diameter)) // 2 * 2
    room = max((_MOST_SEEN_PX - blocks.side) // 2, margin)
    most = min(room, max(_MOST_MARGIN_BLOCKS * blocks.side, margin))
    while True:
        seen = blocks.around(block, margin)
        classes = _maps(job, plane, seen)[:-1] if len(job.class_names) > 1 else None
        labels, doubt = cut_part(
            _prepared(job, plane, seen, whole), job.instances, whole, _corner(seen), classes
        )
        drawn = _annotated(job, plane, seen)
        if drawn is not None and drawn.any():
            p = foreground(_maps(job, plane, seen))
            imposed = impose(labels, p, find_strokes(drawn), job.instances.min_size_px)
            labels = numbered(imposed)
            doubt = None if doubt is None else settled(doubt, labels, drawn)
        earlier = [
            other
            for other in _blocks_near(job, seen, 1)
            if blocks.round_of(other) < blocks.round_of(block)
        ]
        taken = _painted(job, plane, seen, earlier, None) > 0
        mine = claim(labels, seen, block, blocks, taken)
        if not mine.reaches_edge or margin >= most:
            break
        margin = min(2 * margin, most)
    known = {}
    if doubt is not None:
        known["doubt"] = np.rint(255 * doubt[_inside(blocks.core(block), seen)]).astype(np.uint8)
    box = ndimage.find_objects((mine.labels > 0).astype(np.uint8))
    y, x = box[0] if box else (slice(0, 0), slice(0, 0))
    corner = (seen[0].start + y.start, seen[1].start + x.start)
    write_arrays(
        file,
        labels=mine.labels[y, x],
        corner=corner,
        count=mine.labels.max(initial=0),
        clipped=mine.clipped if mine.reaches_edge else 0,
        **known,
    )


def finish_block(job: Job, plane: int, block: int) -> None:
    """Write a block's labels, and sum up its objects and its places to look at."""
    mark = place(job, "measured", plane, block, "npz")
    if mark.exists():
        return
    source, blocks = source_of(job), blocks_of(job)
    core = blocks.core(block)
    side = box_side(job.suggestions.box_px, source.shape)
    seen = blocks.around(block, max(job.instances.grow_px + 1, side))
    numbers = numbers_of(job, plane)
    near = _blocks_near(job, seen, int(numbers["reach"]))
    canvas = _painted(job, plane, seen, near, numbers)
    if job.instances.grow_px:
        canvas = expand_labels(canvas, job.instances.grow_px)
        drawn = _annotated(job, plane, seen)
        if drawn is not None:
            canvas[drawn == 1] = 0
    inside = _inside(core, seen)
    labels = np.ascontiguousarray(canvas[inside])
    maps = _maps(job, plane, seen)
    labels_array(job)[at(job, plane, core)] = labels
    core_maps, doubt = maps[(slice(None), *inside)], _doubt(job, plane, seen)
    sums = add_up(
        labels,
        core_maps[:-1],
        core_maps[-1],
        to_float32(source.read(plane, core)),
        _corner(core),
        None if doubt is None else doubt[inside],
        _annotated(job, plane, core),
    )
    places = [
        asdict(place_)
        for place_ in _places(job, plane, seen, maps, canvas, doubt, side)
        if core[0].start <= place_.y < core[0].stop and core[1].start <= place_.x < core[1].stop
    ]
    write(place(job, "places", plane, block, "json"), json.dumps(places).encode())
    arrays = {f.name: getattr(sums, f.name) for f in fields(ObjectSums)}
    write_arrays(mark, crossing=_crossing(labels, core, source.shape), **arrays)


def compare_block(job: Job, plane: int, block: int) -> None:
    """Find which objects of a block overlap those of the planes before it."""
    file = place(job, "overlaps", plane, block, "npz")
    if file.exists():
        return
    core, labels = blocks_of(job).core(block), cut_labels(job)
    here = np.asarray(labels[at(job, plane, core)])
    arrays = {"ids": np.unique(here[here > 0])}
    for gap, before in enumerate(planes_before(job, plane), start=1):
        found = find_overlaps(np.asarray(labels[at(job, before, core)]), here)
        arrays |= {f"{f.name}{gap}": getattr(found, f.name) for f in fields(Overlaps)}
    write_arrays(file, **arrays)


def rename_block(job: Job, plane: int, block: int) -> None:
    """Write a block's labels with the numbers of linked objects; quick enough to be done again."""
    core = blocks_of(job).core(block)
    here = np.asarray(cut_labels(job)[at(job, plane, core)])
    ids, numbers = links_of(job, plane)
    _, written = level_arrays(job)
    written[0][at(job, plane, core)] = renumbered(here, ids, numbers)


def shrink(job: Job, level: int, maps: bool, region: tuple[slice, ...]) -> None:
    """Write a region of a coarser level of the maps or labels."""
    arrays = level_arrays(job)[0 if maps else 1]
    arrays[level][region] = shrunk(arrays[level - 1], region, not maps)


def labels_array(job: Job) -> Any:
    """Open the array that the cut's labels are written to."""
    return cut_labels(job) if job.link else level_arrays(job)[1][0]


def planes_before(job: Job, plane: int) -> list[int]:
    """Return the planes that a plane's objects are linked with, the nearest first."""
    source = source_of(job)
    axis = source.stack_axes.index(job.link)
    where = list(source.position(plane).values())
    found = []
    for gap in range(1, min(REACH, where[axis]) + 1):
        before = [*where[:axis], where[axis] - gap, *where[axis + 1 :]]
        found.append(int(np.ravel_multi_index(before, source.stack_shape)))
    return found


def joined(job: Job) -> bool:
    """Tell whether objects are what touches, across any number of blocks."""
    alone = len(job.class_names) == 1 and not job.scribbles
    return job.instances.split == "components" and alone


def sample(job: Job, plane: int, most_px: int) -> NDArray[np.float32]:
    """Return the foreground of a plane, or of fields of it that hold objects, side by side."""
    blocks = blocks_of(job)
    height, width = source_of(job).shape
    if height * width <= most_px:
        return foreground(_maps(job, plane, (slice(0, height), slice(0, width))))
    side = min(1024, blocks.side, height, width)
    full = []
    for other, block in all_blocks(job):
        core = blocks.core(block)
        if other == plane and core[0].stop - core[0].start >= side <= core[1].stop - core[1].start:
            mark = place(job, "predicted", plane, block, "json")
            full.append((foreground_px(mark, job.instances.threshold), block))
    full.sort()
    some = [block for count, block in full if count >= 0.05 * full[-1][0]]
    count = max(1, most_px // side**2)
    chosen = [some[i] for i in np.unique(np.linspace(0, len(some) - 1, count).astype(int))]
    fields_ = []
    for block in chosen:
        y, x = blocks.core(block)
        y0, x0 = (y.start + y.stop - side) // 2, (x.start + x.stop - side) // 2
        fields_.append(foreground(_maps(job, plane, (slice(y0, y0 + side), slice(x0, x0 + side)))))
    across = int(np.ceil(np.sqrt(len(fields_))))
    fields_ += [np.zeros((side, side), np.float32)] * (-len(fields_) % across)
    rows = [np.concatenate(fields_[i : i + across], 1) for i in range(0, len(fields_), across)]
    return np.concatenate(rows)


def _predictor(job: Job) -> BlockPredictor:
    """Return this thread's network: passes set its dropout, so that no two can share one."""
    if getattr(_mine, "job", None) != job:
        _mine.predictor = BlockPredictor(
            load_model(job.model), job.prediction, source_of(job).shape, lambda _: rest()
        )
        _mine.job = job
    predictor: BlockPredictor = _mine.predictor
    return predictor


def _channels_first(job: Job) -> bool:
    """Tell whether what is indexed of the maps has the channels first."""
    axes = layouts(job)[0].axes
    return axes.index("C") < axes.index("Y")


def _maps(job: Job, plane: int, area: Area) -> NDArray[np.float32]:
    written, _ = level_arrays(job)
    return np.asarray(written[0][at(job, plane, area, maps=True)])


def _prepared(job: Job, plane: int, area: Area, whole: Whole) -> NDArray[np.float32]:
    """Return what is cut of an area, its neighbourhood taken into account."""
    reach = int(np.ceil(_BLUR_REACH * job.instances.smooth_px)) + 1
    y, x = (
        slice(max(part.start - reach, 0), min(part.stop + reach, n))
        for part, n in zip(area, source_of(job).shape, strict=True)
    )
    found = prepare(foreground(_maps(job, plane, (y, x))), job.instances, whole)
    return np.ascontiguousarray(found[_inside(area, (y, x))])


def _annotated(job: Job, plane: int, area: Area) -> NDArray[np.int64] | None:
    """Return what is painted on an area."""
    if not job.scribbles:
        return None
    drawn = open_lazy(job.scribbles, job.level if is_zarr(job.scribbles) else 0).array
    return np.asarray(drawn[(*[plane] * (drawn.ndim > 2), *area)]).astype(np.int64)


def _blocks_near(job: Job, area: Area, reach: int) -> list[int]:
    """Return the blocks whose objects may reach into an area, in the order of the rounds.

    They reach over so many blocks beyond their own.
    """
    blocks = blocks_of(job)
    rows, cols = (
        range(
            max(part.start // blocks.side - reach, 0),
            min((part.stop - 1) // blocks.side + reach + 1, count),
        )
        for part, count in zip(area, blocks.counts, strict=True)
    )
    near = [row * blocks.counts[1] + col for row in rows for col in cols]
    return sorted(near, key=lambda block: (int(blocks.round_of(block)), block))


def _painted(
    job: Job,
    plane: int,
    area: Area,
    blocks: list[int],
    numbers: Mapping[str, NDArray[np.int64]] | None,
) -> NDArray[np.int32]:
    """Draw the objects of blocks into an area; where two meet, the first stays."""
    canvas = np.zeros((area[0].stop - area[0].start, area[1].stop - area[1].start), np.int32)
    for block in blocks:
        with np.load(place(job, "cut", plane, block, "npz"), allow_pickle=False) as file:
            (y, x), (h, w) = file["corner"].tolist(), file["shape"].tolist()
            rows = slice(max(y, area[0].start), min(y + h, area[0].stop))
            cols = slice(max(x, area[1].start), min(x + w, area[1].stop))
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            part = file["labels"][
                rows.start - y : rows.stop - y, cols.start - x : cols.stop - x
            ].astype(np.int32)
        if numbers is not None:
            first = int(numbers["first"][block])
            if "ids" in numbers:
                of_block = numbers["ids"][first : int(numbers["first"][block + 1])]
                part = np.append(0, of_block).astype(np.int32)[part]
            else:
                part[part > 0] += first
        there = canvas[_inside((rows, cols), area)]
        free = (there == 0) & (part > 0)
        there[free] = part[free]
    return canvas


def _doubt(job: Job, plane: int, area: Area) -> NDArray[np.float32] | None:
    """Return how likely the objects of an area are wrong at each pixel, if the cut knows it."""
    if job.instances.split != "automatic":
        return None
    canvas = np.zeros((area[0].stop - area[0].start, area[1].stop - area[1].start), np.float32)
    for block in _blocks_near(job, area, 0):
        with np.load(place(job, "cut", plane, block, "npz"), allow_pickle=False) as file:
            known = file["doubt"]
        core = blocks_of(job).core(block)
        both = [
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(core, area, strict=True)
        ]
        if all(part.start < part.stop for part in both):
            y, x = both
            shared = (y, x)
            canvas[_inside(shared, area)] = known[_inside(shared, core)] / np.float32(255)
    return canvas


def _places(
    job: Job,
    plane: int,
    seen: Area,
    maps: NDArray[np.float32],
    labels: NDArray[np.int32],
    doubt: NDArray[np.float32] | None,
    side: int,
) -> list[Any]:
    """Suggest places of an area; twice as many as are wanted, since those outside are left out."""
    information = information_array(job)
    config = replace(
        job.suggestions, box_px=max(side, 8), count=min(2 * job.suggestions.count + 8, 500)
    )
    found = suggest(
        heatmap(maps[-1], doubt),
        _annotated(job, plane, seen),
        config,
        probability=np.concatenate([1.0 - foreground(maps)[None], maps[:-1]]),
        mutual_information=None
        if information is None
        else unpacked(np.asarray(information[at(job, plane, seen)])),
        instances=labels,
    )
    y0, x0 = _corner(seen)
    return [
        replace(s, y=s.y + y0, x=s.x + x0, box=tuple(np.add(s.box, (y0, x0, y0, x0)).tolist()))
        for s in found
    ]


def _crossing(labels: NDArray[np.int32], core: Area, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the ids at those edges of a block that are no edges of the picture."""
    edges = [np.zeros(0, np.int32)]
    if core[0].start > 0:
        edges.append(labels[0])
    if core[0].stop < shape[0]:
        edges.append(labels[-1])
    if core[1].start > 0:
        edges.append(labels[:, 0])
    if core[1].stop < shape[1]:
        edges.append(labels[:, -1])
    ids = np.unique(np.concatenate(edges)).astype(np.int64)
    return ids[ids > 0]


def _corner(area: Area) -> tuple[int, int]:
    return area[0].start, area[1].start


def _inside(area: Area, of: Area) -> Area:
    """Return where an area lies in a larger one."""
    y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(area, of, strict=True))
    return y, x
