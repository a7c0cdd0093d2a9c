"""The session as it is, described for its folder: no array is copied here.

The writer reads arrays while the user goes on painting. That is safe, because whatever
is painted after the description raises the version of its layer and is read again by
the next save; and quick, because nothing is copied on the window's thread.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from psygnal import Signal

from napari_impartial.core.prediction.packing import pack, pack_map
from napari_impartial.core.review.annotation import to_bytes
from napari_impartial.core.review.review import Review
from napari_impartial.core.review.round_changes import unpacked
from napari_impartial.gui.layers import Role, Source
from napari_impartial.gui.layers.image_source import data_of
from napari_impartial.gui.layers.layer_state import (
    describe_image,
    describe_labels,
    file_of,
    fingerprint,
)
from napari_impartial.gui.layers.versions import camera_of
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.session.folder import Kept
from napari_impartial.session.image_record import ImageRecord
from napari_impartial.session.plane import Plane, PlaneIndex, PlaneKey
from napari_impartial.session.rounds import Round
from napari_impartial.session.saved_state import (
    SavedDismissal,
    SavedImage,
    SavedLayer,
    SavedMask,
    SavedPlane,
    SavedRound,
    SavedSession,
    SavedView,
)


class Snapshots:
    """Describes a session, and knows which layers have changed since.

    Signals
    -------
    changed
        A layer of the viewer has other data than before.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._session = workspace.session
        self._versions: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()
        self._painted: WeakSet[Layer] = WeakSet()
        self._replaced: WeakSet[Layer] = WeakSet()
        self._prints: WeakKeyDictionary[Layer, tuple[int, str | None]] = WeakKeyDictionary()
        workspace.viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in workspace.viewer.layers:
            self._follow(layer)

    def close(self) -> None:
        """Stop listening."""
        self._workspace.viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in list(self._versions):
            layer.events.data.disconnect(self._on_data)
            if isinstance(layer, Labels):
                layer.events.paint.disconnect(self._on_data)
                layer.events.set_data.disconnect(self._on_shown)

    def worth_keeping(self) -> bool:
        """Return whether anything would be lost: a stroke or a model.

        Strokes that a sample brought along would not: to look at one is no session.
        """
        kept = self._workspace.scribbles.kept
        sources = self._workspace.sources
        return self._is_started() or any(
            record.annotated and not _of_sample(kept(sources[key]))
            for key, record in self._session.images.items()
            if key in sources
        )

    def has_content(self) -> bool:
        """Return whether there is a stroke or a model, wherever it came from."""
        return self._is_started() or any(
            record.annotated for record in self._session.images.values()
        )

    def _is_started(self) -> bool:
        return self._session.model_path is not None or any(
            layer in self._painted for layer in self._workspace.scribbles.all()
        )

    def take(
        self, folder: Path, parts: dict[str, Any], pending: Mapping[PlaneKey, Review]
    ) -> SavedSession:
        """Describe the session, to be saved in `folder`.

        Parameters
        ----------
        parts
            Added as they are.
        pending
            Decisions that the session does not know of yet.
        """
        session, workspace = self._session, self._workspace
        # A slide without a file would have to be written whole; its fields have their own pixels.
        keys = [
            key
            for key in session.images
            if key in workspace.sources
            and not (workspace.sources[key].is_slide and not self._in_files(workspace.sources[key]))
        ]
        layers: list[ImageLayer] = []
        for key in keys:
            layers += [x for x in workspace.sources[key].layers if x not in layers]
        sources = [workspace.sources[key] for key in keys]
        return SavedSession(
            layers=[self._describe_image(layer, folder) for layer in layers],
            images=[
                self._describe(source, session.images[key], layers, pending)
                for key, source in zip(keys, sources, strict=True)
            ],
            loose=[self._labels(layer) for layer in workspace.scribbles.loose(sources)],
            model=session.model_path,
            rounds=[
                SavedRound(
                    one.number,
                    one.model_path,
                    one.annotated_px,
                    one.annotated_cells,
                    one is session.rounds.current,
                    _masks(one, keys),
                    one.unseen,
                )
                for one in session.rounds
            ],
            view=self._view(keys),
            parts=parts,
        )

    def _in_files(self, source: Source) -> bool:
        """Return whether files have all of an image's pixels."""
        return not any(layer in self._replaced or file_of(layer) is None for layer in source.layers)

    def _describe(
        self,
        source: Source,
        record: ImageRecord,
        layers: list[ImageLayer],
        pending: Mapping[PlaneKey, Review],
    ) -> SavedImage:
        scribbles = self._workspace.scribbles.kept(source)
        instances = self._workspace.results.find(source, Role.INSTANCES)
        return SavedImage(
            layers=[layers.index(layer) for layer in source.layers],
            axes=source.axes,
            channels=list(source.channels),
            names=list(source.names),
            reviewed=record.reviewed,
            scribbles=None if scribbles is None else self._labels(scribbles),
            instances=None if instances is None else self._labels(instances),
            planes=[
                _describe_plane(index, plane, pending.get((record.key, index), plane.review))
                for index, plane in sorted({**record.planes, **record.asleep}.items())
                if plane.prediction is not None
                or plane.instances is not None
                or plane.review
                or plane.dismissed
            ],
        )

    def _describe_image(self, layer: ImageLayer, folder: Path) -> SavedLayer:
        self._follow(layer)
        version = self._versions[layer]
        if self._prints.get(layer, (-1, None))[0] != version:
            self._prints[layer] = (version, fingerprint(data_of(layer)))
        saved = describe_image(layer, version, folder, embed=layer in self._replaced)
        saved.print = self._prints[layer][1]
        return saved

    def _labels(self, layer: Labels) -> SavedLayer:
        self._follow(layer)
        shown = layer in self._workspace.viewer.layers
        return describe_labels(layer, self._versions[layer], shown)

    def _view(self, keys: list[int]) -> SavedView:
        viewer = self._workspace.viewer
        camera = camera_of(viewer)
        current = self._session.current
        return SavedView(
            image=keys.index(current) if current in keys else None,
            plane=list(self._session.plane_index),
            center=[float(v) for v in camera.center],
            zoom=float(camera.zoom),
            angles=[float(v) for v in camera.angles],
            point=[float(v) for v in viewer.dims.point],
            order=[int(v) for v in viewer.dims.order],
            ndisplay=int(viewer.dims.ndisplay),
        )

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, layer: Layer) -> None:
        if layer in self._versions or not isinstance(layer, (Labels, ImageLayer)):
            return
        self._versions[layer] = 0
        layer.events.data.connect(self._on_data)
        if isinstance(layer, Labels):
            layer.events.paint.connect(self._on_data)
            # Undo changes the data and tells nobody but the picture.
            layer.events.set_data.connect(self._on_shown)

    def _on_data(self, event: Any) -> None:
        layer = event.source
        (self._replaced if isinstance(layer, ImageLayer) else self._painted).add(layer)
        self._on_shown(event)

    def _on_shown(self, event: Any) -> None:
        layer = event.source
        self._versions[layer] = self._versions.get(layer, 0) + 1
        self.changed.emit()


