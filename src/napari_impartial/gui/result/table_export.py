"""Write the table of objects to a file."""

from __future__ import annotations

from pathlib import Path

from napari_impartial.core.errors import ImPartialError
from napari_impartial.gui import notifications
from napari_impartial.gui.review.object_table import Table
from napari_impartial.io.object_files import write_table


def export(path: Path, table: Table) -> None:
    """Write a table as comma-separated values, whole or not at all."""
    try:
        write_table(path, table)
    except ImPartialError as error:
        notifications.show_error(str(error))
        return
    n = len(next(iter(table.values()))) if table else 0
    notifications.show_info(f"{path.name} was written, with {n} rows, to {path.parent}.")
