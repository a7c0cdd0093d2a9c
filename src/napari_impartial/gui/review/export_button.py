"""One button for all that goes to other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_impartial.gui.widgets.save_dialog import ask_where
from napari_impartial.io.object_files import file_names


@dataclass(frozen=True)
class _Entry:
    """A line of the menu; where `suffix` is empty, the user is asked for a folder."""

    text: str
    tip: str
    files: str = ""
    suffix: str = ""
    ending: str = ""


_ENTRIES = {
    "table": _Entry(
        "Table of the rows shown (.csv)...",
        "Write the rows that the filter shows, with the columns of the command line's "
        "NAME_measurements.csv.",
        "Tables",
        ".csv",
        "_measurements",
    ),
    "instances": _Entry(
        "Label image (.tif)...",
        "Write the objects of the image in view as numbers, 0 between them; a stack whole.",
        "Label images",
        ".tif",
        "_instances",
    ),
    "rois": _Entry(
        "Outlines for ImageJ and Fiji (.zip)...",
        "Write the objects of the image in view as ROIs, for ImageJ's and Fiji's ROI manager.",
        "ImageJ ROIs",
        ".zip",
        "_rois",
    ),
    "outlines": _Entry(
        "Outlines for QuPath (.geojson)...",
        "Write the objects of the image in view as GeoJSON, which QuPath imports.",
        "GeoJSON",
        ".geojson",
        "_outlines",
    ),
    "all": _Entry(
        "All images, to a folder...",
        "Write label image, ImageJ ROIs, GeoJSON and table of each image of the session that "
        "has objects.",
    ),
    "model": _Entry(
        "Model for the BioImage Model Zoo (.zip)...",
        "Write the model in use as a package that other programs can run. A field of the image "
        "in view goes into it, for testing; it becomes public when you upload the package.",
        "BioImage Model Zoo packages",
        ".zip",
        "_model",
    ),
}


_OF_SLIDES = {
    "instances": _Entry(
        "Labels (.ome.zarr)...",
        "Write the objects of the whole slide as numbers, without those that were rejected.",
        "OME-Zarr",
        ".ome.zarr",
        "_instances",
    ),
    "rois": _Entry(
        "Outlines for ImageJ and Fiji: of fields only",
        "ImageJ's ROI manager cannot hold the objects of a whole slide; write outlines for "
        "QuPath or labels, or the ROIs of a field.",
    ),
    "outlines": _Entry(
        "Outlines for QuPath (.geojson)...",
        "Write the objects of the whole slide as GeoJSON, which QuPath imports, without those that "
        "were rejected; a million take some minutes.",
        "GeoJSON",
        ".geojson",
        "_outlines",
    ),
}
"""Entries that are others where a slide is in front."""


class ExportButton(QPushButton):
    """A menu of what can be written; asks where to.

    Signals
    -------
    wanted
        Kind (``table``, ``instances``, ``rois``, ``outlines``, ``all`` or ``model``) and the
        file or folder that the user chose.
    """

    wanted = Signal(str, object)

    def __init__(self) -> None:
        super().__init__("Export")
        self.setObjectName("export_button")
        self.setToolTip(
            "Write for other programs: label image, ImageJ ROIs, GeoJSON, table, or the model."
        )
        self._name = ""
        self._choices = QMenu(self)
        self._choices.setToolTipsVisible(True)
        self._actions: dict[str, QAction] = {}
        self._entries = dict(_ENTRIES)
        for kind, entry in _ENTRIES.items():
            action = QAction(entry.text, self)
            action.setObjectName(f"export_{kind}_action")
            action.setToolTip(entry.tip)
            action.triggered.connect(lambda _=False, kind=kind: self._ask(kind))
            self._choices.addAction(action)
            self._actions[kind] = action
        self.setMenu(self._choices)
        self.set_ready(dict.fromkeys(_ENTRIES, False))

    def set_ready(self, ready: Mapping[str, bool]) -> None:
        """Enable entries of the menu by their kind, and the button where any is enabled."""
        for kind, one in ready.items():
            self._actions[kind].setEnabled(one)
        self.setEnabled(any(action.isEnabled() for action in self._actions.values()))

    def set_name(self, name: str, slide: bool = False) -> None:
        """Offer what can be written of the image in view, in files that are named after it."""
        self._name = name
        self._entries = {**_ENTRIES, **(_OF_SLIDES if slide else {})}
        for kind in _OF_SLIDES:
            self._actions[kind].setText(self._entries[kind].text)
            self._actions[kind].setToolTip(self._entries[kind].tip)

    def _ask(self, kind: str) -> None:
        entry = self._entries[kind]
        title = entry.text.partition(" (")[0].rstrip(".")
        if entry.suffix:
            name = f"{file_names([self._name])[0]}{entry.ending}{entry.suffix}"
            path = ask_where(self, f"Export: {title}", name, entry.files, entry.suffix)
        else:
            folder = QFileDialog.getExistingDirectory(self, f"Export: {title}")
            path = Path(folder) if folder else None
        if path is not None:
            self.wanted.emit(kind, path)
