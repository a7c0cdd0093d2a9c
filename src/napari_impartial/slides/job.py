"""Description of a run, which every worker gets with each step."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import DTypeLike, NDArray

from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.instances.seams import Blocks
from napari_impartial.core.network.model_card import ModelCard
from napari_impartial.io.lazy import import_zarr
from napari_impartial.io.ome_zarr import INSTANCES, RECORD, UNCERTAINTY, full_state_of, state_of
from napari_impartial.io.ome_zarr_writer import CHUNK_PX, VERSIONS, Layout

from .source import Source, open_source

BLOCK_PX, BLOCK_OF_MANY_CHANNELS_PX = 2048, 1024
"""Side of a block; the second of images with more than :data:`FEW_CHANNELS`."""
FEW_CHANNELS = 8


LAYOUT = 4
"""Number of the layout of a run's files; another one for each change of what they hold, and of how
maps are predicted: those of an earlier result are kept where nothing else differs."""


@dataclass(frozen=True)
class Job:
    """One image to predict.

    Attributes
    ----------
    paths : tuple of str
        Files of the image.
    state : tuple of int
        Size and time of change of each, so that a run is not gone on with another image.
    axes, level
        As of :func:`.source.open_source`.
    channels : tuple of int
        Positions of the channels that the model takes.
    channel_names : tuple of str
        Of these.
    model : str
        The model's file.
    model_hash : str
        Of what it holds.
    class_names : tuple of str
        Of the foreground classes.
    prediction, instances, suggestions
        Settings.
    scribbles : str
        Labels that suggestions keep clear of; "" for none.
    block_px : int
        Side of a block.
    version : str
        Of OME-Zarr.
    store : str
        The store that is being written.
    link : str
        The axis, Z or T, along which objects of neighbouring planes are linked; "" for none.
    over_volume : bool
        Intensities of the slices of a volume are scaled alike, and not slice by slice.
    scribbles_state : str
        Stands for what these labels hold.
    layout : int
        Of the files that steps leave for each other; a run of another one begins anew.
    """

    paths: tuple[str, ...]
    state: tuple[int, ...]
    axes: str | None
    level: int
    channels: tuple[int, ...]
    channel_names: tuple[str, ...]
    model: str
    model_hash: str
    class_names: tuple[str, ...]
    prediction: PredictionConfig
    instances: InstanceConfig
    suggestions: SuggestionConfig
    scribbles: str
    block_px: int
    version: str
    store: str
    link: str = ""
    over_volume: bool = False
    scribbles_state: str = ""
    layout: int = LAYOUT

    @property
    def folder(self) -> Path:
        """Folder of what is needed during the run."""
        return Path(self.store) / "_run"

    @property
    def record(self) -> Path:
        """Folder of what stays with the result, so that it can be cut anew from its maps."""
        return Path(self.store) / RECORD

    def keys(self) -> dict[str, str]:
        """Return what the files of each stage depend on, as text.

        Settings that have no effect are left out. What a later stage depends on holds what the
        earlier ones do, but for the store: the same files may lie elsewhere.
        """
        prediction = replace(
            self.prediction,
            reconstruction=False,
            seed=self.prediction.seed if self.prediction.samples else 0,
        )
        split = self.instances.split
        instances = replace(
            self.instances,
            grow_px=0,
            split_strength=self.instances.split_strength if split != "components" else 0.0,
            sharpen=self.instances.sharpen if split == "automatic" else 1.0,
        )
        own = {
            "maps": (
                self.paths,
                self.state,
                source_of(self).letters,
                self.level,
                self.channels,
                self.model_hash,
                asdict(prediction),
                self.over_volume,
                self.block_px,
                self.version,
                self.layout,
            ),
            "cut": (asdict(instances), self.scribbles, self.scribbles_state),
            "finish": (self.instances.grow_px, asdict(self.suggestions), bool(self.link)),
            "link": (self.link,),
        }
        found, before = {}, ""
        for stage, values in own.items():
            found[stage] = before = json.dumps([before, values])
        return found


def make_job(
    paths: Sequence[Path],
    axes: str | None,
    level: int,
    channels: Sequence[int],
    model: Path,
    card: ModelCard,
    settings: tuple[PredictionConfig, InstanceConfig, SuggestionConfig],
    result: Path,
    drawn: Path | None = None,
    block_px: int = 0,
    version: str = VERSIONS[-1],
    link: str = "",
) -> Job:
    """Describe the run that predicts an image.

    Parameters
    ----------
    paths, axes, level
        How the image was opened (:func:`.source.open_source`).
    channels : sequence of int
        Which of its channels are the model's, in the model's order.
    model, card
        The model's file and what it says.
    settings : (PredictionConfig, InstanceConfig, SuggestionConfig)
    result : Path
        Where the store is to be put.
    drawn : Path, optional
        Labels that suggestions keep clear of.
    block_px : int
        Side of the blocks, rounded up to what the network asks for; 0 for the usual one.
    version : str
        Of OME-Zarr.
    link : str
        See :class:`Job`.
    """
    grid = 4 << card.model.depth
    block = block_px or usual_block(len(channels))
    return Job(
        tuple(str(path.resolve()) for path in paths),
        tuple(figure for path in paths for figure in state_of(path)),
        axes,
        level,
        tuple(channels),
        card.channel_names,
        str(model.resolve()),
        hash_of(model),
        card.class_names[1:],
        *settings,
        "" if drawn is None else str(drawn.resolve()),
        -(-block // grid) * grid,
        version,
        str(part_of(result)),
        link,
        card.scaled_over == "volume",
        "" if drawn is None else full_state_of(drawn),
    )


def hash_of(model: Path) -> str:
    """Return what stands for all that a file holds."""
    return hashlib.sha256(model.read_bytes()).hexdigest()[:32]


def part_of(result: Path) -> Path:
    """Return where a store lies while it is being written."""
    return result.resolve().with_name(f".{result.name}.part")


@contextmanager
def only_one(store: Path, busy: str) -> Iterator[None]:
    """Keep others from a store that lies where :func:`part_of` says, and from what it becomes.

    Raises
    ------
    ImPartialError
        What is given as `busy`, if somebody is at it.
    """
    lock = FileLock(str(store.with_name(f"{store.name}.lock")))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ImPartialError(busy) from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


@lru_cache(maxsize=4)
def source_of(job: Job) -> Source:
    """Open a job's image, once a process."""
    source = open_source([Path(p) for p in job.paths], job.axes, job.level)
    return source.with_channels(job.channels, job.channel_names)


