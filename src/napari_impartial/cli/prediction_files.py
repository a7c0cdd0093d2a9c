"""The five files of an image that fits into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import InstanceConfig, PredictionConfig, SuggestionConfig

from .inputs import ImageFile, position
from .output import to_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_impartial.core.data.scribbles import Scribbles
    from napari_impartial.core.network.model_file import TrainedModel
    from napari_impartial.core.prediction.suggestions import Suggestion


@dataclass(frozen=True)
class Settings:
    """Settings of the three stages, and the axis, Z or T, along which objects are linked."""

    prediction: PredictionConfig
    instances: InstanceConfig
    suggestions: SuggestionConfig
    link: str = ""


@dataclass(frozen=True)
class Result:
    """Everything that is written for one image file.

    Attributes
    ----------
    instances : (..., Y, X) int32
        Leading axes are the stack's.
    probability : (..., [K - 1,] Y, X) float32
        Foreground classes; no class axis if there is one only.
    entropy : (..., Y, X) float32
    class_axis : bool
        Whether `probability` has a class axis.
    table : dict of str to array
        Columns of the measurements.
    tracked : bool
        Whether objects were linked through time.
    """

    instances: NDArray[np.int32]
    probability: NDArray[np.float32]
    entropy: NDArray[np.float32]
    class_axis: bool
    table: dict[str, NDArray[Any]]
    suggestions: list[Suggestion]
    tracked: bool = False


def predict_file(
    file: ImageFile,
    model: TrainedModel,
    settings: Settings,
    report: Callable[[float], None],
    annotated: list[Scribbles] | None = None,
) -> Result:
    """Predict all planes of a file.

    Parameters
    ----------
    file : ImageFile
        With the model's channels.
    model : TrainedModel
    settings : Settings
    report : callable
        Gets the share done, 0 to 1.
    annotated : list of Scribbles, optional
        One for each plane; objects agree with it, and suggestions stay clear of it.
    """
    from napari_impartial.core.instances.measurements import measure
    from napari_impartial.core.prediction.predict import predict
    from napari_impartial.core.prediction.segment import find_objects, find_places
    from napari_impartial.core.prediction.suggestions import rank_all
    from napari_impartial.io.object_files import join_tables

    instances, probabilities, entropies, tables, suggestions = [], [], [], [], []
    for index, plane in enumerate(file.planes):

        def progress(share: float, index: int = index) -> None:
            report((index + share) / len(file.planes))

        prediction = predict(plane, model, settings.prediction, progress)
        drawn = None if annotated is None else annotated[index].labels
        objects = find_objects(prediction, settings.instances, scribbles=drawn)
        foreground = prediction.probability[1:]
        instances.append(objects.labels)
        probabilities.append(foreground[0] if len(foreground) == 1 else foreground)
        entropies.append(prediction.entropy)
        table = measure(
            objects.labels,
            plane,
            prediction.probability,
            prediction.entropy,
            model.card.class_names[1:],
            objects.doubt,
            drawn,
        )
        tables.append(table)
        found, _ = find_places(prediction, objects, drawn, settings.suggestions, image=plane.name)
        suggestions.append(found)
    places = [position(plane) if file.stack_axes else {} for plane in file.planes]
    labels = _stack(instances, file)
    if settings.link:
        labels = _linked(labels, file, settings.link, tables)
    return Result(
        labels,
        _stack(probabilities, file),
        _stack(entropies, file),
        probabilities[0].ndim == 3,
        join_tables(tables, places),
        rank_all(suggestions)[: settings.suggestions.count],
        settings.link == "T",
    )


def check_link(axis: str, stack_axes: str, path: Path) -> None:
    """Refuse to link along an axis that a stack does not have.

    Raises
    ------
    ImPartialError
        With the axes that it has.
    """
    from napari_impartial.core.errors import ImPartialError

    if axis not in stack_axes:
        has = f"has the axes {stack_axes}" if stack_axes else "is a single plane"
        raise ImPartialError(
            f"{path} {has}; --link {axis.lower()} needs several planes along {axis}, so leave "
            "it out or correct --axes."
        )


def _linked(
    labels: NDArray[np.int32], file: ImageFile, axis: str, tables: list[dict[str, NDArray[Any]]]
) -> NDArray[np.int32]:
    """Link the objects of a stack, and give the rows of its planes' tables the new numbers."""
    import numpy as np

    from napari_impartial.core.instances.linking import link_along

    check_link(axis, file.stack_axes, file.path)
    linked = link_along(labels, file.stack_axes.index(axis), depth=axis == "Z")
    rows, cols = labels.shape[-2:]
    planes = zip(labels.reshape(-1, rows, cols), linked.reshape(-1, rows, cols), strict=True)
    for table, (before, after) in zip(tables, planes, strict=True):
        number = np.zeros(int(before.max(initial=0)) + 1, np.int64)
        number[before.reshape(-1)] = after.reshape(-1)
        table["label"] = number[table["label"]]
    return linked


