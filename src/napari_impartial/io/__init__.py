"""Files that other programs read and write."""

from napari_impartial.core.atomic_write import atomic_path

from .images import SUFFIXES, read_images, stem, write_tiff
from .labels import read_labels
from .rois import read_roi_zip

__all__ = [
    "SUFFIXES",
    "atomic_path",
    "read_images",
    "read_labels",
    "read_roi_zip",
    "stem",
    "write_tiff",
]
