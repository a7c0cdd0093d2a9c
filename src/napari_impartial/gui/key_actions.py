"""Actions of the keys, whichever layer is selected."""

from __future__ import annotations

from functools import partialmethod

from napari.layers import Labels, Layer

from napari_impartial.core.data.scribbles import BACKGROUND, FOREGROUND

from .image.image_panel import ImagePanel
from .layers import Role
from .layers.workspace import Workspace
from .refine.suggestions_panel import RefinePanel
from .review.review import ReviewControl
from .review.review_panel import ReviewPanel
from .review.spot_check_panel import SpotCheckPanel
from .train.train_panel import TrainPanel

_RESULTS = (Role.INSTANCES, Role.UNCERTAINTY, Role.PROBABILITY)


class KeyActions:
    """Acts on the image in front; does nothing where there is nothing to act on."""

    def __init__(
        self,
        workspace: Workspace,
        images: ImagePanel,
        review: ReviewPanel,
        places: RefinePanel,
        training: TrainPanel,
        decisions: ReviewControl,
        spot_check: SpotCheckPanel,
    ) -> None:
        self._workspace = workspace
        self._images = images
        self._review = review
        self._places = places
        self._training = training
        self._decisions = decisions
        self._spot_check = spot_check
        # Result layers that were seen when they were hidden.
        self._hidden: list[Layer] = []

    def train(self) -> None:
        """Train, or stop what is being trained."""
        self._training.press()

    def toggle_image(self) -> None:
        """Show or hide all channels."""
        source = self._workspace.source
        if source is not None:
            seen = any(layer.visible for layer in source.layers)
            for layer in source.layers:
                layer.visible = not seen

    def toggle_scribbles(self) -> None:
        """Show or hide the strokes."""
        layer = self._scribbles()
        if layer is not None:
            layer.visible = not layer.visible

    def toggle_result(self) -> None:
        """Hide the results, or show again what was seen of them."""
        source = self._workspace.source
        if source is None:
            return
        layers = [self._workspace.results.find(source, role) for role in _RESULTS]
        layers.append(self._workspace.slides.find(source))
        there = [layer for layer in layers if layer is not None]
        seen = [layer for layer in there if layer.visible]
        if seen:
            self._hidden = seen
        show = [layer for layer in there if layer in self._hidden] or there[:1]
        for layer in there:
            layer.visible = not seen and layer in show

    def toggle_heatmap(self) -> None:
        """Show or hide the heatmap, to see what lies under it."""
        source = self._workspace.source
        layer = None if source is None else self._workspace.results.find(source, Role.UNCERTAINTY)
        if layer is not None:
            layer.visible = not layer.visible

    def next_place(self) -> None:
        """Go to the next suggestion."""
        self._places.go_next()

    def previous_place(self) -> None:
        """Go to the suggestion before."""
        self._places.go_previous()

    def looks_fine(self) -> None:
        """Suggest the place that was gone to no more."""
        self._places.looks_fine()

    def accept(self) -> None:
        """Accept the objects that are selected in the table."""
        self._review.accept()

    def reject(self) -> None:
        """Reject the objects that are selected in the table."""
        self._review.reject()

    def undo_decision(self) -> None:
        """Take back the last decision about objects or places."""
        self._decisions.undo()

    def answer(self, cells: int | None) -> None:
        """Give the verdict of a number of cells, or None for right, in *Is it good enough?*."""
        self._spot_check.answer(cells)

    def step(self, step: int) -> None:
        """Work on the image so many places further on in the session."""
        session = self._workspace.session
        keys = list(session.images)
        if keys:
            place = keys.index(session.current) if session.current in keys else -step
            key = keys[(place + step) % len(keys)]
            self._images.setValue(self._workspace.sources[key])

    def take(self, label: int) -> None:
        """Take the brush for a label in hand; 0 is the eraser."""
        self._images.pick_selected()
        layer = self._scribbles()
        if layer is None and label and self._workspace.source is not None:
            self._workspace.new_scribbles(label)
            layer = self._scribbles()
        if layer is not None:
            self._workspace.scribbles.activate(layer, label or None)
            if not label:
                layer.mode = "erase"

    def resize(self, size_px: int) -> None:
        """Give the brush this width, in pixels of the image."""
        layer = self._scribbles()
        if layer is not None:
            layer.brush_size = max(1, size_px)

    def grow(self, px: int) -> None:
        """Make the brush so many pixels larger."""
        layer = self._scribbles()
        if layer is not None:
            self.resize(int(layer.brush_size) + px)

    brush_background = partialmethod(take, BACKGROUND)
    brush_cell = partialmethod(take, FOREGROUND)
    brush_cell_2 = partialmethod(take, FOREGROUND + 1)
    brush_cell_3 = partialmethod(take, FOREGROUND + 2)
    brush_cell_4 = partialmethod(take, FOREGROUND + 3)
    brush_cell_5 = partialmethod(take, FOREGROUND + 4)
    eraser = partialmethod(take, 0)
    smaller_brush, larger_brush = partialmethod(grow, -1), partialmethod(grow, 1)
    next_image, previous_image = partialmethod(step, 1), partialmethod(step, -1)
    verdict_right = partialmethod(answer, None)
    verdict_0, verdict_1 = partialmethod(answer, 0), partialmethod(answer, 1)
    verdict_2, verdict_3 = partialmethod(answer, 2), partialmethod(answer, 3)

    def _scribbles(self) -> Labels | None:
        source = self._workspace.source
        return None if source is None else self._workspace.scribbles.find(source)