def blocks_of(job: Job) -> Blocks:
    """Return how the planes are divided."""
    return Blocks(source_of(job).shape, job.block_px)


def usual_block(n_channels: int) -> int:
    """Return the side of a block for images of so many channels, in px."""
    return BLOCK_PX if n_channels <= FEW_CHANNELS else BLOCK_OF_MANY_CHANNELS_PX


def layouts(job: Job) -> tuple[Layout, Layout]:
    """Return how the maps and the labels are stored."""
    source = source_of(job)
    lengths = dict(zip(source.stack_axes, source.stack_shape, strict=True))
    lengths |= {"C": len(job.class_names) + 1, "Y": source.shape[0], "X": source.shape[1]}
    axes = "".join(a for a in "TCZYX" if a in lengths)
    spacing = {a: v for a, v in source.parts[0].spacing.items() if a in lengths}
    names = (
        ("probability",)
        if len(job.class_names) == 1
        else tuple(f"probability of {name}" for name in job.class_names)
    )
    maps = Layout(
        tuple(lengths[a] for a in axes),
        axes,
        np.float32,
        Path(job.store).name.removeprefix(".").removesuffix(".part").removesuffix(".ome.zarr"),
        job.version,
        source.pixel_size,
        source.pixel_unit,
        spacing,
        (*names, UNCERTAINTY),
        chunk_px=math.gcd(CHUNK_PX, job.block_px),
    )
    flat = axes.replace("C", "")
    labels = replace(
        maps,
        shape=tuple(lengths[a] for a in flat),
        axes=flat,
        dtype=np.int32,
        name=INSTANCES,
        channel_names=(),
        labels=True,
    )
    return maps, labels


def level_arrays(job: Job) -> tuple[list[Any], list[Any]]:
    """Open the levels of the maps and of the labels for writing."""
    zarr = import_zarr()
    group = zarr.open_group(job.store, mode="r+", use_consolidated=False)
    maps, labels = layouts(job)
    return (
        [group[str(level)] for level in range(len(maps.shapes))],
        [group[f"labels/{INSTANCES}/{level}"] for level in range(len(labels.shapes))],
    )


def create_record(job: Job) -> None:
    """Make the folder of what stays with the result: a group, so that no reader wonders at it."""
    zarr_format = 2 if job.version == "0.4" else 3
    import_zarr().open_group(str(job.record), mode="w", zarr_format=zarr_format)
    information_array(job, create=True)


def information_array(job: Job, create: bool = False) -> Any:
    """Open what the passes disagree on, which only suggestions need; None without passes.

    It is kept with the result, and so in a byte a pixel (:func:`packed`).
    """
    if job.prediction.samples < 2:
        return None
    return _working_array(job, job.record / "information.zarr", np.uint8, create)


def cut_labels(job: Job, create: bool = False) -> Any:
    """Open the labels before objects of neighbouring planes are linked, for writing."""
    return _working_array(job, job.folder / "cut_labels.zarr", np.int32, create)


def packed(information: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values of 0 to 1, most of them small, in a byte each."""
    return np.rint(255 * np.sqrt(information)).astype(np.uint8)


def unpacked(information: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what was :func:`packed`, to a few percent."""
    return np.square(information / np.float32(255))


def _working_array(job: Job, path: Path, dtype: DTypeLike, create: bool) -> Any:
    """Open an array of the labels' size, or make it."""
    zarr = import_zarr()
    if create:
        _, labels = layouts(job)
        return zarr.create_array(
            str(path), shape=labels.shape, chunks=labels.chunks, dtype=dtype, overwrite=True
        )
    return zarr.open_array(str(path), mode="r+")


def at(job: Job, plane: int, area: tuple[slice, slice], maps: bool = False) -> tuple[Any, ...]:
    """Return the index of an area of a plane: into labels, or into all channels of the maps."""
    where = source_of(job).position(plane)
    axes = layouts(job)[0 if maps else 1].axes
    return tuple(
        {"Y": area[0], "X": area[1], "C": slice(None)}.get(a, where.get(a.lower())) for a in axes
    )


def all_blocks(job: Job) -> Iterator[tuple[int, int]]:
    """Go through planes and their blocks."""
    count = len(blocks_of(job))
    for plane in range(source_of(job).n_planes):
        for block in range(count):
            yield plane, block


def foreground(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of any foreground class from maps (K, Y, X), uncertainty last."""
    return np.clip(maps[:-1].sum(axis=0), 0.0, 1.0)
