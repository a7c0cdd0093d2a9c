"""Actions of the keys, whichever layer is selected."""

from __future__ import annotations

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

    def brush_background(self) -> None:
        """Take the brush for background in hand."""
        self.take(BACKGROUND)

    def brush_cell(self) -> None:
        """Take the brush for cells in hand."""
        self.take(FOREGROUND)

    def brush_cell_2(self) -> None:
        """Take the brush for the second kind of cell in hand."""
        self.take(FOREGROUND + 1)

    def brush_cell_3(self) -> None:
        """Take the brush for the third kind of cell in hand."""
        self.take(FOREGROUND + 2)

    def brush_cell_4(self) -> None:
        """Take the brush for the fourth kind of cell in hand."""
        self.take(FOREGROUND + 3)

    def brush_cell_5(self) -> None:
        """Take the brush for the fifth kind of cell in hand."""
        self.take(FOREGROUND + 4)

    def eraser(self) -> None:
        """Take the eraser in hand."""
        self.take(0)

    def train(self) -> None:
        """Train, or stop what is being trained."""
        self._training.press()

    def smaller_brush(self) -> None:
        """Make the brush a pixel smaller."""
        self._resize(-1)

    def larger_brush(self) -> None:
        """Make the brush a pixel larger."""
        self._resize(1)

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

    def verdict_right(self) -> None:
        """Find the object that is asked about right, or nothing missed at the place."""
        self._spot_check.answer(None)

    def verdict_0(self) -> None:
        """Answer with no cell."""
        self._spot_check.answer(0)

    def verdict_1(self) -> None:
        """Answer with one cell."""
        self._spot_check.answer(1)

    def verdict_2(self) -> None:
        """Answer with two cells."""
        self._spot_check.answer(2)

    def verdict_3(self) -> None:
        """Answer with three cells."""
        self._spot_check.answer(3)

    def next_image(self) -> None:
        """Work on the next image of the session."""
        self._step(1)

    def previous_image(self) -> None:
        """Work on the image before, of the session."""
        self._step(-1)

    def _step(self, step: int) -> None:
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

    def _resize(self, step: int) -> None:
        layer = self._scribbles()
        if layer is not None:
            self.resize(int(layer.brush_size) + step)

    def _scribbles(self) -> Labels | None:
        source = self._workspace.source
        return None if source is None else self._workspace.scribbles.find(source)