def _of_sample(layer: Labels | None) -> bool:
    return layer is not None and layer.source.sample is not None


def _describe_plane(index: PlaneIndex, plane: Plane, review: Review) -> SavedPlane:
    prediction, scribbles, objects = plane.prediction, plane.suggested_on, plane.instances
    return SavedPlane(
        at=list(index),
        prediction=None if prediction is None else Kept(prediction, convert=pack),
        n_samples=0 if prediction is None else prediction.n_samples,
        predicted_by=plane.predicted_by,
        suggestions=[dataclasses.asdict(place) for place in plane.suggestions],
        visited=[list(place) for place in sorted(plane.visited)],
        suggested_on=None if scribbles is None else Kept(scribbles.labels, sparse=True),
        dismissed=[
            SavedDismissal(one.y, one.x, list(one.box), Kept(one.foreground, sparse=True))
            for one in plane.dismissed
        ],
        review=Kept(review, convert=to_bytes) if review else None,
        previewed=plane.previewed,
        objects=Kept(objects, sparse=True) if plane.previewed and objects is not None else None,
        doubt=None if plane.raw_doubt is None else Kept(plane.raw_doubt, convert=pack_map),
    )


def _masks(one: Round, keys: list[int]) -> list[SavedMask]:
    """Describe what a round has found in the images with these keys."""
    return [
        SavedMask(keys.index(key), list(index), Kept(labels, sparse=True, convert=unpacked))
        for (key, index), labels in one.masks.items()
        if key in keys
    ]
