"""A training as it was begun, and annotation made while it runs, as far as it can take that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_impartial.core.config import ModelConfig, TrainingConfig
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui.layers import Source
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.session.plane import TrainingItem


@dataclass(frozen=True)
class Training:
    """A training as it was done.

    Attributes
    ----------
    sources
        The images that were trained on.
    channel_names
        Those of the model.
    init
        Model that it went on from.
    class_names
        Of the kinds of cell; empty where nobody gave one.
    """

    sources: tuple[Source, ...]
    channel_names: tuple[str, ...]
    model: ModelConfig
    training: TrainingConfig
    init: Path | None = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """A training set, brought up to date.

    Attributes
    ----------
    items
        As many as before, in their order, and then planes that were not among them.
    waiting
        Which strokes on the plane in view this training cannot take, and why; empty if none.
    """

    items: list[TrainingItem]
    waiting: str


def join(workspace: Workspace, items: Sequence[TrainingItem], n_classes: int) -> Joined:
    """Bring a training set up to date.

    Planes are read only once something is annotated there: to have all of a session's
    planes in training from the start would cost memory and time, and take patches away
    from those that are annotated.

    Parameters
    ----------
    workspace
        Holds what is annotated.
    items
        What training has.
    n_classes
        Number of classes that its network knows; others are left out.
    """
    further, waiting = _further(workspace, items, n_classes)
    unknown = [k for k in _classes_in_view(workspace) if k > n_classes]
    if unknown and not waiting:
        name = workspace.session.class_names.of(unknown[0])
        waiting = (
            f"Strokes of '{name}' wait for the next Train: what is being trained "
            "does not know that kind of cell."
        )
    known = [replace(item, scribbles=_now(workspace, item, n_classes)) for item in items]
    return Joined([*known, *further], waiting)


def _now(workspace: Workspace, item: TrainingItem, n_classes: int) -> Scribbles:
    """Return the annotation of a plane that training has."""
    record = workspace.session.images.get(item.key)
    if record is None:
        # An image that is gone keeps the strokes that training began with.
        return item.scribbles
    painted = record.plane(item.plane).annotation
    if painted is not None:
        fits = painted.shape == item.scribbles.shape
        return _of_known_classes(painted, n_classes) if fits else item.scribbles
    if workspace.scribbles.view(workspace.sources[item.key], item.plane) is None:
        # So does one whose scribble layer is gone, or lies on other pixels.
        return item.scribbles
    return Scribbles(np.zeros_like(item.scribbles.labels))


def _further(
    workspace: Workspace, items: Sequence[TrainingItem], n_classes: int
) -> tuple[list[TrainingItem], str]:
    """Return annotated planes that training does not have, and why one in view cannot join."""
    session, there = workspace.session, {(item.key, item.plane) for item in items}
    names = items[0].image.channel_names
    found, waiting = [], ""
    for record in session.images.values():
        for index in record.annotated:
            painted = record.planes[index].annotation
            if (record.key, index) in there or painted is None:
                continue
            painted = _of_known_classes(painted, n_classes)
            if not painted.labels.any():
                continue
            try:
                image = workspace.image_for(record.key, index, names, "this training has")
            except ImPartialError as error:
                if record.key == session.current:
                    waiting = f"Strokes on '{record.name}' have to wait: {error}"
                break
            if image.shape == painted.shape:
                image = replace(image, channel_names=names)
                found.append(TrainingItem(record.key, index, image, painted))
    return found, waiting


def _of_known_classes(painted: Scribbles, n_classes: int) -> Scribbles:
    """Return scribbles without classes that the network has no output for."""
    if max(painted.counts()) <= n_classes:
        return painted
    return Scribbles(np.where(painted.labels > n_classes, 0, painted.labels))


def _classes_in_view(workspace: Workspace) -> list[int]:
    plane = workspace.session.plane
    return [] if plane is None else sorted(plane.classes)