def _stack(planes: list[NDArray[Any]], file: ImageFile) -> NDArray[Any]:
    """Put planes back into the shape of the file's stack."""
    import numpy as np

    if not file.stack_axes:
        return planes[0]
    return np.stack(planes).reshape(*file.stack_shape, *planes[0].shape)


def result_files(name: str, out: Path) -> dict[str, Path]:
    """Return what each of the five files of an image is, and where."""
    from napari_impartial.io.object_files import object_files

    objects = object_files(name, out)
    return {
        "instances": objects["instances"],
        "probability": out / f"{name}_probability.tif",
        "entropy": out / f"{name}_entropy.tif",
        "suggestions": out / f"{name}_suggestions.json",
        "measurements": objects["measurements"],
    }


def write(file: ImageFile, result: Result, out: Path) -> dict[str, Path]:
    """Write the five files of an image, each whole or not at all; tracks besides, if there are any.

    Returns
    -------
    dict of str to Path
        See :func:`result_files` and :func:`write_track_files`.
    """
    from napari_impartial.core.atomic_write import atomic_path
    from napari_impartial.io import write_tiff
    from napari_impartial.io.object_files import write_table

    paths = result_files(file.name, out)
    first = file.planes[0]
    axes = file.stack_axes + "YX"
    class_axes = file.stack_axes + ("C" if result.class_axis else "") + "YX"
    for name, array, letters in (
        ("instances", result.instances, axes),
        ("probability", result.probability, class_axes),
        ("entropy", result.entropy, axes),
    ):
        write_tiff(
            paths[name],
            array,
            letters,
            pixel_size=first.pixel_size,
            pixel_unit=first.pixel_unit,
            spacing=file.spacing,
        )
    positions = {plane.name: position(plane) for plane in file.planes} if file.stack_axes else {}
    suggestions = [
        asdict(s) | ({"plane": positions[s.image]} if positions else {}) for s in result.suggestions
    ]
    with atomic_path(paths["suggestions"]) as temporary:
        temporary.write_text(to_json(suggestions, indent=1) + "\n", encoding="utf-8")
    write_table(paths["measurements"], result.table)
    if result.tracked:
        scale = (first.pixel_size, first.pixel_unit, file.spacing)
        paths |= write_track_files(file.name, out, result.table, *scale)
    else:
        tell_old_tracks(file.name, out)
    return paths


def tell_old_tracks(name: str, out: Path) -> None:
    """Say where tracks of an earlier run lie beside objects that are not tracked."""
    from napari_impartial.core.errors import note
    from napari_impartial.io.tracks import ENDINGS

    for path in (out / f"{name}{ending}" for ending in ENDINGS.values()):
        if path.exists():
            note(f"{path} is of an earlier run; its numbers are not those of the objects now.")


def write_track_files(
    name: str,
    out: Path,
    table: Mapping[str, NDArray[Any]],
    pixel_size: tuple[float, float] | None,
    pixel_unit: str,
    spacing: Mapping[str, float],
) -> dict[str, Path]:
    """Write the tracks of an image: a table, and GEFF where zarr is installed.

    Parameters
    ----------
    name : str
        Of the image.
    out : Path
    table : mapping of str to array
        Measurements; the labels are those of linked objects.
    pixel_size, pixel_unit, spacing
        As of :func:`io.images.write_tiff`.

    Returns
    -------
    dict of str to Path
        ``tracks`` and ``graph``.
    """
    from importlib.util import find_spec

    from napari_impartial.io.tracks import ENDINGS, Tracks, write_geff, write_tracks

    tracks = Tracks.of(table)
    paths = {kind: out / f"{name}{ending}" for kind, ending in ENDINGS.items()}
    write_tracks(paths["tracks"], tracks)
    if find_spec("zarr") is None:
        del paths["graph"]
    else:
        write_geff(paths["graph"], tracks, pixel_size, pixel_unit, spacing)
    return paths
