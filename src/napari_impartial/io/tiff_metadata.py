"""Metadata of OME-TIFF and ImageJ files: channels, pixel size and further files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_impartial.core.errors import note

from .content import Content, conversion

# Aperio's scanners write "... |AppMag = 20|MPP = 0.4990|..." into the description: µm a pixel.
_APERIO_UM = re.compile(r"\|\s*MPP\s*=\s*([0-9.]+)")
# Of a microscope's picture: printers' resolutions (600 to an inch are 42 µm) say nothing.
_LARGEST_UM = 20.0
_UM_OF_UNIT = {2: 25400.0, 3: 10000.0}  # an inch, a centimetre
# As OME and ImageJ write them.
_SECONDS = {
    **dict.fromkeys(("ns", "nsec"), 1e-9),
    **dict.fromkeys(("µs", "us", "usec"), 1e-6),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
# A label that Bio-Formats gives a channel in ImageJ.
_BIO_FORMATS = re.compile(r"c:\d+/\d+\b")
_COLOURS = ("red", "green", "blue")


def ome_files(xml: str) -> list[str]:
    """Return the names of all files that OME metadata say the image lies in."""
    root = _parsed(xml)
    if root is None:
        return []
    names = (element.get("FileName") for element in root.iterfind(".//{*}TiffData/{*}UUID"))
    return list(dict.fromkeys(name for name in names if name))


def ome_metadata(content: Content, xml: str, file: Path) -> Content:
    """Add the channel names and pixel size of the first image in OME metadata."""
    root = _parsed(xml)
    pixels = None if root is None else root.find(".//{*}Image/{*}Pixels")
    if pixels is None:
        return content
    found: list[str] = []
    for channel in pixels.findall("{*}Channel"):
        name, samples = channel.get("Name") or "", channel.get("SamplesPerPixel") or "1"
        count = int(samples) if samples.isdecimal() else 1
        if count == 1 or not name:
            found += [name] * min(count, 64)
        else:
            found += [f"{name} {_part(i, content.colour)}" for i in range(min(count, 64))]
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX"]
    size = pixel_size(pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeX"))
    if size is not None and units[0] != units[1]:
        note(f"{file} gives the height of a pixel in {units[0]}, its width in {units[1]}; "
             "the pixel size is left out.")  # fmt: skip
        size = None
    unit = "" if size is None or units[0] == "pixel" else units[0]
    names = tuple(found) if any(found) else None
    depth_unit = pixels.get("PhysicalSizeZUnit", "µm")
    spacing = {
        **(_depth(pixels.get("PhysicalSizeZ"), depth_unit, units[0], file) if size else {}),
        **_interval(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"), file),
    }
    return replace(content, channel_names=names, pixel_size=size, pixel_unit=unit, spacing=spacing)


def imagej_metadata(content: Content, tif: tifffile.TiffFile, file: Path) -> Content:
    """Add the channel names and pixel size of an ImageJ file."""
    metadata = tif.imagej_metadata or {}
    if "c0" in metadata or "c1" in metadata:
        # numbers that were signed, or are an optical density, say
        unit = f" ({metadata['vunit']})" if metadata.get("vunit") else ""
        note(
            f"{file} has values that ImageJ shows calibrated{unit}; they are taken as they are "
            "stored."
        )
    labels = metadata.get("Labels")
    count = int(metadata.get("channels", 1))
    names = None
    if isinstance(labels, list):
        names = tuple(_stain(str(label)) for label in labels)
        planes = [names[i : i + count] for i in range(0, len(names), count)]
        if count > 1 and all(plane == planes[0] for plane in planes):
            names = planes[0]  # the same in each slice
    unit, down, deep = (_unit(metadata, name) for name in ("unit", "yunit", "zunit"))
    size = None
    if unit:
        tags = tif.series[0].keyframe.tags
        across = (tags.valueof("YResolution"), tags.valueof("XResolution"))
        if all(isinstance(ratio, tuple) and ratio[0] for ratio in across):
            size = pixel_size(*(ratio[1] / ratio[0] for ratio in across))
    if size is not None and down not in ("", unit):
        note(f"{file} gives the height of a pixel in {down}, its width in {unit}; "
             "the pixel size is left out.")  # fmt: skip
        size = None
    spacing = {
        **(_depth(metadata.get("spacing"), deep or unit, unit, file) if size else {}),
        **_interval(metadata.get("finterval"), str(metadata.get("tunit") or "sec"), file),
    }
    return replace(
        content,
        channel_names=names,
        pixel_size=size,
        pixel_unit=unit if size else "",
        spacing=spacing,
    )


def plain_metadata(content: Content, page: Any) -> Content:
    """Add the pixel size that Aperio's description of a slide says, or else the resolution tags."""
    said = _APERIO_UM.search(str(page.description or ""))
    if said is not None:
        size = pixel_size(said[1], said[1])
    else:
        per_unit = [page.tags.valueof(f"{letter}Resolution") for letter in "YX"]
        unit = _UM_OF_UNIT.get(int(page.tags.valueof("ResolutionUnit", 2)))
        known = unit is not None and all(isinstance(r, tuple) and r[0] for r in per_unit)
        size = pixel_size(*(unit * r[1] / r[0] for r in per_unit)) if known else None
        if size is not None and max(size) > _LARGEST_UM:
            size = None
    return content if size is None else replace(content, pixel_size=size, pixel_unit="µm")


def pixel_size(height: Any, width: Any) -> tuple[float, float] | None:
    """Return a pixel size if both numbers make sense."""
    try:
        size = float(height), float(width)
    except (TypeError, ValueError):
        return None
    return size if all(np.isfinite(v) and v > 0 for v in size) else None


def _unit(metadata: dict[str, Any], name: str) -> str:
    """Return a unit of length that ImageJ gives; empty for none, and for inches of printers."""
    unit = str(metadata.get(name) or "")
    for other in ("\\u00B5", "\N{GREEK SMALL LETTER MU}"):
        unit = unit.replace(other, "µ")
    return {"micron": "µm", "microns": "µm", "um": "µm", "pixel": "", "inch": ""}.get(unit, unit)


def _depth(size: Any, unit: str, across: str, file: Path) -> dict[str, float]:
    """Return the distance of slices in the unit of pixels, which is `across`."""
    step = _step("Z", size)
    factor = conversion(unit, across)
    if not step or factor is not None:
        return {letter: value * (factor or 1.0) for letter, value in step.items()}
    note(f"{file} gives the distance of slices in {unit}, the size of pixels in {across}; "
         "the distance is left out.")  # fmt: skip
    return {}


def _interval(size: Any, unit: str, file: Path) -> dict[str, float]:
    """Return the time between two frames in seconds."""
    step = _step("T", size)
    if not step or unit in _SECONDS:
        return {letter: value * _SECONDS[unit] for letter, value in step.items()}
    note(f"{file} gives the time between frames in {unit}, which is no unit that is known here; "
         "the time is left out.")  # fmt: skip
    return {}


def _step(letter: str, size: Any) -> dict[str, float]:
    """Return the size of a step along an axis if the number makes sense."""
    try:
        step = float(size)
    except (TypeError, ValueError):
        return {}
    return {letter: step} if np.isfinite(step) and step > 0 else {}


def _parsed(xml: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None


def _part(index: int, colour: bool) -> str:
    return _COLOURS[index] if colour and index < len(_COLOURS) else str(index + 1)


def _stain(label: str) -> str:
    """Return a slice's label less the file that Bio-Formats writes into it.

    "c:1/3 - slide 7.czi" is the first channel of three, whatever the slide: it has no name.
    """
    return "" if _BIO_FORMATS.match(label) else label
