"""Names of the classes and how many objects each has: between session, list and results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QObject

from napari_impartial.core.data.scribbles import BACKGROUND
from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.session.session import Session

from .scribble_panel import ScribblePanel


class ClassControl(QObject):
    """Takes names from the list of classes, and tells it the objects of each kind.

    Parameters
    ----------
    session
    panel
    show
        Shows the present names.
    measure
        Measures the objects in view again, whose table has the names, too.
    """

    def __init__(
        self,
        session: Session,
        panel: ScribblePanel,
        show: Callable[[], None],
        measure: Callable[[], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._names, self._list = session.class_names, panel.classes
        self._show, self._measure = show, measure
        panel.class_named.connect(self._on_named)
        self._names.changed.connect(self._on_changed)

    def count(self, table: Mapping[str, Any]) -> None:
        """Count the objects of each kind in a table of measurements."""
        kinds = table["class"].tolist() if "class_name" in table else []
        self._list.set_objects({BACKGROUND + kind: n for kind, n in Counter(kinds).items()})

    def _on_named(self, label: int, name: str) -> None:
        try:
            self._names.give(label, name)
        except ImPartialError as error:
            notifications.show_warning(str(error))
        # Also where nothing changed: what was typed is not what it is called.
        self._show()

    def _on_changed(self) -> None:
        self._show()
        self._measure()
