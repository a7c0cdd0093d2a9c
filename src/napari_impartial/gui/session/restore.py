"""A saved session becomes the one in the window."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import read_card
from napari_impartial.core.prediction.dismissed import Dismissal
from napari_impartial.core.prediction.packing import unpack, unpack_map
from napari_impartial.core.prediction.suggestions import Suggestion
from napari_impartial.core.review.review import check_inside
from napari_impartial.core.review.round_changes import EARLIER, LOADED, PackedLabels
from napari_impartial.gui.layers import Role, Source, image_layers
from napari_impartial.gui.layers.fields import FIELD
from napari_impartial.gui.layers.grid import Grid
from napari_impartial.gui.layers.layer_state import make_labels, open_image, same_image
from napari_impartial.gui.layers.scribble_layers import scribble_name
from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.session.plane import PlaneIndex, PlaneKey
from napari_impartial.session.rounds import Round
from napari_impartial.session.saved_state import (
    SavedDismissal,
    SavedImage,
    SavedLayer,
    SavedPlane,
    SavedRound,
    SavedSession,
    SavedView,
)

_MOST_NAMED = 8


class Restorer:
    """Puts a session that was read into the window, in place of the one that is there.

    Parameters
    ----------
    workspace
        Of the window.
    folder
        Where the session lies.
    new_model_path
        Gives a fresh path for a model file of the window's own.
    show_objects
        Shows the objects of a plane of an image, given its key, so that they can be
        corrected.

    Attributes
    ----------
    losses
        What could not be brought back, in sentences.
    remarks
        What else is to be said, of things that are all there.
    """

    def __init__(
        self,
        workspace: Workspace,
        folder: Path,
        new_model_path: Callable[[], Path],
        show_objects: Callable[[int, PlaneIndex, npt.NDArray[np.int32]], None],
    ) -> None:
        self._workspace = workspace
        self._session = workspace.session
        self._folder = folder
        self._new_model_path = new_model_path
        self._show_objects = show_objects
        self.losses: list[str] = []
        self.remarks: list[str] = []

    def put_back(self, saved: SavedSession, replace: bool) -> Source | None:
        """Bring a session back; return the image that the user had in front.

        Parameters
        ----------
        saved
            From :func:`napari_impartial.session.read.read`.
        replace
            Take the layers of the present session out of the viewer.
        """
        workspace = self._workspace
        self.losses += saved.losses
        reused = self._find_again(saved)
        if replace:
            # As one batch: after each removal napari collects all garbage, which takes half a
            # second with torch loaded; a session has up to seven layers an image.
            with workspace.viewer.layers.batched_update():
                self._clear(list(reused.values()))
        with self.part("What layers were called"):
            self._give_names_back(saved, reused)
        layers = {
            i: reused[i] if i in reused else self._open(layer)
            for i, layer in enumerate(saved.layers)
        }
        sources = [self._put_back_image(image, layers) for image in saved.images]
        for loose in saved.loose:
            self._put_back_strokes(loose)
        self._put_back_models(saved, sources)
        workspace.read_scribbles()
        for image, source in zip(saved.images, sources, strict=True):
            if source is not None:
                self._put_back_results(image, source)
        current = saved.view.image
        if current is not None and 0 <= current < len(sources) and sources[current] is not None:
            return sources[current]
        return next((source for source in sources if source is not None), None)

    @contextmanager
    def part(self, words: str) -> Iterator[None]:
        """Keep what is wrong with one part of a session from the rest of it; say it instead."""
        try:
            yield
        except ImPartialError as error:
            self.losses.append(f"{words} is lost: {error}")
        except Exception as error:  # a damaged file may make anything of it
            self.losses.append(f"{words} is damaged ({type(error).__name__}: {error}).")

    def _clear(self, keep: list[ImageLayer]) -> None:
        """Take the present session out of the viewer, strokes without their image included."""
        workspace, session, viewer = self._workspace, self._session, self._workspace.viewer
        loose = workspace.scribbles.loose([workspace.sources[key] for key in session.images])
        for key, source in workspace.sources.items():
            if key not in session.images:
                workspace.scribbles.forget(source)
        workspace.clear(keep=keep)
        # Whoever has an image open that is in no session keeps the strokes on it.
        images = {scribble_name(layer.name) for layer in image_layers(viewer)}
        for layer in loose:
            if layer in viewer.layers and layer.name not in images:
                viewer.layers.remove(layer)

    def _give_names_back(self, saved: SavedSession, reused: dict[int, ImageLayer]) -> None:
        """Let the session's layers have the names that they were saved with.

        What is kept of them goes by their names, which napari would change where another layer
        has them: that one gets another name.
        """
        images = [one.name for one in saved.layers]
        labels = [one.scribbles for one in saved.images] + [one.instances for one in saved.images]
        taken = {*images, *(one.name for one in (*labels, *saved.loose) if one is not None)}
        taken |= {name for image in images for name in _names_beside(image)}
        layers = self._workspace.viewer.layers

        def free(name: str) -> str:
            known = {*taken, *(str(one.name) for one in layers)}
            return next(n for n in (f"{name} [{i}]" for i in count(1)) if n not in known)

        def call(layer: Layer, now: str) -> None:
            """Rename a layer, and those that lie beside it as parts of the same image."""
            beside = dict(zip(_names_beside(layer.name), _names_beside(now), strict=True))
            layer.name = now
            for own in layers:
                own.name = beside.get(str(own.name), own.name)

        # What an earlier dock has left beside an image that is open stays with it.
        kept = {name for layer in reused.values() for name in _names_beside(layer.name)}
        others = [layer for layer in layers if layer not in reused.values()]
        # Images first: the layers that belong to one are called like it.
        for layer in sorted(others, key=lambda one: not isinstance(one, ImageLayer)):
            before = str(layer.name)
            if before not in taken - kept:
                continue
            call(layer, free(before))
            if isinstance(layer, ImageLayer):
                self.remarks.append(
                    f"The session has a '{before}'; the one open is '{layer.name}' now."
                )
        # First out of each other's way.
        wrong = {i: one for i, one in reused.items() if one.name != images[i]}
        for layer in wrong.values():
            call(layer, free(str(layer.name)))
        for i, layer in wrong.items():
            call(layer, images[i])
        for i, layer in reused.items():
            if FIELD in saved.layers[i].metadata:
                layer.metadata[FIELD] = saved.layers[i].metadata[FIELD]

    def _find_again(self, saved: SavedSession) -> dict[int, ImageLayer]:
        """Return the layers that the user has opened already."""
        found: dict[int, ImageLayer] = {}
        for i, wanted in enumerate(saved.layers):
            alike = [
                layer
                for layer in image_layers(self._workspace.viewer)
                if layer not in found.values() and same_image(layer, wanted)
            ]
            if alike:
                found[i] = next((one for one in alike if one.name == wanted.name), alike[0])
        return found

    def _open(self, saved: SavedLayer) -> ImageLayer | None:
        try:
            layer, warning = open_image(self._workspace.viewer, saved, self._folder)
        except ImPartialError as error:
            self.losses.append(str(error))
            return None
        except Exception as error:  # a damaged description; the other images come back
            self.losses.append(f"The image {saved.name!r} is damaged ({error}).")
            return None
        if warning:
            self.remarks.append(warning)
        return layer

    def _put_back_image(
        self, image: SavedImage, layers: dict[int, ImageLayer | None]
    ) -> Source | None:
        own = [layers[i] for i in image.layers]
        present = tuple(layer for layer in own if layer is not None)
        source = None
        if present and own[0] is not None:
            # As in the window's own sources, names stay with their channels.
            named = zip((*image.channels, *own[1:]), image.names, strict=False)
            names = tuple(name for channel, name in named if channel is not None)
            with self.part(f"What the session says of the image {own[0].name!r}"):
                made = Source(present, image.axes, tuple(image.channels), names)
                _check_fits(made)
                key = self._workspace.add(made)
                self._session.images[key].reviewed = image.reviewed
                source = made
        # Without its image, too, the strokes come back.
        if image.scribbles is not None:
            self._put_back_strokes(image.scribbles, source)
        return source

    def _put_back_strokes(self, saved: SavedLayer, source: Source | None = None) -> None:
        if not self._usable(saved):
            return
        with self.part(f"'{saved.name}'"):
            layer, damaged = make_labels(saved, saved.data, "scribbles")
            if damaged:
                self.remarks.append(damaged)
            if source is None:
                self._workspace.viewer.add_layer(layer)
            else:
                self._workspace.scribbles.put_back(source, layer, saved.shown)

    def _put_back_models(self, saved: SavedSession, sources: list[Source | None]) -> None:
        session = self._session
        copies: dict[Path, Path] = {}

        def own(path: Path | ImPartialError) -> Path:
            if isinstance(path, ImPartialError):
                raise path
            # Not in the session's folder: what is there belongs to the saved state.
            if path not in copies:
                copy = self._new_model_path()
                shutil.copyfile(path, copy)
                copies[path] = copy
            return copies[path]

        current: Round | None = None
        for one in saved.rounds:
            if one.model is None:
                # It was gone already when the session was saved.
                self.losses.append(f"The model of round {one.number} is lost.")
                continue
            try:
                path = own(one.model)
                made = Round(
                    one.number,
                    path,
                    read_card(path),
                    one.annotated_px,
                    one.annotated_cells,
                    self._masks(one, sources),
                    unseen=one.unseen,
                )
                session.rounds.put_back(made)
                current = made if one.current else current
            except (ImPartialError, OSError, ValueError, TypeError) as error:
                self.losses.append(f"The model of round {one.number} is lost ({error}).")
        if saved.model is not None:
            try:
                path = own(saved.model)
                session.set_model(path, read_card(path))
                session.rounds.current = current
            except (ImPartialError, OSError) as error:
                self.losses.append(f"The model is lost ({error}).")

    def _masks(
        self, one: SavedRound, sources: list[Source | None]
    ) -> dict[PlaneKey, npt.NDArray[np.int32] | PackedLabels]:
        """Return what a round has found in the images that are back."""
        masks: dict[PlaneKey, npt.NDArray[np.int32] | PackedLabels] = {}
        for mask in one.masks:
            source = sources[mask.image]
            if source is None:
                continue
            index, labels = tuple(mask.at), mask.labels
            fits = isinstance(labels, PackedLabels) and labels.shape == source.plane_shape
            if fits and source.has_plane(index):
                key = self._workspace.key_of(source.primary)
                assert key is not None
                masks[key, index] = labels
            else:
                place = source.plane_name(index) if source.has_plane(index) else source.name
                self.losses.append(f"The objects of round {one.number} in {place} are lost.")
        return masks

    def _put_back_results(self, image: SavedImage, source: Source) -> None:
        key = self._workspace.key_of(source.primary)
        assert key is not None
        labels = None if image.instances is None else image.instances.data
        fits = isinstance(labels, np.ndarray) and labels.shape == Grid(source).shape
        if image.instances is not None and not fits:
            self.losses.append(f"The objects of {source.name} are lost.")
        for plane in image.planes:
            index = tuple(plane.at)
            if not source.has_plane(index):
                self.losses.append(f"The results of a plane of {source.name} are lost.")
                continue
            name = source.plane_name(index)
            with self.part(f"The prediction of {name}"):
                self._put_back_prediction(key, index, plane)
            with self.part(f"The suggested places of {name}"):
                self._put_back_suggestions(key, index, plane)
            self._put_back_stamp(key, index, plane)
            with self.part(f"The review of {name}"):
                self._put_back_review(key, index, plane)
            with self.part(f"A place of {name} that looked fine"):
                self._put_back_dismissals(key, index, plane)
            part = plane.objects
            if not plane.previewed:
                part = Grid(source).plane(labels, index) if fits else None
            if isinstance(part, np.ndarray) and part.shape == source.plane_shape:
                part = part.astype(np.int32)
                known = self._session.images[key].plane(index)
                doubt = plane.doubt
                usable = (
                    isinstance(doubt, np.ndarray)
                    and doubt.shape == source.plane_shape
                    and doubt.dtype == np.uint16
                )
                if doubt is not None and not usable:
                    self.losses.append(f"Where the objects of {name} are in doubt is lost.")
                known.set_cut(None, objects=part, doubt=unpack_map(doubt) if usable else None)
                if known.prediction is not None:
                    results = self._workspace.results
                    results.write(source, index, Role.UNCERTAINTY, known.heat)
                self._show_objects(key, index, part)
            elif plane.previewed and plane.objects is not None:
                self.losses.append(f"The objects of {name} are lost.")

    def _put_back_prediction(self, key: int, index: PlaneIndex, plane: SavedPlane) -> None:
        source, results = self._workspace.sources[key], self._workspace.results
        packed = plane.prediction
        if packed is None:
            return
        if not (
            isinstance(packed, np.ndarray)
            and packed.ndim == 3
            and packed.dtype == np.uint16
            and packed.shape[1:] == source.plane_shape
        ):
            self.losses.append(
                f"The prediction of {source.plane_name(index)} is lost; press Predict."
            )
            return
        prediction = unpack(packed, plane.n_samples)
        self._session.set_prediction(key, index, prediction)
        results.write(source, index, Role.PROBABILITY, prediction.foreground)
        results.write(source, index, Role.UNCERTAINTY, prediction.entropy)

    def _put_back_suggestions(self, key: int, index: PlaneIndex, plane: SavedPlane) -> None:
        source = self._workspace.sources[key]
        known = self._session.images[key].plane(index)
        if known.prediction is None:
            return
        known.suggestions = [_suggestion(values) for values in plane.suggestions]
        known.visited = {(int(y), int(x)) for y, x in plane.visited}
        painted = plane.suggested_on
        if isinstance(painted, ImPartialError):
            raise painted
        if isinstance(painted, np.ndarray) and painted.shape == source.plane_shape:
            known.suggested_on = Scribbles(painted)

    def _put_back_stamp(self, key: int, index: PlaneIndex, plane: SavedPlane) -> None:
        """Note what predicted a plane; a round that is lost is not mistaken for a later one."""
        by, numbers = plane.predicted_by, [one.number for one in self._session.rounds]
        lost = by > LOADED and by not in numbers
        self._session.images[key].plane(index).predicted_by = EARLIER if lost else by

    def _put_back_review(self, key: int, index: PlaneIndex, plane: SavedPlane) -> None:
        source = self._workspace.sources[key]
        if plane.review is None:
            return
        if isinstance(plane.review, ImPartialError):
            raise plane.review
        check_inside(plane.review, source.plane_shape)
        self._session.images[key].plane(index).set_review(plane.review)

    def _put_back_dismissals(self, key: int, index: PlaneIndex, plane: SavedPlane) -> None:
        source = self._workspace.sources[key]
        made = [_dismissal(one, source.plane_shape) for one in plane.dismissed]
        found = [one for one in made if one is not None]
        self._session.images[key].plane(index).dismissed = found
        if len(found) < len(made):
            self.losses.append(f"Some places of {source.plane_name(index)} are suggested again.")

    def _usable(self, saved: SavedLayer) -> bool:
        if not isinstance(saved.data, np.ndarray):
            self.losses.append(f"'{saved.name}' is lost: {saved.data or 'it is not named.'}")
            return False
        return True


def _names_beside(image: str) -> list[str]:
    """Return what layers that belong to an image of this name are called."""
    scribbles = scribble_name(image)
    return [scribbles, f"old {scribbles}", *(f"{role} [{image}]" for role in Role)]


def in_one_message(losses: list[str]) -> str:
    """Return sentences as one text, which names the first few; the last one stays the last."""
    *parts, end = dict.fromkeys(losses)
    left = len(parts) - _MOST_NAMED
    if left > 0:
        parts = [*parts[:_MOST_NAMED], f"So are {left} further parts."]
    return " ".join((*parts, end))


def look_at(viewer: napari.Viewer, view: SavedView) -> None:
    """Let the viewer look where it looked; what does not fit is left as it is."""
    dims, camera = viewer.dims, camera_of(viewer)
    if not np.isfinite([*view.point, *view.center, *view.angles, view.zoom]).all():
        return
    if len(view.point) == dims.ndim and sorted(view.order) == list(range(dims.ndim)):
        dims.ndisplay = 3 if view.ndisplay == 3 else 2
        dims.order = tuple(view.order)
        for axis, value in enumerate(view.point):
            dims.set_point(axis, value)
    if view.zoom > 0:
        if len(view.center) in (2, 3):
            camera.center = tuple(view.center)
        camera.zoom = view.zoom
        if len(view.angles) == 3:
            camera.angles = tuple(view.angles)


def _check_fits(source: Source) -> None:
    """Refuse axes and channels that an image cannot have: the window counts on them."""
    axes, channels = source.axes, source.channels
    known = len(set(axes)) == len(axes) and {"Y", "X"} <= set(axes) <= set("TZCYX")
    if not known or not channels or min(channels) < 0 or not source.fits():
        raise ImPartialError("axes or channels do not fit its pixels.")


def _dismissal(saved: SavedDismissal, shape: tuple[int, int]) -> Dismissal | None:
    """Return a place that looked fine; None if it is damaged or of another image."""
    if len(saved.box) != 4 or not isinstance(saved.foreground, np.ndarray):
        return None
    y0, x0, y1, x1 = (int(i) for i in saved.box)
    inside = 0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]
    if not inside or saved.foreground.shape != (y1 - y0, x1 - x0):
        return None
    return Dismissal(saved.y, saved.x, (y0, x0, y1, x1), saved.foreground)


def _suggestion(values: dict[str, Any]) -> Suggestion:
    known = {name: values[name] for name in Suggestion.__dataclass_fields__ if name in values}
    known["box"] = tuple(known["box"])
    return Suggestion(**known)
