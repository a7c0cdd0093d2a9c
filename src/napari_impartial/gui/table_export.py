"""Write the table of objects to a file."""

from __future__ import annotations

from pathlib import Path

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.measurements import to_csv
from napari_impartial.io.atomic import atomic_path

from . import notify
from .panels.object_table import Table


def export(path: Path, table: Table) -> None:
    """Write a table as comma-separated values, whole or not at all."""
    if not path.suffix:
        path = path.with_suffix(".csv")
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(to_csv(table), encoding="utf-8", newline="")
    except ImPartialError as error:
        notify.show_error(str(error))
        return
    n = len(next(iter(table.values()))) if table else 0
    notify.show_info(f"{n} rows were written to {path}.")
